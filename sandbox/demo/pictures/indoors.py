"""Scenes of theatres, comedy clubs and sport."""

import math
from random import Random

from PIL import Image, ImageChops

from sandbox.demo.pictures.canvas import (
    HEIGHT,
    SIZE,
    WIDTH,
    Canvas,
    Pen,
    between,
    clouded,
    dots,
    falling,
    glow,
    mix,
    soft,
    weak,
)
from sandbox.demo.pictures.palettes import Palette


def curtain(palette: Palette, rng: Random) -> Canvas:
    """A curtain that opens on a lit stage."""
    canvas = Canvas(falling(palette.dark, palette.deep, palette.bright))
    canvas.light(palette.bright, glow(WIDTH / 2, 560, 460, 330))
    floor = Pen()
    floor.box(0, 590, WIDTH, 200)
    canvas.put(falling(palette.dark, mix(palette.bright, palette.deep, 0.35), palette.deep), floor)
    pool = Pen()
    pool.disc(WIDTH / 2, 640, 190, 230, 0.17)
    canvas.light(palette.pale, soft(pool.mask(), 8))
    phase = rng.random()
    cloth = [
        between(
            0.5 + 0.5 * math.sin(x / 3.1 + phase + 0.6 * math.sin(x / 11)),
            palette.dark,
            palette.deep,
            palette.middle,
        )
        for x in range(160)
    ]
    folds = dots(cloth, 160, 1).resize(SIZE, Image.Resampling.BICUBIC)
    gap = rng.uniform(190, 260)
    sides = Pen()
    for turn in (-1, 1):
        edge = [
            (WIDTH / 2 + turn * (50 + gap * (1 - (1 - step / 20) ** 2.4)), 680 * step / 20)
            for step in range(21)
        ]
        sides.shape([*edge, (WIDTH / 2 + turn * 700, 680), (WIDTH / 2 + turn * 700, 0)])
    _hang(canvas, palette, folds, sides.mask())
    valance = Pen()
    for number in range(9):
        valance.disc((number + 0.5) * WIDTH / 9, 40, 84, flat=0.8)
    valance.box(0, 0, WIDTH, 50)
    _hang(canvas, palette, Image.blend(folds, falling(palette.dark, palette.middle), 0.6), valance.mask())
    return canvas


def _hang(canvas: Canvas, palette: Palette, cloth: Image.Image, mask: Image.Image) -> None:
    """Cloth and its shadow."""
    canvas.put(palette.dark, weak(ImageChops.offset(soft(mask, 24), 0, 10), 0.75))
    canvas.put(cloth, mask)


def arches(palette: Palette, rng: Random) -> Canvas:
    """Arch behind arch, the light at their end."""
    steps = 7
    x = WIDTH * rng.uniform(0.44, 0.56)
    canvas, pen = Canvas(palette.dark), Pen()
    for number in range(steps):
        share = (number + 1) / steps
        tint = between(share, palette.dark, palette.deep, palette.middle, palette.bright, palette.pale)
        wide, foot = 600 - 84 * number, HEIGHT - 26 * number
        middle = WIDTH / 2 + (x - WIDTH / 2) * share
        top = 20 + 50 * number
        pen.disc(middle, top + wide / 2, wide / 2 * 1.9, tint, 0.55)
        pen.box(middle - wide / 2 * 1.9, top + wide / 2, wide * 1.9, foot - top - wide / 2, ink=tint)
    sun = between(1, palette.pale, palette.accent)
    pen.disc(x, 470, 42, sun)
    canvas.stick(pen)
    canvas.light(palette.bright, weak(glow(x, 470, 380), 0.5))
    return canvas


def bricks(palette: Palette, rng: Random) -> Canvas:
    """A microphone in a spotlight, in front of a wall."""
    canvas, pen = Canvas(mix(palette.dark, palette.deep, 0.35)), Pen()
    for row in range(13):
        for column in range(-1, 12):
            shade = mix(palette.deep, palette.middle, rng.uniform(0.05, 0.5))
            pen.box(column * 118 + (row % 2) * 59, row * 50, 111, 43, 5, shade)
    canvas.stick(pen)
    x = WIDTH * rng.uniform(0.44, 0.56)
    spot = Pen()
    spot.disc(x, 330, 285)
    light = ImageChops.lighter(weak(soft(spot.mask(), 22), 0.62), weak(glow(x, 330, 620), 0.5))
    dim = ImageChops.invert(light)
    canvas.put(palette.dark, weak(dim, 0.82))
    canvas.light(palette.bright, weak(light, 0.75))
    stand = Pen()
    stand.line([(x, 330), (x, 700)], 9)
    stand.disc(x, 706, 96, flat=0.16)
    stand.line([(x - 2, 322), (x + 44, 268)], 26)
    stand.disc(x + 62, 246, 36)
    canvas.put(palette.dark, stand)
    head = Pen()
    head.ring(x + 62, 246, 36, 4)
    head.slice(x + 62, 246, 30, 190, 290, 110)
    canvas.put(palette.pale, weak(head.mask(), 0.8))
    return canvas


