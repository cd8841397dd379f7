"""`python -m e2e.shots` shows every page in its states: docs/tour.md, with a picture for each in docs/tour.

A picture shows a scene four times: on a phone and on a desktop, in light and in dark. The marketplace is its
own. With names it takes only those scenes, and with --apart FOLDER each as four pictures in full size.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.async_api import Browser, Page, ViewportSize

from e2e.browser import browsing
from e2e.scenes import Scene, play
from sandbox.demo.__main__ import PROGRAMME
from sandbox.demo.fill import fill
from tests.people import Person, signed_up
from tests.stack import stagedoor

DOCS = Path(__file__).parent.parent / "docs"
SIZES: dict[str, ViewportSize] = {
    "phone": {"width": 390, "height": 844},
    "desktop": {"width": 1280, "height": 900},
}
SHOWN_WIDTHS = {"phone": 280, "desktop": 640}
"""In pixels of a picture of the tour."""
TALLEST = 2.4
"""A longer page is cut off at so many times the window's height."""
GAP = 12
BEHIND = "#77757f"


class Camera:
    """Two windows for everybody who looks: a phone's and a desktop's."""

    def __init__(self, browser: Browser, site: str) -> None:
        self._browser = browser
        self._site = site

    async def take(self, scene: Scene) -> dict[str, bytes]:
        """PNGs by size and scheme, as in phone-dark."""
        shots: dict[str, bytes] = {}
        for size, viewport in SIZES.items():
            async with self._page(scene.person, viewport) as page:
                await scene.open(page, self._site)
                await _all_pictures_are_there(page)
                for scheme in ("light", "dark"):
                    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                    shots[f"{size}-{scheme}"] = await page.screenshot(full_page=True, animations="disabled")
        return shots

    @asynccontextmanager
    async def _page(self, person: Person | None, viewport: ViewportSize) -> AsyncIterator[Page]:
        context = await self._browser.new_context(viewport=viewport, reduced_motion="reduce")
        if person is not None:
            session = person.client.headers["Authorization"].removeprefix("Bearer ")
            await context.add_cookies([{"name": "session", "value": session, "url": self._site}])
        yield await context.new_page()
        await context.close()


async def _all_pictures_are_there(page: Page) -> None:
    """Those too that are only loaded when somebody comes near them."""
    await page.evaluate(
        """() => Promise.all([...document.images].map((image) => {
            image.loading = "eager";
            return image.decode().catch(() => null);
        }))"""
    )


def side_by_side(shots: dict[str, bytes]) -> Image.Image:
    pictures = []
    for name, png in shots.items():
        size = name.partition("-")[0]
        picture = Image.open(BytesIO(png)).convert("RGB")
        picture = picture.crop(
            (0, 0, picture.width, min(picture.height, int(SIZES[size]["height"] * TALLEST)))
        )
        width = SHOWN_WIDTHS[size]
        pictures.append(
            picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
        )
    width = sum(picture.width + GAP for picture in pictures) + GAP
    sheet = Image.new("RGB", (width, max(picture.height for picture in pictures) + 2 * GAP), BEHIND)
    left = GAP
    for picture in pictures:
        sheet.paste(picture, (left, GAP))
        left += picture.width + GAP
    return sheet


async def shoot(names: Collection[str], apart: Path | None) -> str:
    """The tour as Markdown."""
    lines = [
        "# A tour of the pages",
        "",
        "Every page in its states, on a phone and on a desktop, in light and in dark; made by `just shots`.",
    ]
    chapter_before = ""
    with TemporaryDirectory(prefix="stagedoor-") as data:
        async with (
            stagedoor(Path(data) / "data") as stack,
            browsing() as browser,
            signed_up(stack.web, 4) as people,
        ):
            await fill(stack.settings, PROGRAMME)
            camera = Camera(browser, stack.web)
            async for chapter, scene in play(stack, people):
                if names and scene.name not in names:
                    continue
                shots = await camera.take(scene)
                sys.stderr.write(f"{scene.name}\n")
                if apart is not None:
                    for name, png in shots.items():
                        (apart / f"{scene.name}-{name}.png").write_bytes(png)
                    continue
                side_by_side(shots).save(DOCS / "tour" / f"{scene.name}.webp", quality=72, method=6)
                if chapter != chapter_before:
                    lines += ["", f"## {chapter}"]
                    chapter_before = chapter
                lines += ["", f"**{scene.says}**", "", f"![{scene.says}](tour/{scene.name}.webp)"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m e2e.shots", description=__doc__)
    parser.add_argument("names", nargs="*", help="scenes to take; all if none is named")
    parser.add_argument(
        "--apart", type=Path, metavar="FOLDER", help="four pictures a scene, outside the tour"
    )
    given = parser.parse_args()
    (given.apart or DOCS / "tour").mkdir(parents=True, exist_ok=True)
    tour = asyncio.run(shoot(given.names, given.apart))
    if given.apart is None and not given.names:
        (DOCS / "tour.md").write_text(tour)


if __name__ == "__main__":
    main()
