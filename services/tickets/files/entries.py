"""What a ticket knows of its files."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypeAliasType

from contracts.wire import Moment

FileKind = TypeAliasType("FileKind", Literal["pdf", "png", "jpeg", "pkpass"])

MAX_FILES = 10
"""Maximum number of files of a listing."""


class FileEntry(BaseModel):
    """A file of a ticket. Its content is stored elsewhere, encrypted."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: FileKind
    size: int
    """In bytes."""
    seats: int
    """For how many persons it is: the number of its codes, or of its pages if it has no code."""
    has_code: bool
    uploaded_at: Moment
    is_void: bool = False
    """Whether a former buyer could read it, so that it doesn't count any more."""


def seats_of(files: Sequence[FileEntry]) -> int:
    """For how many persons the files are that count."""
    return sum(file.seats for file in files if not file.is_void)
