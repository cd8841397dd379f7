"""Parts of a page that are compressed once and joined for each viewer.

A gzip file contains one deflate stream. A part that is compressed on its own and ends with a full flush is a
valid piece of such a stream, whatever precedes and follows it (RFC 1951; `Z_FULL_FLUSH` in zlib's manual).
The checksum of the whole is calculated from the checksums of the parts.
"""

import zlib
from collections.abc import Sequence
from functools import cached_property

LEVEL = 6
"""The compression level. Higher levels take much longer and save hardly anything on pages of 30 KB."""

# RFC 1952: magic number, deflate, no flags, no time, no extra flags, unknown operating system.
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
# RFC 1951: an empty final block, with fixed codes.
_END = b"\x03\x00"

# The polynomial of CRC-32 without its highest power. The highest bit of a number is the coefficient of x^0.
_POLYNOMIAL = 0xEDB88320
_ONE, _X = 1 << 31, 1 << 30


class Segment:
    """A part of a page."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    @cached_property
    def deflated(self) -> bytes:
        """A piece of a deflate stream that ends on a byte boundary."""
        compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        return compressor.compress(self.content) + compressor.flush(zlib.Z_FULL_FLUSH)

    @cached_property
    def _checksum(self) -> int:
        return zlib.crc32(self.content)

    @cached_property
    def _shift(self) -> int:
        """What the checksum of the content before this part is multiplied by: x^(8 * size)."""
        power, square, exponent = _ONE, _X, 8 * len(self.content)
        while exponent:
            if exponent & 1:
                power = _multiplied(power, square)
            square = _multiplied(square, square)
            exponent >>= 1
        return power

    def checksum_after(self, checksum: int) -> int:
        """The CRC-32 of some content and this part, from the CRC-32 of that content."""
        return _multiplied(checksum, self._shift) ^ self._checksum


def joined(segments: Sequence[Segment]) -> bytes:
    return b"".join([segment.content for segment in segments])


def gzipped(segments: Sequence[Segment]) -> bytes:
    """A gzip file with the content of all segments."""
    checksum = size = 0
    pieces = [_HEADER]
    for segment in segments:
        pieces.append(segment.deflated)
        checksum = segment.checksum_after(checksum)
        size += len(segment.content)
    pieces += (_END, checksum.to_bytes(4, "little"), (size & 0xFFFFFFFF).to_bytes(4, "little"))
    return b"".join(pieces)


def _multiplied(one: int, other: int) -> int:
    """The product of two polynomials over GF(2), modulo the polynomial of CRC-32."""
    product = 0
    for bit in range(31, -1, -1):
        if one >> bit & 1:
            product ^= other
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return product
