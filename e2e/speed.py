"""`python -m e2e.speed` measures what a visitor on a slow connection waits for, on a phone's screen.

It starts a marketplace of its own with the demo's events. Each figure is the median of several visits, each
with an empty cache and the connection that Chromium's developer tools call "slow 4G".
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
from tests.stack import stagedoor

# The preset's figures: https://github.com/ChromeDevTools/devtools-frontend, core/sdk/NetworkManager.ts
SLOW_4G = {
    "offline": False,
    "latency": 562.5,  # ms
    "downloadThroughput": 180_000,  # bytes a second
    "uploadThroughput": 84_375,
}
IN_SIGHT = """() => Promise.all([...document.images]
    .filter((image) => image.getBoundingClientRect().top < innerHeight)
    .map((image) => image.decode()))"""
PAINTS = """() => new Promise((resolve) => {
    const [first] = performance.getEntriesByName("first-contentful-paint");
    new PerformanceObserver((list) => resolve([first.startTime, list.getEntries().at(-1).startTime]))
        .observe({type: "largest-contentful-paint", buffered: true});
})"""


@dataclass
class Visit:
    """What came over the wire, and when something was to be seen; times in milliseconds."""

    readable: float = 0
    """First contentful paint: text is there, for pages are rendered by the server."""
    largest: float = 0
    needed: int = 0
    """Requests for the page, its style and its script."""
    needed_bytes: int = 0
    pictures: int = 0
    picture_bytes: int = 0


@dataclass
class Wire:
    """Counts the requests of a page, by the type that the browser gives them."""

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
async def slow_page(browser: Browser) -> AsyncIterator[tuple[Page, Wire]]:
    """In a browser that has nothing in its cache."""
    context = await browser.new_context(viewport=SIZES["phone"], device_scale_factor=2)
    page = await context.new_page()
    session = await context.new_cdp_session(page)
    await session.send("Network.enable")
    await session.send("Network.emulateNetworkConditions", SLOW_4G)
    wire = Wire()
    wire.listen(session)
    yield page, wire
    await context.close()


async def visit(browser: Browser, address: str) -> Visit:
    async with slow_page(browser) as (page, wire):
        await page.goto(address, wait_until="load", timeout=60_000)
        await page.evaluate(IN_SIGHT)  # pictures are loaded when somebody comes near them
        readable, largest = await page.evaluate(PAINTS)
        needed, pictures = wire.of(pictures=False), wire.of(pictures=True)
        return Visit(readable, largest, len(needed), sum(needed), len(pictures), sum(pictures))


async def search(browser: Browser, site: str) -> float:
    """From the last key of a search until its results are there, the pause after typing included."""
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
            lines = [f"{'page':10} {'readable':>9} {'largest':>9} {'needed':>15} {'pictures':>17}"]
            for name, path in {"browse": "/", "ticket": ticket, "sign in": "/signin"}.items():
                lines.append(_line(name, [await visit(browser, stack.web + path) for _ in range(visits)]))
            waits = [await search(browser, stack.web) for _ in range(visits)]
            lines.append(
                f"a search by htmx, from the last key to its results: {statistics.median(waits):.0f} ms"
            )
            return lines


def _line(name: str, visits: list[Visit]) -> str:
    last = visits[-1]
    readable, largest = (
        statistics.median(getattr(visit, when) for visit in visits) for when in ("readable", "largest")
    )
    return (
        f"{name:10} {readable:6.0f} ms {largest:6.0f} ms {last.needed:3} = {last.needed_bytes / 1024:5.1f} KB"
        f" {last.pictures:5} = {last.picture_bytes / 1024:5.1f} KB"
    )


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
