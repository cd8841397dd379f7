"""Pictures of the demo's events. The same title and look always give the same picture."""

from functools import cache
from random import Random

from sandbox.demo.pictures.palettes import PALETTES
from sandbox.demo.pictures.scenes import SCENES


@cache
def picture(title: str, look: str) -> bytes:
    """A JPEG of 1280 by 720 pixels; `look` names a scene and a palette."""
    scene, palette = look.split()
    return SCENES[scene](PALETTES[palette], Random(title)).jpeg()  # noqa: S311 - repeatable on purpose
