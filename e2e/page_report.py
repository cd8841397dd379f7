"""`python -m e2e.page_report` measures ten pages as Lighthouse does: on a phone with a slow CPU and slow 4G.

The command starts its own marketplace with the demo's tickets, and prints a Markdown table and the failed
checks. Times are medians of several visits with an empty cache. It exits with 1 if a check fails.
"""

import argparse
import asyncio
import statistics
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from playwright.async_api import Browser, CDPSession, Page

from e2e import page_checks
from e2e.browser import browsing
from e2e.scenes import CHECKOUT, DELIVERED, list_ticket, upload
from e2e.shots import SIZES
from e2e.speed import IN_SIGHT, Transfers
from sandbox.demo.__main__ import PROGRAMME
from sandbox.demo.fill import fill
from sandbox.demo.programme import PASSWORD, SELLER, email_of
from sandbox.log import write
from tests.support.people import Person, signed_up
from tests.support.polling import until
from tests.support.stack import stagedoor

SLOW_4G = {
    "offline": False,
    "latency": 150,  # ms
    "downloadThroughput": 1_600_000 / 8,  # bytes a second
    "uploadThroughput": 750_000 / 8,
}
"""Lighthouse's connection of phones: core/config/constants.js."""
CPU_SLOWDOWN = 4
COLUMNS = (
    *("page", "first byte", "first paint", "largest paint", "shift", "blocked", "transferred", "requests"),
    *("axe", "best practices", "SEO"),
)
LATER = 1_000
"""Milliseconds after loading in which a page may still move."""
PAINTS = """() => new Promise((resolve) => {
    const [first] = performance.getEntriesByName("first-contentful-paint");
    const [{responseStart: answered}] = performance.getEntriesByType("navigation");
    const result = {answered, first: first.startTime, largest: 0, shift: 0, blocked: 0};
    const observe = (type, each) => new PerformanceObserver((list) => list.getEntries().forEach(each))
        .observe({type, buffered: true});
    let began = -Infinity, last = -Infinity, moved = 0;
    observe("largest-contentful-paint", ({startTime}) => { result.largest = startTime; });
    observe("layout-shift", ({startTime, value}) => {
        if (startTime - last > 1000 || startTime - began > 5000) { began = startTime; moved = 0; }
        last = startTime;
        moved += value;
        result.shift = Math.max(result.shift, moved);
    });
    observe("longtask", ({startTime, duration}) => {
        const end = startTime + duration, from = Math.max(startTime, result.first);
        if (end > result.first) { result.blocked += Math.max(0, end - from - 50); }
    });
    setTimeout(() => resolve(result), 300);
})"""
"""The shift is that of the worst five seconds: https://web.dev/articles/cls. The page is blocked while a task
takes longer than 50 ms: https://web.dev/articles/tbt."""


@dataclass(frozen=True)
class Spot:
    """A page of the table."""

    name: str
    path: str
    session: str | None = None
    """The session cookie. None for a guest."""
    is_public: bool = False
    """Whether search engines should list the page."""


@dataclass
class Visit:
    """What one visit measured, in milliseconds and bytes."""

    answered: float
    """When the first byte of the page arrived."""
    first: float
    largest: float
    shift: float
    blocked: float
    requests: int
    transferred: int
    failed: dict[str, list[str]]
    """The failed checks of each kind."""


@asynccontextmanager
async def phone(browser: Browser, site: str, session: str | None) -> AsyncIterator[tuple[Page, CDPSession]]:
    """A page on a phone with an empty cache, a slow connection and a slow CPU."""
    context = await browser.new_context(viewport=SIZES["phone"], device_scale_factor=2, is_mobile=True)
    if session is not None:
        await context.add_cookies([{"name": "session", "value": session, "url": site, "httpOnly": True}])
    page = await context.new_page()
    devtools = await context.new_cdp_session(page)
    await devtools.send("Network.enable")
    await devtools.send("Network.emulateNetworkConditions", SLOW_4G)
    await devtools.send("Emulation.setCPUThrottlingRate", {"rate": CPU_SLOWDOWN})
    yield page, devtools
    await context.close()