def sunburst(palette: Palette, rng: Random) -> Canvas:
    """Rays and a grid of dots."""
    x, y = WIDTH * rng.uniform(0.4, 0.6), HEIGHT * rng.choice((0.56, 0.9))
    canvas, pen = Canvas(palette.bright), Pen()
    rays = 2 * rng.choice((11, 13))
    for number in range(0, rays, 2):
        turn = 360 / rays
        pen.slice(x, y, 1700, number * turn, (number + 1) * turn, mix(palette.bright, palette.middle, 0.75))
    canvas.stick(pen)
    canvas.light(palette.pale, weak(glow(x, y, 620), 0.7))
    grid = Pen()
    for row in range(21):
        for column in range(37):
            across, down = column * 36 + (row % 2) * 18, row * 36
            size = 16 * (math.hypot(across - x, down - y) / 900 - 0.22)
            if size > 0.8:
                grid.disc(across, down, min(size, 15))
    canvas.put(palette.deep, weak(grid.mask(), 0.9))
    disc = Pen()
    disc.disc(x, y, 178, palette.pale)
    disc.disc(x, y, 156, palette.accent)
    canvas.stick(disc)
    return canvas


def pitch(palette: Palette, rng: Random) -> Canvas:
    """A field from above, under floodlights."""
    canvas, pen = Canvas(palette.middle), Pen()
    turn = rng.choice((-1, 1)) * rng.uniform(0.12, 0.3)
    for number in range(-3, 14, 2):
        left = number * 128
        lean = 720 * turn
        pen.shape(
            [(left + lean, 0), (left + 128 + lean, 0), (left + 128 - lean, HEIGHT), (left - lean, HEIGHT)],
            mix(palette.middle, palette.deep, 0.3),
        )
    canvas.stick(pen)
    lines = Pen()
    cos, sin = math.cos(turn), math.sin(turn)

    def at(x: float, y: float) -> tuple[float, float]:
        return WIDTH / 2 + x * cos - y * sin, HEIGHT / 2 + x * sin + y * cos

    lines.line([at(0, -600), at(0, 600)], 9)
    lines.ring(*at(0, 0), 170, 9)
    lines.disc(*at(0, 0), 15)
    for side in (-1, 1):
        lines.line([at(side * 900, -230), at(side * 470, -230), at(side * 470, 230), at(side * 900, 230)], 9)
    canvas.put(palette.pale, weak(lines.mask(), 0.92))
    ball = at(rng.uniform(180, 300) * rng.choice((-1, 1)), rng.uniform(-120, 120))
    shadow = Pen()
    shadow.disc(ball[0] + 16, ball[1] + 22, 42)
    canvas.put(palette.dark, weak(soft(shadow.mask(), 12), 0.6))
    pen = Pen()
    pen.disc(*ball, 42)
    canvas.put(falling(palette.accent, mix(palette.accent, palette.dark, 0.2)), pen)
    canvas.light(palette.bright, weak(glow(WIDTH * 0.1, 0, 900, 700), 0.5))
    canvas.put(palette.dark, weak(ImageChops.invert(glow(WIDTH / 2, HEIGHT / 2, 1500, 1000)), 0.55))
    return canvas


def lanes(palette: Palette, rng: Random) -> Canvas:
    """The bend of a running track."""
    x, y = WIDTH * rng.choice((0.1, 0.9)), HEIGHT * 1.25
    canvas, pen = Canvas(palette.deep), Pen()
    count = 9
    for number in range(count):
        radius = 1120 - number * 88
        pen.disc(x, y, radius, between(number / (count - 1), palette.middle, palette.bright))
        pen.ring(x, y, radius, 5, palette.pale)
    pen.disc(x, y, 1120 - count * 88, mix(palette.accent, palette.deep, 0.15))
    pen.ring(x, y, 1120 - count * 88, 5, palette.pale)
    canvas.stick(pen)
    starts = Pen()
    for number in range(count):
        radius = 1120 - number * 88
        turn = -math.pi / 2 + (1 if x < WIDTH / 2 else -1) * (0.2 + 0.075 * number)
        ends = [
            (x + length * math.cos(turn), y + length * math.sin(turn)) for length in (radius - 4, radius - 86)
        ]
        starts.line(ends, 11)
    canvas.put(palette.pale, starts)
    canvas.light(palette.pale, weak(glow(WIDTH - x, 0, 900, 620), 0.45))
    return canvas


def stripes(palette: Palette, rng: Random) -> Canvas:
    """Speed."""
    canvas = Canvas(clouded([palette.deep, palette.dark, palette.middle, palette.deep], 2, 2))
    colours = [palette.middle, palette.bright, palette.accent, palette.pale]
    for number in range(4):
        pen = Pen()
        for _ in range(6):
            x, y = rng.uniform(-200, WIDTH), rng.uniform(0, HEIGHT)
            long, thick = rng.uniform(260, 900), rng.uniform(10, 54)
            pen.shape(
                [
                    (x, y),
                    (x + long, y - long * 0.36),
                    (x + long + thick * 0.5, y - long * 0.36 + thick),
                    (x + thick * 0.5, y + thick),
                ]
            )
        canvas.put(colours[number], weak(pen.mask(), 0.9))
    return canvas
