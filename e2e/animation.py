"""`python -m e2e.animation` records docs/animation.webp: two buyers want the same ticket.

Two browsers show the same ticket. One buyer reserves the ticket and pays; the other browser shows each change
without a reload. The command starts its own marketplace.
"""

import asyncio
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageDraw, ImageFont
from playwright.async_api import Locator, Page, ViewportSize, expect

from e2e.browser import browsing
from e2e.scenes import list_ticket
from e2e.shots import DOCS, load_pictures, page_of
from tests.support.people import signed_up
from tests.support.stack import stagedoor

TITLE = "Neon Allotment: Night Shift Tour"
WINDOW: ViewportSize = {"width": 480, "height": 700}
SCALE = 0.9
"""Size of a window in the animation, relative to its size in the browser."""
GAP, HEADER, FOOTER = 20, 44, 52
BACKGROUND, TEXT, QUIET = "#2a2733", "#ffffff", "#c9c5d3"
POINTER = (163, 21, 63, 110)
FRAME_DURATION = 2600
"""Milliseconds for which a frame is shown, unless the caller sets another time."""


@dataclass
class Recording:
    """The frames of the animation, which show the pages of both buyers side by side."""

    buyers: tuple[Page, Page]
    frames: list[Image.Image] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)

    async def frame(
        self, caption: str, milliseconds: int = FRAME_DURATION, pointer: Locator | None = None
    ) -> None:
        """Add a frame. `pointer` is the element that the first buyer clicks next, marked in the frame."""
        shots = [await page.screenshot(animations="disabled") for page in self.buyers]
        windows = [Image.open(BytesIO(shot)).convert("RGB") for shot in shots]
        if pointer is not None and (box := await pointer.bounding_box()) is not None:
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            ImageDraw.Draw(windows[0], "RGBA").ellipse((x - 30, y - 30, x + 30, y + 30), fill=POINTER)
        self.frames.append(composed(windows, caption))
        self.durations.append(milliseconds)

    async def click(self, target: Locator, caption: str) -> None:
        """Add a frame with the pointer on `target`, then click the target."""
        box = await target.bounding_box()
        if box is None or box["y"] + box["height"] > WINDOW["height"]:
            await target.scroll_into_view_if_needed()
        await self.frame(caption, 1100, target)
        await target.click()

    def save(self, path: Path) -> None:
        self.frames[0].save(
            path,
            save_all=True,
            append_images=self.frames[1:],
            duration=self.durations,
            loop=0,
            quality=78,
            method=6,
        )


def composed(windows: list[Image.Image], caption: str) -> Image.Image:
    width, height = round(WINDOW["width"] * SCALE), round(WINDOW["height"] * SCALE)
    sheet = Image.new("RGB", (2 * width + 3 * GAP, height + HEADER + FOOTER), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for number, window in enumerate(windows):
        left = GAP + number * (width + GAP)
        draw.text((left, HEADER / 2), f"Buyer {number + 1}", QUIET, ImageFont.load_default(18), "lm")
        sheet.paste(window.resize((width, height), Image.Resampling.LANCZOS), (left, HEADER))
    middle = (sheet.width / 2, HEADER + height + FOOTER / 2)
    draw.text(middle, caption, TEXT, ImageFont.load_default(22), "mm")
    return sheet


async def record(recording: Recording, url: str) -> None:
    first, second = recording.buyers
    for page in recording.buyers:
        await page.goto(url)
        await load_pictures(page)
    await recording.frame("Two buyers look at the same ticket.")
    buy = first.get_by_role("button", name="Buy")
    await recording.click(buy, "Buyer 1 reserves it.")
    pay_link = first.get_by_role("link", name="Continue to payment")
    await expect(pay_link).to_be_visible()
    await expect(second.get_by_role("button", name="Buy")).to_have_count(0)
    for _ in range(4):
        await recording.frame("Buyer 1 has 15 minutes to pay. Buyer 2 sees that it is reserved.", 1000)
        await asyncio.sleep(1)  # the countdown goes on
    await recording.click(pay_link, "Buyer 1 goes on to the payment.")
    pay = first.get_by_role("button", name="Pay ")
    await recording.click(pay, "Buyer 1 pays.")
    await expect(first.get_by_role("heading", name="What happens next?")).to_be_visible()
    await expect(second.get_by_role("main").get_by_text("Sold").first).to_be_visible()
    await recording.frame("Buyer 1 has the ticket. Buyer 2 sees that it is sold, without a reload.", 4000)


async def animate(path: Path) -> None:
    with TemporaryDirectory(prefix="stagedoor-") as data:
        async with (
            stagedoor(Path(data) / "data", variants=False) as stack,
            browsing() as browser,
            signed_up(stack.web, 3) as (seller, *buyers),
            page_of(browser, stack.web, buyers[0], WINDOW) as first,
            page_of(browser, stack.web, buyers[1], WINDOW) as second,
        ):
            ticket = await list_ticket(seller, TITLE)
            recording = Recording((first, second))
            await record(recording, f"{stack.web}/tickets/{ticket}")
            recording.save(path)


def main() -> None:
    asyncio.run(animate(DOCS / "animation.webp"))


if __name__ == "__main__":
    main()
