"""Reads from an upload, without decoding it, what decoding it would cost."""

import re
import struct
from dataclasses import dataclass

from kit.images.results import (
    MIN_SIDE,
    NotAPicture,
    PictureTooComplex,
    PictureTooLarge,
    PictureTooSmall,
    UnreadablePicture,
)

# Markers of JPEG, ITU-T T.81, table B.1. Bytes FF of the compressed data are followed by 00. The markers D0
# to D7 are inside of the compressed data.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_WITHOUT_LENGTH = {0x01, 0xD8}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_USUAL_FRAMES = {0xC0, 0xC1, 0xC2}
"""Baseline, extended and progressive. Cameras and browsers know no others."""
_SCAN, _END = 0xDA, 0xD9

_CONVERTIBLE = (b"heic", b"heix", b"heim", b"hevc", b"mif1", b"msf1", b"avif", b"avis")


@dataclass(frozen=True)
class Limits:
    """What decoding one picture may take. 0 means no limit."""

    megapixels: int = 0
    jpeg_megapixels: int = 0
    """Millions of pixels of a JPEG. It takes less memory, because it is decoded at a reduced size."""
    scans: int = 0
    parts: int = 0
    """Segments of a JPEG, or chunks of a PNG or WebP."""
    cpu_seconds: int = 0
    memory_mb: int = 0
    """Megabytes of address space of the process that decodes the picture."""


@dataclass(frozen=True)
class Header:
    """The properties of a picture that determine the cost of decoding it."""

    format: str
    """The name of the format in Pillow."""
    width: int
    height: int
    scans: int = 1
    """How often a decoder goes through all pixels. An empty scan of a JPEG takes 20 bytes."""
    parts: int = 1
    """The number of segments or chunks. An empty one takes 4 bytes, and a decoder as long as a useful one."""

    def check(self, limits: Limits) -> None:
        """Check that the picture may be decoded.

        Raises:
            PictureTooLarge, PictureTooSmall, PictureTooComplex
        """
        most = limits.jpeg_megapixels if self.format == "JPEG" else limits.megapixels
        if most and self.width * self.height > most * 1_000_000:
            raise PictureTooLarge(f"The picture must have at most {most} million pixels")
        if min(self.width, self.height) < MIN_SIDE:
            raise PictureTooSmall
        if 0 < limits.scans < self.scans or 0 < limits.parts < self.parts:
            raise PictureTooComplex


def header_of(upload: bytes) -> Header:
    """The header of a picture. Its format is detected from the content, because media types may be wrong.

    Raises:
        NotAPicture, UnreadablePicture
    """
    try:
        if upload.startswith(b"\xff\xd8\xff"):
            return _jpeg(upload)
        if upload.startswith(b"\x89PNG\r\n\x1a\n"):
            return Header("PNG", *_png_size(upload), parts=_png_chunks(upload))
        if upload.startswith(b"RIFF") and upload[8:12] == b"WEBP":
            return Header("WEBP", *_webp_size(upload), parts=_webp_chunks(upload))
    except struct.error:  # the upload ends too early
        raise UnreadablePicture from None
    if upload[4:8] == b"ftyp" and upload[8:12] in _CONVERTIBLE:
        raise NotAPicture("HEIC and AVIF pictures can't be used. Save the picture as a JPEG")
    raise NotAPicture


def _jpeg(upload: bytes) -> Header:
    """The header of a JPEG, up to its end marker. Phones append further pictures after it."""
    size: tuple[int, int] | None = None
    scans = parts = 0
    position = 2
    while marker := _MARKER.search(upload, position):
        code, position = marker[1][0], marker.end()
        parts += 1
        if code == _END:
            break
        if code in _WITHOUT_LENGTH:
            continue
        if code in _FRAMES:
            if code not in _USUAL_FRAMES or size is not None:
                raise UnreadablePicture
            height, width = struct.unpack_from(">HH", upload, position + 3)
            size = width, height
        scans += code == _SCAN
        # Skip the segment: it may contain another picture, such as a preview.
        position += max(2, int.from_bytes(upload[position : position + 2]))
    if size is None:
        raise UnreadablePicture
    return Header("JPEG", *size, scans, parts)


def _png_size(upload: bytes) -> tuple[int, int]:
    name, width, height = struct.unpack_from(">4sII", upload, 12)
    if name != b"IHDR":
        raise UnreadablePicture
    return width, height


def _png_chunks(upload: bytes) -> int:
    """The number of chunks after the signature: length, type, data and checksum, RFC 2083, section 3.2."""
    count, position = 0, 8
    while position + 8 <= len(upload):
        (length,) = struct.unpack_from(">I", upload, position)
        position += length + 12
        count += 1
    return count


def _webp_chunks(upload: bytes) -> int:
    """The number of chunks after the header of 12 bytes: type, length, and data of even length, RFC 9649."""
    count, position = 0, 12
    while position + 8 <= len(upload):
        (length,) = struct.unpack_from("<I", upload, position + 4)
        position += length + length % 2 + 8
        count += 1
    return count


def _webp_size(upload: bytes) -> tuple[int, int]:
    """The width and height in the first chunk of a WebP file, RFC 9649."""
    match upload[12:16]:
        case b"VP8X":
            width, height = (1 + int.from_bytes(upload[at : at + 3], "little") for at in (24, 27))
            return width, height
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", upload, 21)
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", upload, 26)
            return width & 0x3FFF, height & 0x3FFF
        case _:
            raise UnreadablePicture
