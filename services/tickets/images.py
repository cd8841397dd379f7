"""Convert uploaded pictures to the two sizes that pages show."""

import asyncio
import hashlib
import io
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image, ImageOps
from PIL.Image import Resampling, Transpose

from kit.errors import Invalid, UnsupportedMediaType

log = logging.getLogger(__name__)

MAX_PIXELS = 30_000_000
"""Maximum pixels of an upload, because a small file can decode to gigabytes. This many pixels take 210 MB.

Only one picture is decoded at a time.
"""
MAX_SIDE = 16_384
MIN_SIDE = 16

SIZES: Mapping[str, tuple[int, int]] = {"small": (480, 270), "large": (1280, 720)}

# Turn off Pillow's own limit: `_check_size` enforces a lower one before decoding.
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

_one_at_a_time = ThreadPoolExecutor(1, thread_name_prefix="pictures")


class NotAPicture(UnsupportedMediaType):
    message = "The picture must be a JPEG, PNG or WebP"


class UnreadablePicture(Invalid):
    message = "The picture can't be read. Try another one"


class PictureTooLarge(Invalid):
    message = f"The picture must have at most {MAX_PIXELS // 1_000_000} million pixels"


class PictureTooSmall(Invalid):
    message = f"The picture must be at least {MIN_SIDE} pixels wide and high"


@dataclass(frozen=True)
class Rendered:
    """A picture in two sizes, as WebP without metadata."""

    small: bytes
    large: bytes

    @property
    def name(self) -> str:
        """The hash of both images, under which the picture is stored."""
        return hashlib.sha256(self.small + self.large).hexdigest()


async def render_in_thread(upload: bytes) -> Rendered:
    """Render an upload in a thread, because rendering may take a second.

    Raises:
        NotAPicture, UnreadablePicture, PictureTooLarge, PictureTooSmall
    """
    return await asyncio.get_running_loop().run_in_executor(_one_at_a_time, render, upload)


def render(upload: bytes) -> Rendered:
    """Convert an upload to both sizes: rotated upright and cropped around the center.

    Raises:
        NotAPicture, UnreadablePicture, PictureTooLarge, PictureTooSmall
    """
    kind = _kind(upload)
    if kind is None:
        raise NotAPicture
    try:
        with Image.open(io.BytesIO(upload), formats=[kind]) as image:
            _check_size(*image.size)
            return _render(image)
    except Invalid:
        raise
    except Exception as error:  # decoders raise all kinds of errors for malicious files
        log.info("an uploaded picture can't be read: %r", error)
        raise UnreadablePicture from None


def _kind(upload: bytes) -> str | None:
    """The picture's format, or None. It is detected from the content, because media types may be wrong."""
    if upload.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if upload.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if upload.startswith(b"RIFF") and upload[8:12] == b"WEBP":
        return "WEBP"
    return None


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise PictureTooLarge
    if min(width, height) < MIN_SIDE:
        raise PictureTooSmall


def _render(image: Image.Image) -> Rendered:
    widest = max(max(size) for size in SIZES.values())
    image.draft("RGB", (widest, widest))  # a large JPEG is decoded at half its size, or less
    image.load()
    turn = _turn(image)
    plain = _on_white(image)
    if turn is not None:
        plain = plain.transpose(turn)
    large = ImageOps.fit(plain, SIZES["large"], Resampling.LANCZOS)
    small = ImageOps.fit(large, SIZES["small"], Resampling.LANCZOS)
    return Rendered(small=_webp(small), large=_webp(large))


def _turn(image: Image.Image) -> Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # metadata may be broken although the picture is fine
        return None


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    opaque = Image.new("RGB", image.size, "white")
    picture = image if image.mode == "RGBA" else image.convert("RGBA")
    opaque.paste(picture, mask=picture)
    return opaque


def _webp(image: Image.Image) -> bytes:
    # Copy only the pixels: Pillow would also write the upload's metadata, such as where it was taken.
    bare = Image.frombytes("RGB", image.size, image.tobytes())
    file = io.BytesIO()
    bare.save(file, "WEBP", quality=80, method=4)
    return file.getvalue()
