"""Each scene paints one subject in the colors of a palette, with random details."""

import math
from collections.abc import Callable
from itertools import pairwise
from random import Random

from sandbox.demo.pictures.canvas import HEIGHT, WIDTH, Canvas, mix, polar, wave
from sandbox.demo.pictures.palettes import Palette

Scene = Callable[[Palette, Random], Canvas]


def stage(palette: Palette, rng: Random) -> Canvas:
    """Spotlights over a crowd."""
    canvas = Canvas(palette.dark, palette.deep, palette.middle)
    canvas.glow(WIDTH / 2, 600, 700, palette.bright, 0.8)
    for number in range(7):
        x, tint = WIDTH * (number + 0.5) / 7, (palette.bright, palette.accent, palette.pale)[number % 3]
        foot, spread = x + 150 * (3 - number), rng.uniform(40, 75)
        for step in range(1, 4):
            ends = [(foot + spread * step, HEIGHT), (foot - spread * step, HEIGHT)]
            canvas.polygon([(x - 6, -10), (x + 6, -10), *ends], (*tint, 34))
        canvas.glow(x, 0, 90, palette.pale)
    for row in range(2):
        tint, x = mix(row, mix(0.5, palette.dark, palette.deep), palette.dark), -20.0
        while x < WIDTH + 40:
            size, top = rng.uniform(22, 28) + 8 * row, 560 + 62 * row + rng.uniform(-16, 16)
            canvas.disc(x, top, size * 0.72, tint)
            canvas.box(x - size * 1.2, top + size * 0.6, size * 2.4, 300, tint, size)
            if rng.random() < 0.3:
                hand = x + size * rng.uniform(-1.4, 1.4), top - size * rng.uniform(2, 3.2)
                canvas.line([(x, top + size), hand], size * 0.42, tint)
            x += size * rng.uniform(1.7, 2.3)
    return canvas


def ridges(palette: Palette, rng: Random) -> Canvas:
    """Lines that rise around the middle, each in front of the previous one."""
    canvas = Canvas(palette.dark, palette.dark, palette.deep)
    for number in range(22):
        hills = [(rng.gauss(WIDTH / 2, 170), rng.uniform(24, 70), rng.uniform(14, 78)) for _ in range(7)]
        line = [
            (x, 196 + 23 * number - sum(top * math.exp(-(((x - at) / wide) ** 2)) for at, wide, top in hills))
            for x in range(-8, WIDTH + 16, 8)
        ]
        canvas.ground(line, mix(number / 34, palette.dark, palette.deep))
        canvas.line(line, 3, mix(number / 21, palette.pale, palette.bright, palette.middle))
    return canvas


def waves(palette: Palette, rng: Random) -> Canvas:
    """The sun above layers of water."""
    canvas = Canvas(palette.deep, palette.middle, palette.bright)
    x = WIDTH * rng.uniform(0.38, 0.62)
    canvas.glow(x, 250, 420, palette.pale, 0.7)
    canvas.disc(x, 250, 118, palette.pale)
    for number in range(7):
        line = wave(310 + 62 * number, 36 - 2 * number, rng.uniform(620, 1100), rng.random())
        canvas.ground(line, mix(number / 6, palette.accent, palette.middle, palette.dark))
    return canvas


def record(palette: Palette, rng: Random) -> Canvas:
    """A vinyl record."""
    canvas = Canvas(palette.bright, palette.middle)
    x, y = WIDTH * rng.uniform(0.4, 0.6), HEIGHT * rng.uniform(0.46, 0.54)
    canvas.glow(x + 20, y + 40, 480, palette.dark)
    canvas.disc(x, y, 315, palette.dark)
    for number in range(30):
        canvas.ring(x, y, 305 - 6.5 * number, 1.5, mix(rng.uniform(0.08, 0.25), palette.dark, palette.pale))
    for start in (205, 209, 213, 25, 29, 33):
        canvas.slice(x, y, 312, start, start + 24, (*palette.bright, 30))
    canvas.disc(x, y, 112, palette.accent)
    canvas.slice(x, y, 84, 180, 360, palette.pale)
    canvas.disc(x, y, 13, palette.dark)
    return canvas


def bars(palette: Palette, rng: Random) -> Canvas:
    """An audio waveform made of bars."""
    canvas, start = Canvas(palette.dark, palette.deep, palette.dark), rng.uniform(0, 6)
    canvas.glow(WIDTH / 2, HEIGHT / 2, 620, palette.middle, 0.8)
    for number in range(41):
        swell = 0.35 + 0.65 * math.exp(-(((number - 20) / 13) ** 2))
        beat = 0.35 + 0.65 * abs(math.sin(number * 0.55 + start) * math.cos(number * 0.21 + start))
        high = 30 + 470 * swell * beat * rng.uniform(0.8, 1)
        tint = mix(number / 40, palette.accent, palette.bright, palette.pale, palette.bright)
        canvas.box((number + 0.5) * WIDTH / 41 - 8, (HEIGHT - high) / 2, 16, high, tint, 8)
    return canvas


