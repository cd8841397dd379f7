"""`python -m e2e.speed` measures how long a visitor with a phone waits for pages on a slow connection.

The command starts its own marketplace with the demo's events. Each figure is the median of several visits,
each with an empty cache and the connection that Chromium's developer tools call "slow 4G".
"""

import argparse
import asyncio
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from playwright.async_api import Browser, CDPSession, Page

from e2e.browser import browsing
from e2e.shots import SIZES
from sandbox.demo.__main__ import PROGRAMME
from sandbox.demo.fill import fill
from tests.support.stack import stagedoor

# The preset: https://github.com/ChromeDevTools/devtools-frontend, core/sdk/NetworkManager.ts
SLOW_4G = {
    "offline": False,
    "latency": 562.5,  # ms
    "downloadThroughput": 180_000,  # bytes a second
    "uploadThroughput": 84_375,
}
IN_SIGHT = """() => Promise.all([...document.images]
    .filter((image) => image.getBoundingClientRect().top < innerHeight)
    .map((image) => image.decode()))"""
SCRIPTS_RAN = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
PAINTS = """() => new Promise((resolve) => {
    const [first] = performance.getEntriesByName("first-contentful-paint");
    new PerformanceObserver((list) => resolve([first.startTime, list.getEntries().at(-1).startTime]))
        .observe({type: "largest-contentful-paint", buffered: true});
})"""


@dataclass
class Visit:
    """The times, in milliseconds, and the transferred data of one visit."""

    readable: float = 0
    """The first contentful paint. It shows the text of the page, because the server renders pages."""
    largest: float = 0
    """The largest contentful paint."""
    interactive: float = 0
    """The time when all scripts have run."""
    needed: int = 0
    """Number of requests for the page, styles, scripts and icons: everything but pictures."""
    needed_bytes: int = 0
    pictures: int = 0
    picture_bytes: int = 0


@dataclass
class Transfers:
    """Collects the type and the size of each response that a page receives."""

    types: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def listen(self, session: CDPSession) -> None:
        session.on("Network.responseReceived", self._answered)
        session.on("Network.loadingFinished", self._finished)

    def _answered(self, event: dict[str, Any]) -> None:
        self.types[event["requestId"]] = event["type"]

    def _finished(self, event: dict[str, Any]) -> None:
        self.sizes[event["requestId"]] = event["encodedDataLength"]

    def of(self, *, pictures: bool) -> list[int]:
        return [size for key, size in self.sizes.items() if (self.types.get(key) == "Image") == pictures]


@asynccontextmanager
async def slow_page(browser: Browser) -> AsyncIterator[tuple[Page, Transfers]]:
    """A page with an empty cache, a slow connection and a phone's window, and its transfers."""
    context = await browser.new_context(viewport=SIZES["phone"], device_scale_factor=2)
    page = await context.new_page()
    session = await context.new_cdp_session(page)
    await session.send("Network.enable")
    await session.send("Network.emulateNetworkConditions", SLOW_4G)
    transfers = Transfers()
    transfers.listen(session)
    yield page, transfers
    await context.close()


async def visit(browser: Browser, address: str) -> Visit:
    async with slow_page(browser) as (page, transfers):
        await page.goto(address, wait_until="load", timeout=60_000)
        await page.evaluate(IN_SIGHT)  # pictures load when they are close to the viewport
        readable, largest = await page.evaluate(PAINTS)
        needed, pictures = transfers.of(pictures=False), transfers.of(pictures=True)
        interactive: float = await page.evaluate(SCRIPTS_RAN)
        return Visit(readable, largest, interactive, len(needed), sum(needed), len(pictures), sum(pictures))


async def search(browser: Browser, site: str) -> float:
    """Milliseconds from the last key of a search to its results, including the pause after typing."""
    async with slow_page(browser) as (page, _):
        await page.goto(site, wait_until="load", timeout=60_000)
        await page.evaluate(
            """() => { window.swapped = new Promise((resolve) => {
                const swapped = () => resolve(performance.now());
                document.addEventListener("htmx:after:swap", swapped, {once: true});
            }); }"""
        )
        await page.get_by_role("searchbox").press_sequentially("lis")
        began: float = await page.evaluate("performance.now()")
        return float(await page.evaluate("() => window.swapped")) - began


async def measure(visits: int) -> list[str]:
    with TemporaryDirectory(prefix="stagedoor-") as data:
        async with stagedoor(Path(data) / "data") as stack, browsing() as browser:
            await fill(stack.settings, PROGRAMME)
            ticket = await _first_ticket(stack.web)
            header = ("readable", "largest", "interactive", "needed", "pictures")
            lines = [f"{'page':10}" + "".join(f"{title:>17}" for title in header)]
            for name, path in {"browse": "/", "ticket": ticket, "sign in": "/signin"}.items():
                lines.append(_line(name, [await visit(browser, stack.web + path) for _ in range(visits)]))
            waits = [await search(browser, stack.web) for _ in range(visits)]
            lines.append(
                f"a search by htmx, from the last key to its results: {statistics.median(waits):.0f} ms"
            )
            return lines


def _line(name: str, visits: list[Visit]) -> str:
    last = visits[-1]
    readable, largest, interactive = (
        statistics.median(getattr(visit, when) for visit in visits)
        for when in ("readable", "largest", "interactive")
    )
    figures = (
        *(f"{milliseconds:.0f} ms" for milliseconds in (readable, largest, interactive)),
        f"{last.needed} = {last.needed_bytes / 1024:.1f} KB",
        f"{last.pictures} = {last.picture_bytes / 1024:.1f} KB",
    )
    return f"{name:10}" + "".join(f"{figure:>17}" for figure in figures)


async def _first_ticket(site: str) -> str:
    async with httpx.AsyncClient(base_url=site) as http:
        return f"/tickets/{(await http.get('/api/tickets?limit=1')).json()[0]['id']}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m e2e.speed", description=__doc__)
    parser.add_argument("--visits", type=int, default=5, help="of each page")
    given = parser.parse_args()
    sys.stdout.write("\n".join(asyncio.run(measure(given.visits))) + "\n")


if __name__ == "__main__":
    main()
