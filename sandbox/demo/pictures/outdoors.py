"""Scenes of festivals and of what families go to."""

import math
from itertools import pairwise
from random import Random

from sandbox.demo.pictures.canvas import (
    HEIGHT,
    WIDTH,
    Canvas,
    Pen,
    Point,
    between,
    falling,
    glow,
    mix,
    soft,
    wave,
    weak,
)
from sandbox.demo.pictures.palettes import Palette


def meadow(palette: Palette, rng: Random) -> Canvas:
    """Tents and flags on hills at sunset."""
    canvas = Canvas(falling(palette.deep, palette.middle, palette.bright, palette.pale))
    x = WIDTH * rng.uniform(0.4, 0.6)
    canvas.light(palette.pale, glow(x, 380, 460))
    sun = Pen()
    sun.disc(x, 380, 92)
    canvas.put(palette.pale, sun)
    for number in range(3):
        hill = Pen()
        hill.ground(
            wave(430 + 62 * number, (44, rng.uniform(800, 1300), rng.random()), (10, 420, rng.random()))
        )
        tint = between((number + 1) / 4, palette.bright, palette.middle, palette.deep, palette.dark)
        canvas.put(falling(mix(tint, palette.bright, 0.25), tint, mix(tint, palette.dark, 0.3)), hill)
    pen = Pen()
    left = rng.uniform(130, 260)
    for number, size in enumerate((150, 108, 135)):
        _tent(pen, palette, left + number * rng.uniform(330, 390), 650 - 14 * number, size)
    pen.ground(wave(646, (20, 900, rng.random())), palette.dark)
    _flags(pen, palette, rng)
    canvas.stick(pen)
    return canvas


def _tent(pen: Pen, palette: Palette, x: float, foot: float, size: float) -> None:
    top, eave = foot - size * 1.35, foot - size * 0.62
    pen.line([(x, top - size * 0.3), (x, top + 4)], 4, palette.accent)
    pen.shape(
        [(x, top - size * 0.3), (x + size * 0.26, top - size * 0.22), (x, top - size * 0.13)], palette.accent
    )
    for number in range(5):
        one, two = size * (number / 2.5 - 1), size * ((number + 1) / 2.5 - 1)
        wall = [(x + two, eave), (x + two * 0.9, foot + 40), (x + one * 0.9, foot + 40), (x + one, eave)]
        pen.shape([(x, top), *wall], palette.pale if number % 2 else palette.accent)


def _flags(pen: Pen, palette: Palette, rng: Random) -> None:
    tints = (palette.pale, palette.accent, palette.bright)
    for line in range(2):
        start, end, sag = rng.uniform(-40, 120), rng.uniform(0, 160), rng.uniform(90, 150)
        drops = [(at / 26, start + (end - start) * at / 26) for at in range(27)]
        points = [(WIDTH * share, y + sag * math.sin(math.pi * share)) for share, y in drops]
        pen.line(points, 3, palette.pale)
        for number, ((x, y), (x2, y2)) in enumerate(pairwise(points)):
            tint = tints[(number + line) % 3]
            pen.shape([(x + 5, y), (x2 - 5, y2), ((x + x2) / 2, (y + y2) / 2 + 44)], tint)


def lanterns(palette: Palette, rng: Random) -> Canvas:
    """Lights that float up at dusk, some of them out of focus."""
    canvas = Canvas(falling(palette.dark, palette.deep, palette.middle, palette.bright))
    far = Pen()
    for _ in range(34):
        far.disc(rng.uniform(0, WIDTH), rng.uniform(0, 560), rng.uniform(5, 34), rng.randint(40, 130))
    canvas.light(palette.bright, soft(far.mask(), 6))
    for number in range(2):
        hill = Pen()
        hill.ground(wave(560 + 60 * number, (30, rng.uniform(700, 1200), rng.random())))
        canvas.put(mix(palette.deep, palette.dark, 0.5 + 0.5 * number), hill)
    shine, bodies, flames = Pen(), Pen(), Pen()
    for column in range(7):
        x = WIDTH * (column + rng.uniform(0.3, 0.7)) / 7
        y, size = rng.uniform(90, 470), rng.uniform(30, 62)
        shine.disc(x, y, size * 1.9, 190)
        bodies.shape(
            [
                (x - size * 0.62, y - size),
                (x + size * 0.62, y - size),
                (x + size * 0.8, y),
                (x + size * 0.5, y + size),
                (x - size * 0.5, y + size),
                (x - size * 0.8, y),
            ]
        )
        flames.disc(x, y + size * 0.55, size * 0.5, 255)
    canvas.light(palette.accent, weak(soft(shine.mask(), 48), 0.8))
    canvas.put(falling(mix(palette.accent, palette.bright, 0.5), palette.accent), bodies)
    canvas.light(palette.pale, soft(flames.mask(), 14))
    return canvas