async def visit(browser: Browser, site: str, spot: Spot) -> Visit:
    transfers, watch = Transfers(), page_checks.Watch()
    async with phone(browser, site, spot.session) as (page, devtools):
        transfers.listen(devtools)
        watch.listen(page)
        await page.goto(site + spot.path, wait_until="load", timeout=120_000)
        await page.evaluate(IN_SIGHT)
        await page.wait_for_timeout(LATER)
        seen: dict[str, Any] = await page.evaluate(PAINTS)
        requests, transferred = len(transfers.types), sum(transfers.sizes.values())
        await devtools.send("Emulation.setCPUThrottlingRate", {"rate": 1})
        robots = await page_checks.robots_of(page, site)
        failed = {
            "best practices": await page_checks.best_practices(page, watch),
            "SEO": await page_checks.search_engines(page, robots, is_public=spot.is_public),
            "accessibility": await page_checks.accessibility(page),
        }
    return Visit(**seen, requests=requests, transferred=transferred, failed=failed)


async def spots(site: str, seller: Person, buyer: Person) -> list[Spot]:
    """The pages, most of them with the demo's tickets."""
    async with httpx.AsyncClient(base_url=site, timeout=60) as http:
        found = (await http.get("/api/tickets", params={"q": "night", "limit": 1})).json()[0]
        account = {"email": email_of(SELLER), "password": PASSWORD}
        selling = (await http.post("/api/users/signin", json=account)).cookies["session"]
    bought = (await buyer.reserves(await _with_file(seller)))["id"]
    await buyer.pays(bought)
    await until(lambda: buyer.order(bought), lambda order: order["delivery"] == "delivered")
    held = (await buyer.reserves(await list_ticket(seller, CHECKOUT, seat="Row 18, seats 1 and 2")))["id"]
    buying = buyer.client.headers["Authorization"].removeprefix("Bearer ")
    return [
        Spot("home", "/", is_public=True),
        Spot("search results", "/?q=night", is_public=True),
        Spot("event", f"/events/{found['showId']}", is_public=True),
        Spot("ticket", f"/tickets/{found['id']}", is_public=True),
        Spot("how it works", "/how-it-works", is_public=True),
        Spot("sign in", "/signin"),
        Spot("sell", "/sell", buying),
        Spot("checkout", f"/orders/{held}?step=pay", buying),
        Spot("order with ticket", f"/orders/{bought}", buying),
        Spot("My sales", "/listings", selling),
    ]


async def _with_file(seller: Person) -> str:
    ticket = await list_ticket(seller, DELIVERED, seat="Row 17, seat 4", promised=True, quantity=1)
    await upload(seller, ticket)
    return ticket


def row(spot: Spot, visits: Sequence[Visit]) -> str:
    def median(name: str) -> float:
        return float(statistics.median(getattr(visit, name) for visit in visits))

    failed = failures(visits)
    cells = [
        spot.name,
        f"{median('answered') / 1000:.1f} s",
        f"{median('first') / 1000:.1f} s",
        f"{median('largest') / 1000:.1f} s",
        f"{median('shift'):.3f}",
        f"{median('blocked'):.0f} ms",
        f"{median('transferred') / 1024:.0f} KB",
        f"{median('requests'):.0f}",
        *(str(len(failed[kind])) for kind in ("accessibility", "best practices", "SEO")),
    ]
    return f"| {' | '.join(cells)} |"


def failures(visits: Sequence[Visit]) -> dict[str, list[str]]:
    """The checks that failed in any visit, by kind."""
    kinds = visits[0].failed
    return {kind: sorted({each for visit in visits for each in visit.failed[kind]}) for kind in kinds}


async def run(count: int) -> bool:
    """Print the table and the failed checks. Return whether there is none."""
    problems: list[str] = []
    with TemporaryDirectory(prefix="stagedoor-") as data:
        async with (
            stagedoor(Path(data) / "data", variants=False) as stack,
            signed_up(stack.web, 2) as people,
            browsing() as browser,
        ):
            await fill(stack.settings, PROGRAMME)
            write(f"\n| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
            for spot in await spots(stack.web, *people):
                visits = [await visit(browser, stack.web, spot) for _ in range(count)]
                write(row(spot, visits))
                problems += [f"{spot.name}: {each}" for found in failures(visits).values() for each in found]
    write("\n" + ("\n".join(problems) or "No check failed."))
    return not problems


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.page_report", description=__doc__)
    parser.add_argument("--visits", type=int, default=3, help="of each page")
    given = parser.parse_args()
    return int(not asyncio.run(run(given.visits)))


if __name__ == "__main__":
    sys.exit(main())
