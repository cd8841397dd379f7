"""The pictures of the demo's events: painted by code, always the same for the same title."""

import io
from collections.abc import Callable
from functools import cache
from random import Random

from sandbox.demo.pictures import abstract, indoors, music, outdoors, places
from sandbox.demo.pictures.canvas import Canvas
from sandbox.demo.pictures.palettes import PALETTES, Palette

Scene = Callable[[Palette, Random], Canvas]

SCENES: dict[str, Scene] = {
    scene.__name__: scene
    for scene in (
        *(music.stage, music.ridges, music.waves, music.record, music.bars),
        *(indoors.curtain, indoors.arches, indoors.bricks, indoors.sunburst),
        *(indoors.pitch, indoors.lanes, indoors.stripes),
        *(outdoors.meadow, outdoors.lanterns, outdoors.fireworks, outdoors.rainbow, outdoors.balloons),
        *(places.planets, places.skyline, places.contours),
        *(abstract.tiles, abstract.discs, abstract.cutouts, abstract.confetti),
    )
}


@cache
def picture(title: str, look: str) -> bytes:
    """A JPEG of 1280 by 720 pixels; `look` names a scene and a palette."""
    scene, palette = look.split()
    canvas = SCENES[scene](PALETTES[palette], Random(title))  # noqa: S311 - chance that repeats itself is wanted
    file = io.BytesIO()
    canvas.image.save(file, "JPEG", quality=92)
    return file.getvalue()
