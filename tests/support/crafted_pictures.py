"""Files that are valid or almost valid pictures, but cost a decoder far more than pictures of cameras do."""

import struct
import zlib

_MAX_RUN = 0x7FFF
"""The maximum number of blocks that one code of a progressive JPEG declares to be empty."""


def jpeg_of_empty_scans(side: int, scans: int) -> bytes:
    """A grayscale progressive JPEG whose scans add nothing, so that each takes some 50 bytes."""
    blocks = (-(-side // 8)) ** 2
    # Each code is the bit 0, which the Huffman table below maps to "a run of empty blocks", and 14 bits of
    # its length.
    bits = "".join("0" + format(_MAX_RUN & 0x3FFF, "014b") for _ in range(-(-blocks // _MAX_RUN)))
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\x00")
    scan = segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + data
    return b"".join(
        (
            b"\xff\xd8",
            segment(0xDB, bytes([0]) + bytes([1]) * 64),
            segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + bytes([1, 0x11, 0])),
            segment(0xC4, bytes([0x10, 1, *[0] * 15, 0xE0])),
            scan * scans,
            b"\xff\xd9",
        )
    )


def segment(marker: int, data: bytes) -> bytes:
    """A marker segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def png(
    width: int,
    height: int,
    *chunks: tuple[bytes, bytes],
    rows: bytes | None = None,
    depth: int = 8,
    interlaced: bool = False,
) -> bytes:
    """A PNG in RGB with these chunks, whose header declares this size.

    Args:
        rows: the pixels, each row after a byte for its filter. Without it, the file contains no pixels.
    """
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, interlaced)
    pixels = () if rows is None else ((b"IDAT", zlib.compress(rows)),)
    content = ((b"IHDR", header), *chunks, *pixels, (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, data) for name, data in content)


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
