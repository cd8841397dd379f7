"""What inspecting an uploaded file can result in, without the libraries that read files."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kit.errors import Invalid, ServiceError, UnsupportedMediaType
from services.tickets.files.entries import FileKind

log = logging.getLogger(__name__)

MEDIA_TYPES: Mapping[FileKind, str] = {
    "pdf": "application/pdf",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "pkpass": "application/vnd.apple.pkpass",
}


class NotATicketFile(UnsupportedMediaType):
    message = "The file must be a PDF, PNG, JPEG or Apple Wallet pass"


class UnreadableFile(Invalid):
    message = "The file can't be read. It may be damaged"


class EncryptedFile(Invalid):
    message = "The file is protected by a password. Save a copy without one"


class TooManyPages(Invalid):
    message = "The file has too many pages. Upload only the pages of the tickets"


class BlankFile(Invalid):
    message = "The file is empty: there is nothing to see on it. Choose the ticket itself"


class FileTooComplex(Invalid):
    """Reading takes more pixels, CPU time or memory than allowed."""

    message = "The file takes too long to check. Save it with another program, or try another one"


ERRORS = (NotATicketFile, UnreadableFile, EncryptedFile, TooManyPages, BlankFile, FileTooComplex)


@dataclass(frozen=True)
class FileLimits:
    """What inspecting one file may take. 0 means no limit."""

    pages: int = 0
    megapixels: int = 0
    jpeg_megapixels: int = 0
    scans: int = 0
    parts: int = 0
    cpu_seconds: int = 0
    memory_mb: int = 0
    """Megabytes of address space of the process that reads the file."""


@dataclass(frozen=True)
class Inspected:
    """A file that can be sold."""

    kind: FileKind
    seats: int
    """For how many persons it is."""
    codes: Sequence[str]
    """The contents of its barcodes. Whoever has them is admitted: they are neither stored nor logged."""


def to_json(result: Inspected | ServiceError) -> str:
    """Encode a result for another process. An error must be one of this module."""
    if isinstance(result, Inspected):
        return json.dumps(asdict(result))
    reason = None if result.__cause__ is None else type(result.__cause__).__name__
    return json.dumps({"error": type(result).__name__, "message": result.detail, "reason": reason})


def from_json(text: bytes) -> Inspected:
    """Decode the result of another process.

    Raises:
        NotATicketFile, UnreadableFile, EncryptedFile, TooManyPages, BlankFile, FileTooComplex: the result is
            that error.
    """
    result: dict[str, Any] = json.loads(text)
    if "error" in result:
        log.info("an uploaded file is refused: %s, %s", result["error"], result["reason"])
        raise {kind.__name__: kind for kind in ERRORS}[result["error"]](result["message"])
    return Inspected(**result)
