"""The icon of the site as PNG and ICO, drawn from the same shapes as static/icons/favicon.svg."""

import io
from functools import cache

from PIL import Image, ImageDraw
from PIL.Image import Resampling

SIZES = (180, 192, 512)
"""Pixels: that of Apple's devices, and those of a web app manifest."""

_OVERSAMPLING = 4
_UNITS = 32
"""The side of the drawing in its own units."""
_DOOR, _LIGHT, _KNOB, _PAPER = "#a3183c", "#ffd166", "#4a0a1c", "#fbf8f4"
_MARGIN = 0.1
"""The part of each side that a device may cut off, so that the icon is also "maskable"."""
_FAVICON = [(16, 16), (32, 32), (48, 48)]


@cache
def png(size: int) -> bytes:
    """The icon on paper, because devices show black behind transparent icons."""
    side = round(size * (1 - 2 * _MARGIN))
    icon = Image.new("RGB", (size, size), _PAPER)
    drawn = _drawn(side)
    icon.paste(drawn, ((size - side) // 2,) * 2, drawn)
    return _encoded(icon, "PNG")


@cache
def favicon() -> bytes:
    """favicon.ico, for clients that don't know SVG."""
    file = io.BytesIO()
    _drawn(max(_FAVICON)[0]).save(file, "ICO", sizes=_FAVICON)
    return file.getvalue()


def _drawn(size: int) -> Image.Image:
    """The door with its light, on a transparent ground."""
    scale = size * _OVERSAMPLING / _UNITS
    image = Image.new("RGBA", (size * _OVERSAMPLING,) * 2)
    draw = ImageDraw.Draw(image)

    def scaled(*numbers: float) -> list[float]:
        return [each * scale for each in numbers]

    draw.pieslice(scaled(5, 3, 27, 25), 180, 360, fill=_DOOR)
    draw.rectangle(scaled(5, 14, 27, 30), fill=_DOOR)
    draw.polygon(scaled(14, 30, 14, 13.5, 23, 10.5, 23, 30), fill=_LIGHT)
    draw.ellipse(scaled(15.1, 19.5, 18.1, 22.5), fill=_KNOB)
    return image.resize((size, size), Resampling.LANCZOS)


def _encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, optimize=True)
    return file.getvalue()
