"""Colors, orientation and frames of the pictures that cameras and programs write."""

import io
import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from kit.images.header import Limits
from kit.images.rendering import render
from kit.images.results import UnreadablePicture
from tests.support.color_profiles import (
    ADOBE_RGB,
    DISPLAY_P3,
    GAMMA,
    cmyk_profile,
    gray_profile,
    rgb_profile,
)
from tests.support.crafted_pictures import chunk, png

Color = tuple[int, int, int]
SIZE = (64, 36)
NO_LIMITS = Limits()


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@cache
def large(upload: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(render(upload, NO_LIMITS).large))
    assert (image.mode, image.size) == ("RGB", (1280, 720))
    return image


def shown(upload: bytes, x: float = 0.5, y: float = 0.5) -> Color:
    """The color at a place of the large rendering."""
    image = large(upload)
    pixel = image.getpixel((int(image.width * x), int(image.height * y)))
    assert isinstance(pixel, tuple)
    red, green, blue = pixel
    return int(red), int(green), int(blue)


def assert_similar(color: Color, expected: Sequence[float], by: int = 4) -> None:
    """Compare colors. The encoding of the rendering changes them slightly."""
    difference = max(abs(a - b) for a, b in zip(color, expected, strict=True))
    assert difference <= by, f"{color} instead of {expected}"


@pytest.mark.parametrize("value", [0, 255, 0x4000, 0x8000, 0xC0FF, 0xFFFF])
def test_a_gray_picture_with_16_bits_keeps_its_brightness(value: int) -> None:
    picture = encoded(Image.new("I;16", SIZE, value))
    assert_similar(shown(picture), [value / 257] * 3, by=2)


def test_the_transparent_gray_of_a_picture_with_16_bits_becomes_white() -> None:
    image = Image.new("I;16", SIZE, 0x8000)
    assert shown(encoded(image, transparency=0x8000)) == (255, 255, 255)
    assert_similar(shown(encoded(image, transparency=0x1000)), [128] * 3)


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("1", 0, (0, 0, 0)),
        ("L", 100, (100, 100, 100)),
        ("LA", (100, 255), (100, 100, 100)),
        ("LA", (0, 128), (127, 127, 127)),
        ("RGB", (200, 100, 50), (200, 100, 50)),
        ("RGBA", (200, 100, 50, 255), (200, 100, 50)),
        ("RGBA", (0, 0, 0, 64), (191, 191, 191)),
        ("RGBA", (0, 0, 0, 0), (255, 255, 255)),
    ],
)
def test_every_color_mode_of_a_png_keeps_its_colors(mode: str, value: Any, expected: Color) -> None:
    assert_similar(shown(encoded(Image.new(mode, SIZE, value))), expected)