def curtain(palette: Palette, rng: Random) -> Canvas:
    """A curtain that opens on a lit stage."""
    canvas = Canvas(palette.dark, palette.deep, palette.bright)
    canvas.box(0, 590, WIDTH, 200, mix(0.4, palette.deep, palette.dark))
    canvas.glow(WIDTH / 2, 560, 460, palette.pale, 0.7)
    canvas.disc(WIDTH / 2, 640, 190, palette.pale, 0.17)
    gap, start = rng.uniform(190, 260), rng.uniform(0, 6)
    for x in range(0, WIDTH, 2):
        fold = 0.5 + 0.5 * math.sin(x / 25 + start + 0.6 * math.sin(x / 88))
        tint = mix(fold, palette.dark, palette.deep, palette.middle)
        opened = min(1, max(0, (abs(x - WIDTH / 2) - 50) / gap))
        canvas.box(x, -1, 2, 690 * (1 - (1 - opened) ** 0.42) + 1, tint)
        hem = 60 + 50 * math.sqrt(abs(math.sin(9 * math.pi * x / WIDTH)))
        canvas.box(x, 0, 2, hem, mix(0.4, tint, palette.dark))
    return canvas


def arches(palette: Palette, rng: Random) -> Canvas:
    """Arches, one behind the other, that lead to a light."""
    canvas, shift = Canvas(palette.dark, palette.dark), WIDTH * rng.uniform(-0.06, 0.06)
    for number in range(7):
        share = (number + 1) / 7
        x, half, top = WIDTH / 2 + shift * share, 570 - 80 * number, 20 + 50 * number
        tint = mix(share, palette.dark, palette.deep, palette.middle, palette.bright, palette.pale)
        canvas.disc(x, top + half * 0.53, half, tint, 0.55)
        canvas.box(x - half, top + half * 0.53, 2 * half, HEIGHT - 26 * number - top - half * 0.53, tint)
    canvas.disc(x, 470, 42, palette.accent)
    return canvas


def sunburst(palette: Palette, rng: Random) -> Canvas:
    """Rays and a grid of dots."""
    canvas = Canvas(palette.bright, palette.bright)
    x, y, rays = WIDTH * rng.uniform(0.4, 0.6), HEIGHT * rng.choice((0.56, 0.9)), rng.choice((22, 26))
    tint = mix(0.75, palette.bright, palette.middle)
    for number in range(0, rays, 2):
        canvas.slice(x, y, 1700, 360 * number / rays, 360 * (number + 1) / rays, tint)
    canvas.glow(x, y, 620, palette.pale, 0.7)
    for number in range(21 * 37):
        row, column = divmod(number, 37)
        across, down = column * 36 + row % 2 * 18, row * 36
        canvas.disc(across, down, max(0, math.hypot(across - x, down - y) / 56 - 3.5), palette.deep)
    canvas.disc(x, y, 178, palette.pale)
    canvas.disc(x, y, 156, palette.accent)
    return canvas