def fireworks(palette: Palette, rng: Random) -> Canvas:
    """Sparks over a dark sky."""
    canvas = Canvas(falling(palette.dark, palette.dark, palette.deep, palette.middle))
    tints = (palette.accent, palette.bright, palette.pale)
    for number, tint in enumerate(tints):
        x, y = WIDTH * (0.2 + 0.3 * number) + rng.uniform(-60, 60), rng.uniform(170, 360)
        size = rng.uniform(170, 260)
        canvas.light(tint, weak(glow(x, y, size * 1.5), 0.55))
        sparks = Pen()
        for ray in range(36):
            turn = ray * math.pi / 18 + rng.uniform(-0.05, 0.05)
            far = size * rng.uniform(0.72, 1.05)
            for step in range(14):
                share = 0.25 + 0.75 * step / 13
                at = x + far * share * math.cos(turn), y + far * share * math.sin(turn) + 46 * share**2
                sparks.disc(*at, 1.2 + 2.6 * share, round(255 * share))
        mask = sparks.mask()
        canvas.light(tint, soft(mask, 12))
        canvas.put(mix(tint, palette.pale, 0.45), mask)
    hill = Pen()
    hill.ground(wave(640, (26, 900, rng.random()), (8, 300, rng.random())))
    canvas.put(palette.dark, hill)
    return canvas


def rainbow(palette: Palette, rng: Random) -> Canvas:
    """An arc between clouds of paper."""
    canvas = Canvas(falling(palette.middle, palette.bright, palette.pale))
    x = WIDTH * rng.uniform(0.38, 0.62)
    arcs = Pen()
    for number, tint in enumerate(
        (palette.accent, palette.pale, palette.deep, palette.bright, palette.middle)
    ):
        arcs.ring(x, 640, 500 - 58 * number, 60, tint)
    canvas.stick(arcs)
    for number in range(5):
        cloud = Pen()
        middle, foot = WIDTH * number / 4 + rng.uniform(-70, 70), rng.uniform(580, 640)
        for puff in range(-2, 3):
            size = (98 - 22 * abs(puff)) * rng.uniform(0.85, 1.2)
            cloud.disc(middle + puff * 78, foot - size * 0.4, size)
        cloud.box(middle - 240, foot - 20, 480, 240, 60)
        mask = cloud.mask()
        canvas.put(palette.dark, weak(soft(mask, 22), 0.3))
        canvas.put(falling(palette.pale, palette.pale, mix(palette.pale, palette.bright, 0.45)), mask)
    return canvas


def balloons(palette: Palette, rng: Random) -> Canvas:
    """Hot air balloons above the hills."""
    canvas = Canvas(falling(palette.middle, palette.bright, palette.pale))
    canvas.light(palette.pale, glow(WIDTH * 0.7, 560, 620))
    for number in range(2):
        hill = Pen()
        hill.ground(wave(560 + 64 * number, (40, rng.uniform(800, 1200), rng.random())))
        canvas.put(mix(palette.middle, palette.deep, 0.35 + 0.6 * number), hill)
    pen, shine = Pen(), Pen()
    pairs = ((palette.accent, palette.pale), (palette.deep, palette.bright))
    for number, (across, down, size) in enumerate(
        [(0.2, 0.4, 130), (0.53, 0.3, 96), (0.82, 0.47, 116), (0.38, 0.66, 52)]
    ):
        x, y = WIDTH * across + rng.uniform(-40, 40), HEIGHT * down + rng.uniform(-24, 24)
        for turn in (-1, 1):
            pen.line(
                [(x + turn * size * 0.5, y + size * 0.8), (x + turn * size * 0.16, y + size * 1.55)],
                3,
                palette.dark,
            )
        pen.box(x - size * 0.2, y + size * 1.5, size * 0.4, size * 0.3, 6, palette.dark)
        one, other = pairs[number % 2]
        for wide, tint in ((1, one), (0.66, other), (0.3, one)):
            pen.shape(_envelope(x, y, size, wide), tint)
        shine.disc(x - size * 0.35, y - size * 0.4, size * 0.5, 90)
    canvas.stick(pen)
    canvas.light(palette.pale, soft(shine.mask(), 30))
    return canvas


def _envelope(x: float, y: float, size: float, wide: float) -> list[Point]:
    points = []
    for step in range(41):
        turn = 2 * math.pi * step / 40
        across, down = math.sin(turn), -math.cos(turn)
        narrow = 1 if down < 0 else 1 - 0.5 * down**1.5
        points.append((x + size * wide * across * narrow, y + size * down * (1 if down < 0 else 1.15)))
    return points
