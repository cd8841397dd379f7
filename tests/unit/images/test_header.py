"""What an upload's header says about the cost of decoding it."""

import io
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from kit.errors import ServiceError
from kit.images.header import Header, Limits, header_of
from kit.images.results import (
    NotAPicture,
    PictureTooComplex,
    PictureTooLarge,
    PictureTooSmall,
    UnreadablePicture,
)
from tests.support.crafted_pictures import jpeg_of_empty_scans, png, segment

LIMITS = Limits(megapixels=2, jpeg_megapixels=3, scans=100, parts=1000)


def encoded(kind: str, size: tuple[int, int] = (200, 100), mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.effect_noise(size, 50).convert(mode).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        encoded("JPEG"),
        encoded("JPEG", progressive=True, mode="CMYK"),
        encoded("PNG"),
        encoded("WEBP"),
        encoded("WEBP", lossless=True),
        encoded("WEBP", exif=b"Exif"),
        encoded("WEBP", mode="RGBA"),
        encoded("WEBP", size=(16_383, 16)),
        encoded("WEBP", size=(16, 16_383), lossless=True),
    ],
)
def test_the_size_of_a_picture_is_read_from_its_header(content: bytes) -> None:
    header = header_of(content)
    with Image.open(io.BytesIO(content)) as image:
        assert (header.format, header.width, header.height) == (image.format, image.width, image.height)


def test_the_scans_of_a_jpeg_are_counted() -> None:
    assert header_of(encoded("JPEG")).scans == 1
    assert header_of(encoded("JPEG", progressive=True)).scans == 10
    assert header_of(encoded("JPEG", progressive=True, mode="L")).scans == 6
    assert header_of(encoded("JPEG", quality=95, restart_marker_blocks=1)).scans == 1
    assert header_of(jpeg_of_empty_scans(64, scans=12_000)).scans == 12_000


def test_the_segments_and_chunks_of_a_picture_are_counted() -> None:
    """Empty ones take four to twelve bytes, and a decoder some microseconds each."""
    for kind in ("JPEG", "PNG", "WEBP"):
        assert 1 < header_of(encoded(kind)).parts < 20 or kind == "WEBP"
    jpeg, webp = encoded("JPEG"), encoded("WEBP")
    assert header_of(jpeg[:2] + segment(0xFE, b"") * 5000 + jpeg[2:]).parts == header_of(jpeg).parts + 5000
    assert header_of(png(8, 8, *[(b"tEXt", b"")] * 5000)).parts == 5002
    assert header_of(webp + b"XXXX\0\0\0\0" * 5000).parts == header_of(webp).parts + 5000


@pytest.mark.parametrize("fill", [b"\xff", b"garbage", b"\xff\x00", b"\xff\xd3", b"\xff\x01"])
def test_scans_cannot_be_hidden_behind_bytes_that_decoders_skip(fill: bytes) -> None:
    content = jpeg_of_empty_scans(64, scans=30)
    assert header_of(content.replace(b"\xff\xda", fill + b"\xff\xda")).scans == 30


def test_the_scans_of_a_preview_in_a_jpeg_are_not_counted() -> None:
    preview = jpeg_of_empty_scans(64, scans=1000)
    content = encoded("JPEG", exif=b"Exif\0\0" + preview, comment=preview)
    assert content.count(b"\xff\xda") == 2001
    assert header_of(content).scans == 1


def test_the_scans_of_further_pictures_in_the_file_are_not_counted() -> None:
    assert header_of(encoded("JPEG") + jpeg_of_empty_scans(64, scans=1000)).scans == 1


def test_a_jpeg_may_not_have_two_sizes() -> None:
    content = encoded("JPEG")
    frame = content[content.index(b"\xff\xc0") :][:19]
    with pytest.raises(UnreadablePicture):
        header_of(content.replace(frame, frame + frame))


def test_a_kind_of_jpeg_that_no_camera_writes_is_refused() -> None:
    for kind in (0xC3, 0xC9):  # lossless, and with arithmetic coding
        with pytest.raises(UnreadablePicture):
            header_of(encoded("JPEG").replace(b"\xff\xc0", bytes([0xFF, kind]), 1))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_file_that_ends_in_its_header_is_refused(kind: str) -> None:
    content = encoded(kind, (16, 16))
    for length in range(len(content)):
        with suppress(NotAPicture, UnreadablePicture):
            header = header_of(content[:length])
            assert (header.width, header.height) == (16, 16)


def test_reading_the_header_takes_time_in_proportion_to_the_length() -> None:
    """A pattern that is matched again from each byte would take hours for this file."""
    started = time.process_time()
    with pytest.raises(UnreadablePicture):
        header_of(b"\xff\xd8" + b"\xff" * 5_000_000 + b"\0")
    assert time.process_time() - started < 10


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"avif"])
def test_owners_of_phones_are_told_to_convert_their_pictures(brand: bytes) -> None:
    with pytest.raises(
        NotAPicture, match=r"HEIC and AVIF pictures can't be used\. Save the picture as a JPEG"
    ):
        header_of(b"\0\0\0\x18ftyp" + brand + bytes(100))


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (Header("PNG", 2000, 1001), PictureTooLarge),
        (Header("WEBP", 2000, 1001), PictureTooLarge),
        (Header("JPEG", 2000, 1501), PictureTooLarge),
        (Header("JPEG", 0xFFFF, 0xFFFF), PictureTooLarge),
        (Header("PNG", 15, 100), PictureTooSmall),
        (Header("JPEG", 100, 0), PictureTooSmall),
        (Header("JPEG", 100, 100, scans=101), PictureTooComplex),
        (Header("JPEG", 100, 100, parts=1001), PictureTooComplex),
        (Header("PNG", 100, 100, parts=1001), PictureTooComplex),
    ],
)
def test_a_picture_above_a_limit_is_refused(header: Header, error: type[ServiceError]) -> None:
    with pytest.raises(error):
        header.check(LIMITS)


def test_a_picture_at_its_limits_is_accepted() -> None:
    Header("PNG", 2000, 1000).check(LIMITS)
    Header("JPEG", 2000, 1500, scans=100).check(LIMITS)
    Header("PNG", 16, 16).check(LIMITS)


def test_the_message_names_the_limit() -> None:
    for header in (Header("PNG", 9000, 9000), Header("JPEG", 9000, 9000)):
        most = 3 if header.format == "JPEG" else 2
        with pytest.raises(PictureTooLarge, match=f"The picture must have at most {most} million pixels"):
            header.check(LIMITS)


def test_a_limit_of_zero_is_no_limit() -> None:
    Header("PNG", 100_000, 100_000).check(replace(LIMITS, megapixels=0))
    Header("JPEG", 60_000, 60_000).check(replace(LIMITS, jpeg_megapixels=0))
    Header("JPEG", 100, 100, scans=100_000).check(replace(LIMITS, scans=0))