def stripes(palette: Palette, rng: Random) -> Canvas:
    """Stripes that suggest speed."""
    canvas = Canvas(palette.dark, palette.deep, palette.middle)
    for number in range(26):
        tint = (palette.middle, palette.bright, palette.accent, palette.pale)[number // 7]
        x, y = rng.uniform(-200, WIDTH), rng.uniform(0, HEIGHT)
        end, bottom = x + rng.uniform(260, 900), y + rng.uniform(10, 54)
        rise = (end - x) * 0.36
        canvas.polygon([(x, y), (end, y - rise), (end + 20, bottom - rise), (x + 20, bottom)], (*tint, 230))
    return canvas


def meadow(palette: Palette, rng: Random) -> Canvas:
    """Flags above hills at sunset."""
    canvas = Canvas(palette.deep, palette.middle, palette.bright, palette.pale)
    x = WIDTH * rng.uniform(0.4, 0.6)
    canvas.glow(x, 400, 460, palette.pale)
    canvas.disc(x, 400, 92, palette.pale)
    for number in range(4):
        line = wave(440 + 66 * number, 40 - 5 * number, rng.uniform(800, 1300), rng.random())
        canvas.ground(line, mix(number / 3, palette.bright, palette.middle, palette.deep, palette.dark))
    tints = (palette.pale, palette.accent, palette.bright)
    for number in range(3):
        start, slope, sag = rng.uniform(-40, 120), rng.uniform(-3, 3), rng.uniform(90, 150)
        rope = [(50.0 * n, start + slope * n + sag * math.sin(math.pi * n / 26)) for n in range(27)]
        canvas.line(rope, 3, palette.pale)
        for flag, ((left, y1), (right, y2)) in enumerate(pairwise(rope)):
            canvas.polygon(
                [(left + 5, y1), (right - 5, y2), (left + 25, y1 + 46)], tints[(flag + number) % 3]
            )
    return canvas


def fireworks(palette: Palette, rng: Random) -> Canvas:
    """Fireworks above a hill."""
    canvas = Canvas(palette.dark, palette.dark, palette.deep, palette.middle)
    for number, tint in enumerate((palette.accent, palette.bright, palette.pale)):
        x, y = WIDTH * (0.2 + 0.3 * number) + rng.uniform(-60, 60), rng.uniform(170, 360)
        size, spark = rng.uniform(170, 260), mix(0.45, tint, palette.pale)
        canvas.glow(x, y, size * 1.5, tint, 0.5)
        for ray in range(36):
            length = size * rng.uniform(0.72, 1.05)
            for share in (0.25 + 0.055 * step for step in range(14)):
                at = polar(x, y + 46 * share**2, length * share, ray * math.pi / 18)
                canvas.disc(*at, 1.2 + 2.6 * share, (*spark, round(255 * share)))
    canvas.ground(wave(640, 26, 900, rng.random()), palette.dark)
    return canvas


def skyline(palette: Palette, rng: Random) -> Canvas:
    """A city at night with lit windows."""
    canvas, moon = Canvas(palette.dark, palette.deep, palette.middle), WIDTH * rng.uniform(0.36, 0.64)
    canvas.glow(moon, 190, 360, palette.pale, 0.7)
    canvas.disc(moon, 190, 74, palette.pale)
    for row, light in enumerate((palette.bright, palette.accent, palette.pale)):
        tint, left = mix(0.1 + 0.45 * row, palette.middle, palette.deep, palette.dark), -30.0
        while left < WIDTH:
            wide, top = rng.uniform(62, 128), 300 + 95 * row + rng.uniform(-80, 70)
            canvas.box(left, top, wide - 4, HEIGHT, tint)
            for y in range(int(top) + 18, HEIGHT, 30):
                for x in range(int(left) + 14, int(left + wide) - 22, 22):
                    if rng.random() < 0.36:
                        canvas.box(x, y, 10, 15, mix(rng.choice((0.2, 0.6)), light, tint))
            left += wide
    return canvas


def tiles(palette: Palette, rng: Random) -> Canvas:
    """Quarters and halves of circles in a grid."""
    canvas, size = Canvas(palette.pale, palette.pale), 160
    for number in range(40):
        x, y, quarter = number % 8 * size, number // 8 * size - 40, rng.randrange(4)
        back, front, spot = rng.sample(palette[1:], 3)
        canvas.box(x, y, size, size, back)
        corner = x + size * (quarter in (1, 2)), y + size * (quarter in (2, 3))
        if rng.random() < 0.6:
            canvas.slice(*corner, size, quarter * 90, quarter * 90 + 90, front)
            canvas.slice(*corner, size / 2, quarter * 90, quarter * 90 + 90, spot)
        else:
            canvas.disc(x + size / 2, y + size / 2, size * 0.36, front)
            canvas.slice(x + size / 2, y + size / 2, size * 0.36, quarter * 90, quarter * 90 + 180, spot)
    return canvas


def discs(palette: Palette, rng: Random) -> Canvas:
    """Overlapping circles of colored glass."""
    canvas = Canvas(palette.pale, mix(0.35, palette.pale, palette.bright))
    for number in range(8):
        x, y = WIDTH * (0.08 + 0.12 * number) + rng.uniform(-40, 40), rng.uniform(180, 540)
        radius = rng.uniform(90, 220)
        tint = (palette.middle, palette.accent, palette.bright, palette.deep)[number % 4]
        canvas.ring(x, y, radius, radius * rng.choice((0.45, 1, 1)), (*tint, 205))
    canvas.line([(0, HEIGHT * 0.74), (WIDTH, HEIGHT * rng.uniform(0.3, 0.5))], 6, palette.dark)
    return canvas


_all = (stage, ridges, waves, record, bars, curtain, arches)
_more = (sunburst, stripes, meadow, fireworks, skyline, tiles, discs)
SCENES: dict[str, Scene] = {scene.__name__: scene for scene in _all + _more}
