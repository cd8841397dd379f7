"""The pictures of the demo."""

import io

from PIL import Image

from sandbox.demo.__main__ import PROGRAMME
from sandbox.demo.pictures import SCENES, picture
from sandbox.demo.pictures.palettes import PALETTES


def test_the_same_title_has_always_the_same_picture_and_another_title_another_one() -> None:
    first = picture("Paper Lanterns", "bars ember")
    picture.cache_clear()
    assert picture("Paper Lanterns", "bars ember") == first
    assert picture("Velvet Tram", "bars ember") != first


def test_every_scene_is_a_large_picture_with_much_to_see() -> None:
    for scene in SCENES:
        painted = Image.open(io.BytesIO(picture("Paper Lanterns", f"{scene} dusk")))
        assert (painted.format, painted.size) == ("JPEG", (1280, 720))
        colours = painted.resize((48, 27)).getcolors(48 * 27)
        assert colours is not None
        assert len(colours) > 100, scene


def test_every_look_is_of_a_scene_and_a_palette() -> None:
    for listing in PROGRAMME:
        if listing.event.look:
            scene, palette = listing.event.look.split()
            assert scene in SCENES
            assert palette in PALETTES
