"""Scenes of space, of cities and of maps."""

import math
from collections.abc import Sequence
from random import Random

from PIL import ImageChops

from sandbox.demo.pictures.canvas import (
    HEIGHT,
    WIDTH,
    Canvas,
    Colour,
    Pen,
    Point,
    between,
    clouded,
    falling,
    glow,
    mix,
    soft,
    weak,
)
from sandbox.demo.pictures.palettes import Palette


def planets(palette: Palette, rng: Random) -> Canvas:
    """Planets and stars."""
    canvas = Canvas(
        clouded([palette.dark, palette.deep, palette.dark, palette.deep, palette.dark, palette.deep], 3, 2)
    )
    stars = Pen()
    for _ in range(120):
        stars.disc(rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), rng.uniform(0.8, 2.8), rng.randint(90, 255))
    canvas.put(palette.pale, stars)
    x, y = WIDTH * rng.uniform(0.42, 0.58), HEIGHT * 0.52
    for radius in (330, 470, 610):
        orbit = Pen()
        orbit.ring(x, y, radius, 2.5, 110, 0.42)
        canvas.put(palette.bright, orbit)
    canvas.light(palette.bright, weak(glow(x, y, 420), 0.8))
    pen, night = Pen(), Pen()
    _planet(pen, night, (x, y), 148, (palette.bright, palette.middle))
    for radius, tint in ((330, palette.accent), (470, palette.pale), (610, palette.middle)):
        turn = rng.choice((0, math.pi)) + rng.uniform(-0.6, 0.6)
        at = x + radius * math.cos(turn), y + radius * 0.42 * math.sin(turn)
        _planet(pen, night, at, rng.uniform(30, 58), (tint, mix(tint, palette.dark, 0.3)))
    canvas.stick(pen)
    canvas.put(palette.dark, weak(ImageChops.multiply(soft(night.mask(), 12), pen.mask()), 0.6))
    return canvas


def _planet(pen: Pen, night: Pen, at: Point, size: float, tints: tuple[Colour, Colour]) -> None:
    x, y = at
    pen.disc(x, y, size, tints[0])
    for top in (-0.5, 0.02, 0.46):
        downs = [top + 0.24 * step / 8 for step in range(9)]
        right = [(x + size * math.sqrt(1 - down**2), y + size * down) for down in downs]
        pen.shape([*right, *((2 * x - across, down) for across, down in reversed(right))], tints[1])
    night.disc(x, y, size)
    night.disc(x - size * 0.3, y - size * 0.22, size, 0)


def skyline(palette: Palette, rng: Random) -> Canvas:
    """A city at night and its lit windows."""
    canvas = Canvas(falling(palette.dark, palette.deep, palette.middle, palette.bright))
    x = WIDTH * rng.uniform(0.36, 0.64)
    canvas.light(palette.pale, weak(glow(x, 190, 360), 0.7))
    moon = Pen()
    moon.disc(x, 190, 74)
    canvas.put(palette.pale, moon)
    pen = Pen()
    for row, (far, light) in enumerate(((0.1, None), (0.55, palette.accent), (0.94, palette.pale))):
        tint = mix(mix(palette.middle, palette.deep, 0.5), palette.dark, far)
        left = -30.0
        while left < WIDTH:
            wide, top = rng.uniform(62, 128), 300 + 95 * row + rng.uniform(-80, 70)
            pen.box(left, top, wide - 4, HEIGHT, ink=tint)
            if rng.random() < 0.3:
                pen.shape(
                    [(left, top), (left + wide - 4, top), (left + wide / 2, top - rng.uniform(30, 70))], tint
                )
            if light:
                _windows(pen, left, top, wide, (light, mix(light, tint, 0.5)), rng)
            left += wide
    canvas.stick(pen)
    return canvas


def _windows(pen: Pen, left: float, top: float, wide: float, tints: Sequence[Colour], rng: Random) -> None:
    for down in range(int(top) + 18, HEIGHT, 30):
        for across in range(int(left) + 14, int(left + wide) - 22, 22):
            if rng.random() < 0.36:
                pen.box(across, down, 10, 15, ink=rng.choice(tints))


def contours(palette: Palette, rng: Random) -> Canvas:
    """Heights of a landscape, layer upon layer of paper."""
    x, y = WIDTH * rng.uniform(0.3, 0.7), HEIGHT * rng.uniform(0.4, 0.6)
    swings = [(count, rng.uniform(0.04, 0.14), rng.uniform(0, 6.3)) for count in (2, 3, 5)]
    canvas = Canvas(falling(palette.dark, palette.deep))
    layers = 7
    for number in range(layers):
        share = number / (layers - 1)
        radius = 830 * (1 - share) ** 0.9 + 46
        pen = Pen()
        pen.shape(
            [
                (x + 1.25 * radius * swell * math.cos(turn), y + 0.8 * radius * swell * math.sin(turn))
                for turn in (step * math.pi / 60 for step in range(120))
                for swell in [
                    1 + sum(high * math.sin(count * turn + at + share) for count, high, at in swings)
                ]
            ]
        )
        mask = pen.mask()
        canvas.put(palette.dark, weak(soft(mask, 16), 0.5))
        tint = between(share, palette.deep, palette.middle, palette.bright, palette.pale)
        canvas.put(palette.accent if number == layers - 1 else tint, mask)
    return canvas
