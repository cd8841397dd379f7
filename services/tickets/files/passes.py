"""Reads Apple Wallet passes: zip archives that contain pass.json."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

from services.tickets.files.contents import (
    EncryptedFile,
    FileTooComplex,
    Inspected,
    NotATicketFile,
    UnreadableFile,
)

MAX_ENTRIES = 200
MAX_UNPACKED_BYTES = 40_000_000
MAX_PASS_BYTES = 262_144
_ENCRYPTED = 0x1
_REQUIRED = ("formatVersion", "passTypeIdentifier", "serialNumber")


def inspect_pass(upload: bytes) -> Inspected:
    """Read the barcode of a pass, which admits one person.

    Raises:
        NotATicketFile: it is another zip archive.
        UnreadableFile, EncryptedFile, FileTooComplex
    """
    try:
        with zipfile.ZipFile(io.BytesIO(upload)) as archive:
            described = _described(archive)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, RecursionError, EOFError) as error:
        raise UnreadableFile from error
    if not isinstance(described, dict) or any(name not in described for name in _REQUIRED):
        raise NotATicketFile
    return Inspected("pkpass", 1, sorted(set(_messages(described))))


def _described(archive: zipfile.ZipFile) -> Any:
    entries = archive.infolist()
    # The sizes are those that the archive declares. Only pass.json is unpacked, and no more than allowed.
    if len(entries) > MAX_ENTRIES or sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise FileTooComplex
    if not any(entry.filename == "pass.json" for entry in entries):
        raise NotATicketFile
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise EncryptedFile
    with archive.open("pass.json") as file:
        content = file.read(MAX_PASS_BYTES + 1)
    if len(content) > MAX_PASS_BYTES:
        raise FileTooComplex
    return json.loads(content)


def _messages(described: dict[str, Any]) -> Iterator[str]:
    """The contents of the barcode. A pass describes it once for old devices and once for newer ones."""
    several = described.get("barcodes")
    for barcode in [described.get("barcode"), *(several if isinstance(several, list) else [])]:
        message = barcode.get("message") if isinstance(barcode, dict) else None
        if isinstance(message, str) and message.strip():
            yield message.strip()
