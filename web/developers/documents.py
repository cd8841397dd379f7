"""The API documents that `just docs` writes: docs/asyncapi.yaml and docs/openapi.yaml."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).parents[2] / "docs"

KINDS = ("asyncapi", "openapi")


@cache
def text(kind: str) -> bytes:
    """The document of this kind as YAML."""
    return (DOCS / f"{kind}.yaml").read_bytes()


@cache
def content(kind: str) -> dict[str, Any]:
    """The parsed document."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is five times as fast
    parsed: dict[str, Any] = yaml.load(text(kind), Loader=loader)  # noqa: S506 - both loaders are safe
    return parsed
