"""Decodes a picture, and renders it in two sizes or as a clean copy."""

import io
from collections.abc import Callable, Mapping
from typing import TypeVar

from PIL import Image, ImageOps
from PIL.Image import Resampling, Transpose

from kit.errors import ServiceError
from kit.images.colors import on_white, to_srgb
from kit.images.header import Limits, header_of
from kit.images.results import Photo, PictureTooComplex, Rendered, UnreadablePicture

Result = TypeVar("Result", Rendered, Photo)

SIZES: Mapping[str, tuple[int, int]] = {"small": (480, 270), "large": (1280, 720)}

MAX_PHOTO_SIDE = 2000
"""Pixels of the longer side of a copied photo. Small print on it stays readable."""

# Turn off Pillow's own limit: the header is checked before Pillow opens the file.
Image.MAX_IMAGE_PIXELS = None

_ORIENTATION = 0x0112
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_SIDEWAYS = {5, 6, 7, 8}


def render(upload: bytes, limits: Limits) -> Rendered:
    """Convert an upload to both sizes: rotated upright, cropped around the center, and in sRGB.

    Only the number of pixels and scans is limited here; the process limits time and memory.

    Raises:
        NotAPicture, UnreadablePicture, PictureTooLarge, PictureTooSmall, PictureTooComplex
    """
    return _convert(upload, limits, _render)


def copy_photo(upload: bytes, limits: Limits) -> Photo:
    """Copy a whole photo as a JPEG: rotated upright, reduced to `MAX_PHOTO_SIDE`, in sRGB, without metadata.

    Raises:
        NotAPicture, UnreadablePicture, PictureTooLarge, PictureTooSmall, PictureTooComplex
    """
    return _convert(upload, limits, _copy)


def _convert(upload: bytes, limits: Limits, convert: Callable[[Image.Image], Result]) -> Result:
    header = header_of(upload)
    header.check(limits)
    try:
        with Image.open(io.BytesIO(upload), formats=[header.format]) as image:
            if image.size != (header.width, header.height):  # the file contradicts itself
                raise UnreadablePicture
            return convert(image)
    except ServiceError:
        raise
    except MemoryError:
        raise PictureTooComplex from None
    except Exception as error:  # decoders raise all kinds of errors for malicious files
        raise UnreadablePicture from error


def _render(image: Image.Image) -> Rendered:
    widest = max(max(size) for size in SIZES.values())
    image.draft("RGB", (widest, widest))  # a large JPEG is decoded at half its size, or less
    image.load()
    orientation = _orientation(image)
    width, height = SIZES["large"]
    size = (height, width) if orientation in _SIDEWAYS else (width, height)
    # Crop before the steps that each pixel takes time in.
    cropped = ImageOps.fit(on_white(image), size, Resampling.LANCZOS)
    large = to_srgb(cropped, image.info)
    if orientation in _TURNS:
        large = large.transpose(_TURNS[orientation])
    small = ImageOps.fit(large, SIZES["small"], Resampling.LANCZOS)
    return Rendered(small=_webp(small), large=_webp(large))


def _copy(image: Image.Image) -> Photo:
    image.draft("RGB", (MAX_PHOTO_SIDE, MAX_PHOTO_SIDE))
    image.load()
    orientation = _orientation(image)
    # As above, reduce it before the steps that each pixel takes time in.
    reduced = on_white(image)
    reduced.thumbnail((MAX_PHOTO_SIDE, MAX_PHOTO_SIDE), Resampling.LANCZOS)
    upright = to_srgb(reduced, image.info)
    if orientation in _TURNS:
        upright = upright.transpose(_TURNS[orientation])
    return Photo(_encoded(upright, "JPEG", quality=85))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # metadata may be broken although the picture is fine
        return 1


def _webp(image: Image.Image) -> bytes:
    return _encoded(image, "WEBP", quality=80, method=4)


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    # Copy only the pixels: Pillow would also write the upload's metadata, such as where it was taken.
    bare = Image.frombytes("RGB", image.size, image.tobytes())
    file = io.BytesIO()
    bare.save(file, kind, **options)
    return file.getvalue()
