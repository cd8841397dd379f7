"""Scenes of exhibitions, and of whatever has no other."""

import math
from random import Random

from sandbox.demo.pictures.canvas import HEIGHT, WIDTH, Canvas, Pen, clouded, falling, mix, weak
from sandbox.demo.pictures.palettes import Palette


def tiles(palette: Palette, rng: Random) -> Canvas:
    """Quarters and halves of circles in a grid."""
    size = 160
    canvas, pen = Canvas(palette.pale), Pen()
    for row in range(-1, HEIGHT // size + 1):
        for column in range(WIDTH // size):
            x, y = column * size, row * size + 40
            back, front, spot = rng.sample(palette.loud, 3)
            pen.box(x, y, size, size, ink=back)
            turn = rng.randrange(4)
            corner = (x + size * (turn in (1, 2)), y + size * (turn in (2, 3)))
            match rng.randrange(5):
                case 0 | 1:
                    pen.slice(*corner, size, turn * 90, turn * 90 + 90, front)
                    pen.slice(*corner, size / 2, turn * 90, turn * 90 + 90, spot)
                case 2:
                    pen.disc(x + size / 2, y + size / 2, size * 0.36, front)
                    pen.slice(x + size / 2, y + size / 2, size * 0.36, turn * 90, turn * 90 + 180, spot)
                case 3:
                    pen.slice(x + size / 2, y, size / 2, 0, 180, front)
                    pen.slice(x + size / 2, y + size / 2, size / 2, 0, 180, spot)
                case _:
                    pen.shape(
                        [
                            corner,
                            (x + size - (corner[0] - x), corner[1]),
                            (corner[0], y + size - (corner[1] - y)),
                        ],
                        front,
                    )
    canvas.stick(pen)
    return canvas


def discs(palette: Palette, rng: Random) -> Canvas:
    """Circles of coloured glass over each other."""
    canvas = Canvas(falling(palette.pale, mix(palette.pale, palette.bright, 0.35)))
    tints = [palette.middle, palette.accent, palette.bright, palette.deep, palette.middle, palette.accent]
    for number, tint in enumerate(tints):
        pen = Pen()
        x = WIDTH * (0.14 + 0.145 * number) + rng.uniform(-40, 40)
        y = HEIGHT * (0.5 + 0.2 * math.sin(number * 1.9 + rng.random()))
        radius = rng.uniform(110, 230)
        pen.disc(x, y, radius)
        if number % 3 == 1:
            pen.disc(x, y, radius * 0.55, 0)
        canvas.put(tint, weak(pen.mask(), 0.8))
    line = Pen()
    line.line([(0, HEIGHT * 0.74), (WIDTH, HEIGHT * rng.uniform(0.3, 0.5))], 6)
    canvas.put(palette.dark, line)
    return canvas


def cutouts(palette: Palette, rng: Random) -> Canvas:
    """Leaves cut from paper, each on a sheet of its own."""
    columns = 5
    canvas, pen = Canvas(palette.pale), Pen()
    wide, high = WIDTH / columns, HEIGHT / 2
    tints = list(palette.loud)
    for row in range(2):
        for column in range(columns):
            back = tints[(column + 2 * row) % 5]
            front = tints[(column + 2 * row + rng.choice((2, 3))) % 5]
            x, y = column * wide, row * high
            pen.box(x, y, wide, high, ink=back)
            _leaf(pen, x + wide / 2, y + high / 2, rng, front)
    canvas.stick(pen)
    return canvas


def _leaf(pen: Pen, x: float, y: float, rng: Random, tint: tuple[int, int, int]) -> None:
    lobes, tilt, phase = rng.choice((5, 7, 9)), rng.uniform(-0.6, 0.6), rng.random() * 6
    points = []
    for step in range(180):
        turn = step * math.pi / 90
        reach = 92 + 34 * math.sin(lobes * turn + phase) + 12 * math.sin(2 * turn)
        across, down = reach * 0.86 * math.cos(turn), reach * 1.16 * math.sin(turn)
        points.append(
            (
                x + across * math.cos(tilt) - down * math.sin(tilt),
                y + across * math.sin(tilt) + down * math.cos(tilt),
            )
        )
    pen.shape(points, tint)


def confetti(palette: Palette, rng: Random) -> Canvas:
    """Shapes thrown in the air."""
    canvas = Canvas(clouded([palette.middle, palette.bright, palette.middle, palette.deep], 2, 2))
    tints = (palette.pale, palette.accent, palette.bright, palette.dark)
    pen = Pen()
    for number in range(60):
        x = WIDTH * (number % 10 + rng.uniform(0.1, 0.9)) / 10
        y = HEIGHT * (number // 10 + rng.uniform(0.1, 0.9)) / 6
        turn, size, tint = rng.uniform(0, 6.3), rng.uniform(20, 46), rng.choice(tints)
        match rng.randrange(4):
            case 0:
                pen.disc(x, y, size * 0.6, tint)
            case 1:
                corners = (turn, turn + 2.1, turn + 4.2)
                pen.shape([(x + size * math.cos(at), y + size * math.sin(at)) for at in corners], tint)
            case 2:
                pen.ring(x, y, size * 0.8, size * 0.3, tint)
            case _:
                cos, sin = math.cos(turn), math.sin(turn)
                steps = [(size * (at / 6 - 2), 11 * math.sin(at * 0.6)) for at in range(25)]
                pen.line([(x + a * cos - d * sin, y + a * sin + d * cos) for a, d in steps], 10, tint)
    canvas.stick(pen)
    return canvas
