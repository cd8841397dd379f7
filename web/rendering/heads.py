"""What search engines and link previews read about a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Head:
    """The metadata of a public page. Pages without it have only a title."""

    title: str
    path: str
    """The path and query by which search engines know the page instead of others with the same content. Each
    language has its own address (`languages.canonical`)."""
    description: str
    preview: str | None = None
    """The address of a picture for link previews, a JPEG of `previews.SIZE`."""
    data: Mapping[str, Any] | None = None
    """The page's subject in the vocabulary of schema.org."""
    kind: str = "website"
    """The type of the page in the Open Graph protocol."""
