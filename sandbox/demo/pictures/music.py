"""Scenes of concerts."""

import math
from random import Random

from PIL import ImageChops

from sandbox.demo.pictures.canvas import (
    HEIGHT,
    WIDTH,
    Canvas,
    Pen,
    between,
    clouded,
    falling,
    glow,
    mix,
    soft,
    wave,
    weak,
)
from sandbox.demo.pictures.palettes import Palette


def stage(palette: Palette, rng: Random) -> Canvas:
    """Light cones over a crowd."""
    canvas = Canvas(falling(palette.dark, palette.deep, palette.middle))
    canvas.light(palette.bright, glow(WIDTH / 2, HEIGHT * 0.8, 760, 420))
    fade = falling(*((level,) * 3 for level in (255, 170, 0))).convert("L")
    lamps = Pen()
    for first, tint in enumerate((palette.bright, palette.accent, palette.middle)):
        beams = Pen()
        for number in range(first, 7, 3):
            x = WIDTH * (number + 0.5) / 7
            lean = (3 - number) * rng.uniform(30, 90)
            spread = rng.uniform(55, 120)
            foot = [(x + lean + spread, 640), (x + lean - spread, 640)]
            beams.shape([(x - 7, -10), (x + 7, -10), *foot], 150)
            lamps.disc(x, -6, 26)
        canvas.light(tint, ImageChops.multiply(soft(beams.mask(), 12), fade))
    canvas.light(palette.pale, soft(lamps.mask(), 22))
    crowd = Pen()
    for row, ink in ((0, 150), (1, 255)):
        x = -20.0
        while x < WIDTH + 40:
            size = rng.uniform(20, 27) + 8 * row
            top = HEIGHT - 168 + 62 * row + rng.uniform(-16, 16)
            crowd.disc(x, top, size * 0.72, ink)
            crowd.box(x - size * 1.2, top + size * 0.6, size * 2.4, 300, size, ink)
            if rng.random() < 0.3:
                hand = (
                    x + rng.choice((-1, 1)) * size * rng.uniform(0.9, 1.6),
                    top - size * rng.uniform(2, 3.4),
                )
                crowd.line([(x, top + size), hand], size * 0.42, ink)
                crowd.disc(*hand, size * 0.28, ink)
            x += size * rng.uniform(1.7, 2.3)
    canvas.put(palette.dark, crowd)
    return canvas


def ridges(palette: Palette, rng: Random) -> Canvas:
    """Lines that rise around the middle, each in front of the one before."""
    canvas, pen = Canvas(palette.dark), Pen()
    lines = 22
    for number in range(lines):
        share = number / (lines - 1)
        base = 196 + number * 23
        high = [(rng.gauss(WIDTH / 2, 170), rng.uniform(24, 70), rng.uniform(14, 78)) for _ in range(7)]
        line = [
            (x, base - rng.uniform(0, 2.5) - sum(h * math.exp(-(((x - at) / w) ** 2)) for at, w, h in high))
            for x in range(-8, WIDTH + 16, 8)
        ]
        pen.ground(line, mix(palette.dark, palette.deep, 0.6 * share))
        pen.line(line, 3, between(share, palette.pale, palette.bright, palette.middle))
    canvas.stick(pen)
    canvas.light(palette.middle, weak(glow(WIDTH / 2, HEIGHT * 0.45, 720, 480), 0.5))
    return canvas


def waves(palette: Palette, rng: Random) -> Canvas:
    """A sun above layers of water."""
    canvas = Canvas(falling(palette.deep, palette.middle, palette.bright))
    x = WIDTH * rng.uniform(0.38, 0.62)
    canvas.light(palette.bright, glow(x, 250, 430))
    sun = Pen()
    sun.disc(x, 250, 118)
    canvas.put(falling(palette.pale, mix(palette.pale, palette.bright, 0.8)), sun)
    layers = 7
    for number in range(layers):
        share = number / (layers - 1)
        length = rng.uniform(620, 1100)
        line = wave(
            310 + 62 * number,
            (34 - 2 * number, length, rng.random()),
            (11, length / 2.6, rng.random()),
        )
        layer = Pen()
        layer.ground(line)
        top = between(share, palette.accent, palette.middle, palette.dark)
        canvas.put(falling(mix(top, palette.pale, 0.14), top, mix(top, palette.dark, 0.45)), layer)
    return canvas


def record(palette: Palette, rng: Random) -> Canvas:
    """Rings around a point beside the middle."""
    canvas = Canvas(clouded([palette.middle, palette.bright, palette.deep, palette.middle], 2, 2))
    x, y = WIDTH * rng.uniform(0.42, 0.58), HEIGHT * rng.uniform(0.46, 0.54)
    shadow = Pen()
    shadow.disc(x + 14, y + 22, 318)
    canvas.put(palette.dark, weak(soft(shadow.mask(), 26), 0.55))
    disc = Pen()
    disc.disc(x, y, 315)
    canvas.put(falling(mix(palette.dark, palette.deep, 0.35), palette.dark), disc)
    grooves = Pen()
    radius = 305.0
    while radius > 120:
        grooves.ring(x, y, radius, 1.6, rng.randint(26, 74))
        radius -= rng.uniform(5, 9)
    canvas.put(palette.pale, grooves)
    shine = Pen()
    for start in (205, 25):
        shine.slice(x, y, 312, start, start + 34, 80)
    canvas.light(palette.bright, soft(shine.mask(), 16))
    label = Pen()
    label.disc(x, y, 112)
    canvas.put(falling(palette.accent, mix(palette.accent, palette.dark, 0.25)), label)
    inner = Pen()
    inner.ring(x, y, 88, 3, 160)
    inner.slice(x, y, 84, 180, 360)
    canvas.put(palette.pale, inner)
    hole = Pen()
    hole.disc(x, y, 13)
    canvas.put(palette.dark, hole)
    return canvas


def bars(palette: Palette, rng: Random) -> Canvas:
    """What a song looks like, mirrored."""
    canvas = Canvas(
        clouded([palette.dark, palette.dark, palette.deep, palette.deep, palette.dark, palette.dark], 3, 2)
    )
    canvas.light(palette.middle, weak(glow(WIDTH / 2, HEIGHT / 2, 700, 380), 0.8))
    count, phase = 41, rng.random() * 6
    pen = Pen()
    for number in range(count):
        x = (number + 0.5) * WIDTH / count
        swell = 0.35 + 0.65 * math.exp(-(((number - count / 2) / 13) ** 2))
        beat = 0.35 + 0.65 * abs(math.sin(number * 0.55 + phase) * math.cos(number * 0.21 + phase))
        high = 30 + 470 * swell * beat * rng.uniform(0.8, 1)
        pen.box(x - 8, (HEIGHT - high) / 2, 16, high, 8)
    mask = pen.mask()
    canvas.light(palette.middle, weak(soft(mask, 30), 0.7))
    canvas.put(
        clouded([palette.accent, palette.bright, palette.pale, palette.bright, palette.accent] * 2, 5, 2),
        mask,
    )
    return canvas