def test_a_palette_keeps_its_colors_and_its_transparent_color_becomes_white() -> None:
    image = Image.new("P", SIZE, 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    assert_similar(shown(encoded(image)), (200, 100, 50))
    assert shown(encoded(image, transparency=1)) == (255, 255, 255)
    assert_similar(shown(encoded(image, transparency=bytes([255, 128]))), (228, 178, 152))


@pytest.mark.parametrize("transparency", [0, 1, 255, 65_535])
@pytest.mark.parametrize("mode", ["1", "L"])
def test_any_transparent_gray_is_accepted(mode: str, transparency: int) -> None:
    content = encoded(Image.new(mode, SIZE, 0))
    with_transparency = content.replace(
        content[33:41], chunk(b"tRNS", struct.pack(">H", transparency)) + content[33:41], 1
    )
    assert shown(with_transparency) in {(0, 0, 0), (255, 255, 255)}


def test_colors_with_16_bits_are_kept() -> None:
    row = b"\0" + struct.pack(">3H", 200 * 257, 100 * 257, 50 * 257) * 16
    assert_similar(shown(png(16, 16, rows=row * 16, depth=16)), (200, 100, 50))
    see_through = (b"tRNS", struct.pack(">3H", 200 * 257, 100 * 257, 50 * 257))
    shown(png(16, 16, see_through, rows=row * 16, depth=16))


def test_a_cmyk_jpeg_keeps_its_colors() -> None:
    picture = encoded(Image.new("CMYK", SIZE, (0, 255, 255, 0)), "JPEG", quality=100)
    assert b"Adobe" in picture
    assert_similar(shown(picture), (255, 0, 0), by=8)


def test_a_ycck_jpeg_keeps_its_colors() -> None:
    # Adobe stores inverted inks: red is cyan, whose Y, Cb and Cr are 179, 171 and 1.
    stored = Image.new("CMYK", SIZE, (255 - 179, 255 - 171, 255 - 1, 0))
    picture = encoded(stored, "JPEG", quality=100)
    at = picture.index(b"Adobe") + 11
    assert picture[at] == 0
    assert_similar(shown(picture[:at] + b"\2" + picture[at + 1 :]), (255, 0, 0), by=8)


def in_srgb(color: Color, primaries: Sequence[Sequence[float]]) -> list[float]:
    """Convert a color of an RGB space to sRGB, with the matrix for the white point D50."""
    linear = [(value / 255) ** GAMMA for value in color]
    xyz = [sum(linear[ink] * primaries[ink][axis] for ink in range(3)) for axis in range(3)]
    to_linear_srgb = (
        (3.1338561, -1.6168667, -0.4906146),
        (-0.9787684, 1.9161415, 0.0334540),
        (0.0719453, -0.2289914, 1.4052427),
    )
    light = [sum(a * b for a, b in zip(row, xyz, strict=True)) for row in to_linear_srgb]
    return [255 * (12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055) for v in light]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("primaries", [DISPLAY_P3, ADOBE_RGB], ids=["Display P3", "Adobe RGB"])
def test_colors_with_a_profile_are_converted_to_srgb(
    kind: str, primaries: tuple[tuple[float, float, float], ...]
) -> None:
    color = (180, 120, 100)
    expected = in_srgb(color, primaries)
    assert max(abs(a - b) for a, b in zip(color, expected, strict=True)) > 10
    picture = encoded(Image.new("RGB", SIZE, color), kind, icc_profile=rgb_profile(primaries), quality=100)
    assert_similar(shown(picture), expected, by=6)


@pytest.mark.parametrize("mode", ["P", "RGBA"])
def test_profiles_apply_to_palettes_and_to_transparent_pictures(mode: str) -> None:
    image = Image.new("RGB", SIZE, (180, 120, 100))
    converted = image.quantize(2) if mode == "P" else image.convert(mode)
    picture = encoded(converted, icc_profile=rgb_profile(DISPLAY_P3))
    assert_similar(shown(picture), in_srgb((180, 120, 100), DISPLAY_P3), by=6)


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_a_gray_profile_applies_to_gray_pictures(mode: str) -> None:
    value: Any = {"L": 128, "LA": (128, 255), "I;16": 128 * 257}[mode]
    linear = encoded(Image.new(mode, SIZE, value), icc_profile=gray_profile(1.0))
    assert_similar(shown(linear), [188] * 3)


def test_a_cmyk_profile_applies_to_a_cmyk_picture() -> None:
    image = Image.new("CMYK", SIZE, (0, 255, 255, 0))
    assert_similar(shown(encoded(image, "JPEG", icc_profile=cmyk_profile(lightness=50))), [119] * 3)


@pytest.mark.parametrize(
    "profile",
    [b"broken", bytes(4096), rgb_profile(DISPLAY_P3)[:200], gray_profile(1.0), cmyk_profile(50)],
    ids=["text", "zeros", "truncated", "for gray", "for CMYK"],
)
def test_a_profile_that_is_broken_or_of_another_color_model_is_ignored(profile: bytes) -> None:
    picture = encoded(Image.new("RGB", SIZE, (180, 120, 100)), "JPEG", quality=100, icc_profile=profile)
    assert_similar(shown(picture), (180, 120, 100))


@pytest.mark.parametrize(
    ("gamma", "extra", "expected"),
    [
        (45_455, (), 128),
        (55_556, (), 145),  # 1/1.8, of old Macintosh computers
        (100_000, (), 186),
        (100_000, ((b"sRGB", b"\0"),), 128),
        (0, (), 128),
    ],
)
def test_the_gamma_of_a_png_is_applied_unless_it_is_in_srgb(
    gamma: int, extra: Sequence[tuple[bytes, bytes]], expected: int
) -> None:
    gray = (b"\0" + bytes([128] * 3) * 16) * 16
    picture = png(16, 16, (b"gAMA", struct.pack(">I", gamma)), *extra, rows=gray)
    assert_similar(shown(picture), [expected] * 3, by=2)


def quarters() -> Image.Image:
    """Red at the top left, green at the top right, blue at the bottom left, white at the bottom right."""
    image = Image.new("RGB", (320, 180), "white")
    image.paste((255, 0, 0), (0, 0, 160, 90))
    image.paste((0, 255, 0), (160, 0, 320, 90))
    image.paste((0, 0, 255), (0, 90, 160, 180))
    return image


ROW_BY_ROW = ((0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8))


@pytest.mark.parametrize(
    ("orientation", "corners"),
    [
        (1, "RGBW"),
        (2, "GRWB"),
        (3, "WBGR"),
        (4, "BWRG"),
        (5, "RBGW"),
        (6, "BRWG"),
        (7, "WGBR"),
        (8, "GWRB"),
        (0, "RGBW"),
        (9, "RGBW"),
        (65_535, "RGBW"),
    ],
)
def test_a_picture_is_shown_upright_whatever_its_orientation(orientation: Any, corners: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = encoded(quarters(), "JPEG", quality=95, exif=exif)
    colors = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255), "W": (255, 255, 255)}
    for (x, y), name in zip(ROW_BY_ROW, corners, strict=True):
        assert_similar(shown(picture, x, y), colors[name], by=12)


