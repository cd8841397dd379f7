"""Reads Apple Wallet passes: zip archives that contain pass.json."""

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

from services.tickets.files.contents import (
    EncryptedFile,
    FileTooComplex,
    NotATicketFile,
    UnreadableFile,
)

MAX_ENTRIES = 200
MAX_UNPACKED_BYTES = 40_000_000
MAX_PASS_BYTES = 262_144
_ENCRYPTED = 0x1
_REQUIRED = ("formatVersion", "passTypeIdentifier", "serialNumber")


def inspect_pass(upload: bytes) -> Sequence[tuple[str, str]]:
    """The contents of the barcode of a pass, which admits one person. Each has a format of its own here.

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
    try:
        messages = sorted(set(_messages(described)), key=str.encode)
    except UnicodeEncodeError as error:
        raise UnreadableFile from error
    return [(str(number), message) for number, message in enumerate(messages)]


def _described(archive: zipfile.ZipFile) -> Any:
    entries = archive.infolist()
    # The sizes are those that the archive declares. Only pass.json is unpacked, and no more than allowed.
    if len(entries) > MAX_ENTRIES or sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise FileTooComplex
    names = [entry.filename for entry in entries]
    if "pass.json" not in names:
        raise NotATicketFile
    if len(set(names)) < len(names):  # readers differ in which of them counts
        raise UnreadableFile
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
