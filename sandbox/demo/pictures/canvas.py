"""A canvas that draws shapes with smooth edges. Coordinates and lengths are in pixels of the picture."""

import io
import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

WIDTH, HEIGHT = 1280, 720
SCALE = 2
"""The canvas is this much larger than the picture: reducing it smooths the edges."""

Color = tuple[int, ...]
"""Red, green, blue and, if the color is translucent, its opacity: 0 to 255 each."""
Point = tuple[float, float]

_fading = [
    round(255 * max(0, 1 - level / 180) ** 2) for level in range(256)
]  # a level of 180 is in the middle of each side
SPOT = Image.radial_gradient("L").point(_fading)


def mix(share: float, *colors: Color) -> Color:
    """The color at `share` (0 to 1) of a gradient from the first color to the last."""
    position = share * (len(colors) - 1)
    index = min(int(position), len(colors) - 2)
    pairs = zip(colors[index], colors[index + 1], strict=True)
    return tuple(round(a + (b - a) * (position - index)) for a, b in pairs)


def polar(x: float, y: float, radius: float, angle: float) -> Point:
    """The point at an angle in radians, clockwise from three o'clock."""
    return x + radius * math.cos(angle), y + radius * math.sin(angle)


def wave(base: float, height: float, length: float, start: float) -> list[Point]:
    """A line across the picture; `start` shifts it by a share of `length`."""
    turns = [(x, 2 * math.pi * (x / length + start)) for x in range(0, WIDTH + 16, 16)]
    return [(x, base + height * (math.sin(turn) + 0.3 * math.sin(2.6 * turn))) for x, turn in turns]


class Canvas:
    def __init__(self, *colors: Color) -> None:
        """Start with a gradient from top to bottom."""
        column = Image.new("RGB", (1, HEIGHT))
        column.putdata([mix(y / (HEIGHT - 1), *colors) for y in range(HEIGHT)])
        self._image = column.resize((WIDTH * SCALE, HEIGHT * SCALE))
        self._draw = ImageDraw.Draw(self._image, "RGBA")

    def jpeg(self) -> bytes:
        file = io.BytesIO()
        self._image.reduce(SCALE).save(file, "JPEG", quality=90)
        return file.getvalue()

    def polygon(self, points: Sequence[Point], color: Color) -> None:
        self._draw.polygon(_scaled(points), fill=color)

    def ground(self, line: Sequence[Point], color: Color) -> None:
        """Fill everything below the line."""
        self.polygon([*line, (line[-1][0], HEIGHT), (line[0][0], HEIGHT)], color)

    def line(self, points: Sequence[Point], width: float, color: Color) -> None:
        self._draw.line(_scaled(points), fill=color, width=round(width * SCALE), joint="curve")

    def box(self, x: float, y: float, width: float, height: float, color: Color, corner: float = 0) -> None:
        bounds = (x * SCALE, y * SCALE, (x + width) * SCALE - 1, (y + height) * SCALE - 1)
        self._draw.rounded_rectangle(bounds, corner * SCALE, fill=color)

    def disc(self, x: float, y: float, radius: float, color: Color, flat: float = 1) -> None:
        """Draw a disc, or an ellipse whose height is `flat` times its width."""
        self._draw.ellipse(_bounds(x, y, radius, flat), fill=color)

    def ring(self, x: float, y: float, radius: float, width: float, color: Color) -> None:
        """Draw a ring. `radius` is the radius of its outer edge."""
        self._draw.ellipse(_bounds(x, y, radius), outline=color, width=round(width * SCALE))

    def slice(self, x: float, y: float, radius: float, start: float, end: float, color: Color) -> None:
        """Part of a disc, with angles in degrees, clockwise from three o'clock."""
        self._draw.pieslice(_bounds(x, y, radius), start, end, fill=color)

    def glow(self, x: float, y: float, radius: float, color: Color, opacity: float = 1) -> None:
        """A spot that fades out from its center: light, or a shadow if the color is dark."""
        left, top, right, bottom = (round(edge) for edge in _bounds(x, y, radius))
        mask = SPOT.resize((right - left, bottom - top)).point([round(n * opacity) for n in range(256)])
        self._image.paste(color, (left, top, right, bottom), mask)


def _scaled(points: Sequence[Point]) -> list[Point]:
    return [(x * SCALE, y * SCALE) for x, y in points]


def _bounds(x: float, y: float, radius: float, flat: float = 1) -> tuple[float, float, float, float]:
    wide, high = radius * SCALE, radius * flat * SCALE
    return x * SCALE - wide, y * SCALE - high, x * SCALE + wide, y * SCALE + high
