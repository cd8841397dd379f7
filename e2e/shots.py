"""`python -m e2e.shots` takes the pictures of the tour and the README's screenshot, and writes docs/tour.md.

The tour has one picture for each scene: the page on a phone and on a desktop, in light and in dark colors,
side by side. The command starts its own marketplace. If the arguments name scenes, it takes only their
pictures. With --apart FOLDER, it writes each scene as four separate full-size pictures to that folder.
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
from e2e.scenes import CHAPTERS, OTHER_LISTINGS, Scene, all_scenes
from sandbox.demo.fill import fill
from tests.support.people import Person, signed_up_as
from tests.support.stack import stagedoor

DOCS = Path(__file__).parent.parent / "docs"
TOUR = DOCS / "tour"
SIZES: dict[str, ViewportSize] = {
    "phone": {"width": 390, "height": 844},
    "desktop": {"width": 1280, "height": 900},
}
TOUR_WIDTHS = {"phone": 280, "desktop": 640}
"""Width in pixels of one page in a picture of the tour."""
MAX_HEIGHT = 2.4
"""Maximum height of a page's picture, as a multiple of the window's height; taller pictures are cropped."""
EMAILS = ("nora@example.com", "milan@example.com", "chloe@example.com", "samir@example.com")
NOT_STICKY = ".sticky-bar, .basket, .offer-side { position: static !important }"
"""Styles for pictures of whole pages, in which sticky elements would appear in the middle of the page."""
GAP = 12
BACKGROUND = "#77757f"


class Camera:
    """Takes the pictures of scenes in windows of all sizes."""

    def __init__(self, browser: Browser, site: str) -> None:
        self._browser = browser
        self._site = site

    async def take(self, scene: Scene) -> dict[str, bytes]:
        """The scene's pictures as PNG files, by window size and color scheme, such as `phone-dark`."""
        shots: dict[str, bytes] = {}
        for size, viewport in SIZES.items():
            async with page_of(self._browser, self._site, scene.person, viewport) as page:
                await scene.open(page, self._site)
                await load_pictures(page)
                await add_styles(page, NOT_STICKY)
                for scheme in ("light", "dark"):
                    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                    shots[f"{size}-{scheme}"] = await page.screenshot(full_page=True, animations="disabled")
        return shots


@asynccontextmanager
async def page_of(
    browser: Browser, site: str, person: Person | None, viewport: ViewportSize
) -> AsyncIterator[Page]:
    """A page in a new browser context, signed in as `person` if given."""
    context = await browser.new_context(viewport=viewport, reduced_motion="reduce")
    if person is not None:
        session = person.client.headers["Authorization"].removeprefix("Bearer ")
        await context.add_cookies([{"name": "session", "value": session, "url": site}])
    yield await context.new_page()
    await context.close()


async def load_pictures(page: Page) -> None:
    """Load all pictures of the page, including those that the browser would load only after scrolling."""
    await page.evaluate(
        """() => Promise.all([...document.images].map((image) => {
            image.loading = "eager";
            return image.decode().catch(() => null);
        }))"""
    )


async def add_styles(page: Page, css: str) -> None:
    """Add styles to the page by script, because the Content-Security-Policy forbids <style> elements."""
    await page.evaluate(
        """(css) => {
            const sheet = new CSSStyleSheet();
            sheet.replaceSync(css);
            document.adoptedStyleSheets.push(sheet);
        }""",
        css,
    )


def side_by_side(shots: dict[str, bytes]) -> Image.Image:
    """One picture of the tour."""
    pictures = []
    for name, png in shots.items():
        size = name.partition("-")[0]
        picture = Image.open(BytesIO(png)).convert("RGB")
        height = min(picture.height, int(SIZES[size]["height"] * MAX_HEIGHT))
        width = TOUR_WIDTHS[size]
        shown = (width, round(height * width / picture.width))
        box = (0, 0, picture.width, height)
        pictures.append(picture.resize(shown, Image.Resampling.LANCZOS, box))
    width = sum(picture.width + GAP for picture in pictures) + GAP
    sheet = Image.new("RGB", (width, max(picture.height for picture in pictures) + 2 * GAP), BACKGROUND)
    left = GAP
    for picture in pictures:
        sheet.paste(picture, (left, GAP))
        left += picture.width + GAP
    return sheet


def save(name: str, shots: dict[str, bytes], apart: Path | None) -> None:
    if apart is not None:
        for kind, png in shots.items():
            (apart / f"{name}-{kind}.png").write_bytes(png)
        return
    side_by_side(shots).save(TOUR / f"{name}.webp", quality=72, method=6)
    if name == "browse":
        desktop = Image.open(BytesIO(shots["desktop-light"])).convert("RGB")
        window = desktop.crop((0, 0, SIZES["desktop"]["width"], SIZES["desktop"]["height"]))
        window.save(DOCS / "screenshot.webp", quality=85, method=6)


def tour(chapters: dict[str, list[Scene]]) -> str:
    """The text of docs/tour.md, with all pictures by chapter."""
    lines = [
        "# A tour of the pages",
        "",
        "Every page in its most important states, on a phone and on a desktop, in light and dark colors.",
        "`just shots` takes these pictures.",
    ]
    for chapter in CHAPTERS:
        lines += ["", f"## {chapter}"]
        for scene in chapters[chapter]:
            lines += ["", f"**{scene.caption}**", "", f"![{scene.caption}](tour/{scene.name}.webp)"]
    return "\n".join(lines) + "\n"


async def shoot(names: Collection[str], apart: Path | None) -> dict[str, list[Scene]]:
    """Take and save the pictures of all scenes, or of the named ones. Return these scenes by chapter."""
    chapters: dict[str, list[Scene]] = {}
    with TemporaryDirectory(prefix="stagedoor-") as data:
        async with (
            stagedoor(Path(data) / "data") as stack,
            browsing() as browser,
            signed_up_as(stack.web, EMAILS) as people,
        ):
            await fill(stack.settings, OTHER_LISTINGS)
            camera = Camera(browser, stack.web)
            async for chapter, scene in all_scenes(stack, people):
                if names and scene.name not in names:
                    continue
                save(scene.name, await camera.take(scene), apart)
                chapters.setdefault(chapter, []).append(scene)
                sys.stderr.write(f"{scene.name}\n")
    return chapters


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m e2e.shots", description=__doc__)
    parser.add_argument("names", nargs="*", help="scenes to take; all by default")
    parser.add_argument(
        "--apart", type=Path, metavar="FOLDER", help="write four pictures a scene to this folder"
    )
    options = parser.parse_args()
    (options.apart or TOUR).mkdir(parents=True, exist_ok=True)
    chapters = asyncio.run(shoot(options.names, options.apart))
    if options.apart is None and not options.names:
        (DOCS / "tour.md").write_text(tour(chapters))
        taken = {f"{scene.name}.webp" for scenes in chapters.values() for scene in scenes}
        for picture in TOUR.iterdir():
            if picture.name not in taken:
                picture.unlink()


if __name__ == "__main__":
    main()
