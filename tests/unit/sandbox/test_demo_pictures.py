"""The generated pictures of the demo's events."""

import io

from PIL import Image

from sandbox.demo.__main__ import PROGRAMME
from sandbox.demo.pictures import picture
from sandbox.demo.pictures.palettes import PALETTES
from sandbox.demo.pictures.scenes import SCENES


def test_the_same_title_always_gives_the_same_picture() -> None:
    first = picture("Paper Lanterns", "bars ember")
    picture.cache_clear()
    assert picture("Paper Lanterns", "bars ember") == first


def test_two_titles_with_the_same_look_give_different_pictures() -> None:
    assert picture("Velvet Tram", "bars ember") != picture("Paper Lanterns", "bars ember")


def test_every_scene_gives_a_large_and_detailed_picture() -> None:
    for scene in SCENES:
        painted = Image.open(io.BytesIO(picture("Paper Lanterns", f"{scene} dusk")))
        assert (painted.format, painted.size) == ("JPEG", (1280, 720))
        colors = painted.resize((48, 27)).getcolors(48 * 27)
        assert colors is not None
        assert len(colors) > 100, scene


def test_every_look_has_an_existing_scene_and_palette() -> None:
    for listing in PROGRAMME:
        if listing.event.look:
            scene, palette = listing.event.look.split()
            assert scene in SCENES
            assert palette in PALETTES
