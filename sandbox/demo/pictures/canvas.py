"""What the scenes are painted with: colours, light, and shapes with smooth edges."""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from PIL import Image, ImageChops, ImageDraw, ImageFilter
from PIL.Image import Resampling

WIDTH, HEIGHT = SIZE = (1280, 720)
FINE = 2
"""Shapes are drawn that much larger: making them smaller again smooths their edges."""

Colour = tuple[int, int, int]
Ink = int | Colour
Point = tuple[float, float]


def colour(code: str) -> Colour:
    return int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`share` of the other one, 0 to 1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def between(share: float, *colours: Colour) -> Colour:
    """The colour at that share of the way from the first one to the last."""
    at = share * (len(colours) - 1)
    before = min(int(at), len(colours) - 2)
    return mix(colours[before], colours[before + 1], at - before)


def dots(colours: Iterable[Colour], columns: int, rows: int) -> Image.Image:
    """A pixel for each colour, line by line."""
    return Image.frombytes("RGB", (columns, rows), bytes(part for one in colours for part in one))


def falling(*colours: Colour) -> Image.Image:
    """From the first colour at the top to the last one at the bottom."""
    column = _smooth(dots(colours, 1, len(colours)), (1, HEIGHT))
    return column.resize(SIZE, Resampling.NEAREST)


def clouded(colours: Iterable[Colour], columns: int, rows: int) -> Image.Image:
    """Colours that run into each other, each around its place in a grid."""
    return _smooth(dots(colours, columns, rows), SIZE)


def _smooth(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """In two steps, for one that makes curves would go beyond the colours that are there."""
    middle = (1 if size[0] == 1 else image.width * 6, image.height * 6)
    return image.resize(middle, Resampling.BILINEAR).resize(size, Resampling.BICUBIC)


@cache
def _spot() -> Image.Image:
    edge = 180  # what Pillow's gradient has in the middle of its sides
    fading = [round(255 * max(0, 1 - level / edge) ** 2) for level in range(256)]
    return Image.radial_gradient("L").point(fading)


def glow(x: float, y: float, width: float, height: float | None = None) -> Image.Image:
    """A mask of light that fades out around a point."""
    mask = Image.new("L", SIZE)
    tall = width if height is None else height
    spot = _spot().resize((round(2 * width), round(2 * tall)), Resampling.BILINEAR)
    mask.paste(spot, (round(x - width), round(y - tall)))
    return mask


def soft(mask: Image.Image, radius: float) -> Image.Image:
    """The mask out of focus."""
    coarse = mask.reduce(4).filter(ImageFilter.GaussianBlur(radius / 4))
    return coarse.resize(SIZE, Resampling.BICUBIC)


def weak(mask: Image.Image, share: float) -> Image.Image:
    return mask.point([round(level * share) for level in range(256)])


class Pen:
    """Draws a mask with ink from 0, nothing, to 255; or in colours, one covering the other.

    Places and lengths are those of the picture.
    """

    def __init__(self) -> None:
        size = (WIDTH * FINE, HEIGHT * FINE)
        self._mask = Image.new("L", size)
        self._mask_draw = ImageDraw.Draw(self._mask)
        self._colours: Image.Image | None = None

    def mask(self) -> Image.Image:
        return self._mask.reduce(FINE)

    def colours(self) -> Image.Image:
        """What was drawn in colours, on black."""
        return Image.new("RGB", SIZE) if self._colours is None else self._colours.reduce(FINE)

    def _draws(self, ink: Ink) -> Iterator[tuple[ImageDraw.ImageDraw, Ink]]:
        if isinstance(ink, int):
            yield self._mask_draw, ink
            return
        if self._colours is None:
            self._colours = Image.new("RGB", self._mask.size)
            self._colours_draw = ImageDraw.Draw(self._colours)
        yield self._mask_draw, 255
        yield self._colours_draw, ink

    def shape(self, points: Iterable[Point], ink: Ink = 255) -> None:
        fine = [(x * FINE, y * FINE) for x, y in points]
        for draw, fill in self._draws(ink):
            draw.polygon(fine, fill=fill)

    def box(self, x: float, y: float, width: float, height: float, round_: float = 0, ink: Ink = 255) -> None:
        corners = (x * FINE, y * FINE, (x + width) * FINE - 1, (y + height) * FINE - 1)
        for draw, fill in self._draws(ink):
            draw.rounded_rectangle(corners, round_ * FINE, fill=fill)

    def disc(self, x: float, y: float, radius: float, ink: Ink = 255, flat: float = 1) -> None:
        for draw, fill in self._draws(ink):
            draw.ellipse(_around(x, y, radius, flat), fill=fill)

    def ring(self, x: float, y: float, radius: float, line: float, ink: Ink = 255, flat: float = 1) -> None:
        """`radius` is that of its outer edge."""
        for draw, fill in self._draws(ink):
            draw.ellipse(_around(x, y, radius, flat), outline=fill, width=round(line * FINE))

    def slice(self, x: float, y: float, radius: float, start: float, end: float, ink: Ink = 255) -> None:
        """Angles in degrees, clockwise from three o'clock."""
        for draw, fill in self._draws(ink):
            draw.pieslice(_around(x, y, radius), start, end, fill=fill)

    def line(self, points: Iterable[Point], width: float, ink: Ink = 255) -> None:
        fine = [(x * FINE, y * FINE) for x, y in points]
        for draw, fill in self._draws(ink):
            draw.line(fine, fill=fill, width=round(width * FINE), joint="curve")

    def ground(self, line: Sequence[Point], ink: Ink = 255) -> None:
        """All that is below the line."""
        self.shape([*line, (line[-1][0], HEIGHT), (line[0][0], HEIGHT)], ink)


def _around(x: float, y: float, radius: float, flat: float = 1) -> tuple[float, float, float, float]:
    wide, high = radius * FINE, radius * flat * FINE
    return x * FINE - wide, y * FINE - high, x * FINE + wide, y * FINE + high


class Canvas:
    def __init__(self, ground: Image.Image | Colour) -> None:
        self.image = ground if isinstance(ground, Image.Image) else Image.new("RGB", SIZE, ground)

    def put(self, paint: Colour | Image.Image, mask: Pen | Image.Image) -> None:
        self.image.paste(paint, (0, 0, *SIZE), mask.mask() if isinstance(mask, Pen) else mask)

    def stick(self, pen: Pen) -> None:
        """Put what was drawn in colours there."""
        rest = ImageChops.invert(pen.mask())
        behind = ImageChops.multiply(self.image, Image.merge("RGB", [rest, rest, rest]))
        self.image = ImageChops.add(behind, pen.colours())

    def light(self, tint: Colour, mask: Pen | Image.Image) -> None:
        """Add light of a colour: it brightens what is there and hides nothing."""
        grey = mask.mask() if isinstance(mask, Pen) else mask
        parts = [weak(grey, part / 255) for part in tint]
        self.image = ImageChops.screen(self.image, Image.merge("RGB", parts))


def wave(base: float, *swings: tuple[float, float, float], step: int = 16) -> list[Point]:
    """A line across the picture; each swing has a height, a length and where it begins, of its length."""
    return [
        (x, base + sum(height * math.sin(2 * math.pi * (x / length + at)) for height, length, at in swings))
        for x in range(0, WIDTH + step, step)
    ]