def test_a_rotated_picture_is_cropped_around_its_center() -> None:
    """The middle half of an upright photo remains, in full width."""
    image = Image.new("RGB", (1600, 900), "white")
    image.paste((255, 0, 0), (600, 0, 1000, 900))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = encoded(image, "JPEG", quality=95, exif=exif)
    assert_similar(shown(picture, 0.02, 0.5), (255, 0, 0), by=8)
    assert_similar(shown(picture, 0.98, 0.5), (255, 0, 0), by=8)
    assert_similar(shown(picture, 0.5, 0.05), (255, 255, 255), by=8)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_data_is_ignored() -> None:
    picture = encoded(quarters(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert_similar(shown(picture, 0.2, 0.2), (255, 0, 0), by=12)


def test_the_first_of_several_pictures_in_a_jpeg_is_shown() -> None:
    """iPhones and Samsung phones append a preview or a depth map."""
    red, blue = (Image.new("RGB", SIZE, color) for color in ("red", "blue"))
    picture = encoded(red, "MPO", save_all=True, append_images=[blue])
    assert Image.open(io.BytesIO(picture)).format == "MPO"
    assert_similar(shown(picture), (254, 0, 0))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_first_frame_of_an_animation_is_shown(kind: str) -> None:
    frames = [Image.new("RGB", SIZE, (200, 100, min(255, 50 + n))) for n in range(100)]
    picture = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    assert_similar(shown(picture), (200, 100, 50))


def test_a_progressive_jpeg_and_an_interlaced_png_are_accepted() -> None:
    picture = encoded(Image.new("RGB", SIZE, (200, 100, 50)), "JPEG", quality=95, progressive=True)
    assert_similar(shown(picture), (200, 100, 50))
    passes = [(2, 2), (2, 2), (4, 2), (4, 4), (8, 4), (8, 8), (16, 8)]
    rows = b"".join((b"\0" + bytes([200, 100, 50]) * width) * height for width, height in passes)
    assert_similar(shown(png(16, 16, rows=rows, interlaced=True)), (200, 100, 50))


def test_a_file_with_two_headers_is_refused() -> None:
    """Otherwise the limits would be checked against the one, and memory allocated for the other."""
    second = (b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0))
    rows = bytes(1 + 3 * 32) * 32
    assert render(png(32, 32, second, rows=rows), NO_LIMITS).small
    with pytest.raises(UnreadablePicture):
        render(png(16, 16, second, rows=rows), NO_LIMITS)


def test_a_picture_contains_no_metadata_of_the_upload() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "taken at home")
    picture = encoded(quarters(), pnginfo=text, icc_profile=rgb_profile(DISPLAY_P3))
    rendered = render(picture, NO_LIMITS)
    for image in (rendered.small, rendered.large):
        assert not {"icc_profile", "exif", "xmp"} & Image.open(io.BytesIO(image)).info.keys()
