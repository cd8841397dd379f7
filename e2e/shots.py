"""`python -m e2e.shots FOLDER [--url http://localhost:3500]` takes a picture of every page in its states.

Each as NAME-desktop.png and NAME-phone.png. Without a URL it starts a marketplace of its own.
"""

import argparse
import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import Browser, Page, ViewportSize

from e2e.browser import browsing
from tests.people import PASSWORD, Person, signed_up, until
from tests.stack import Stack, stagedoor

SIZES: dict[str, ViewportSize] = {
    "desktop": {"width": 1280, "height": 900},
    "phone": {"width": 390, "height": 844},
}
LISTINGS = [
    ("Hania Rani, Ghosts tour", 48, "2027-03-12T19:30Z", "Konserthuset", "Gothenburg"),
    ("Low Roar: a night for Ryan", 39.5, "2027-02-20T20:00Z", "Harpa, Eldborg", "Reykjavik"),
    ("Nils Frahm, Music for the Evening", 62, "2027-04-03T19:00Z", "Funkhaus, Saal 1", "Berlin"),
    ("Ólafur Arnalds & Loreen", 74, "2027-05-21T19:30Z", "Royal Albert Hall", "London"),
    ("The Marriage of Figaro, row 7", 129, "2027-01-30T18:00Z", "Staatsoper", "Vienna"),
    ("Primavera Sound, Saturday", 115, "2027-06-05T15:00Z", "Parc del Fòrum", "Barcelona"),
    ("Arooj Aftab, Night Reign", 34, "2027-02-11T20:30Z", "Paradiso", "Amsterdam"),
    ("Shakespeare in the Courtyard: Twelfth Night", 22, "2027-07-09T19:00Z", "Old Town Hall", "Kraków"),
    ("Fontaines D.C.", 55, "2027-03-27T19:00Z", "Zénith", "Paris"),
    ("Comedy at the Cellar, two seats together", 28, None, None, "Dublin"),
]


@dataclass
class Cast:
    """Who is in the pictures, and the addresses of what happened to them."""

    seller: Person
    buyer: Person
    tickets: dict[str, str]
    orders: dict[str, str]


class Camera:
    def __init__(self, browser: Browser, site: str, folder: Path) -> None:
        self._browser = browser
        self._site = site
        self._folder = folder

    @asynccontextmanager
    async def pages(self, person: Person | None) -> AsyncIterator[list[tuple[str, Page]]]:
        """One page for each size, seen by this person."""
        async with AsyncExitStack() as open_:
            pages = []
            for size, viewport in SIZES.items():
                context = await self._browser.new_context(viewport=viewport)
                open_.push_async_callback(context.close)
                if person is not None:
                    session = person.client.headers["Authorization"].removeprefix("Bearer ")
                    await context.add_cookies([{"name": "session", "value": session, "url": self._site}])
                pages.append((size, await context.new_page()))
            yield pages

    async def take(self, person: Person | None, shots: Sequence[tuple[str, str]]) -> None:
        """`shots` are names and paths."""
        async with self.pages(person) as pages:
            for name, path in shots:
                for size, page in pages:
                    await page.goto(self._site + path)
                    await self.keep(page, f"{name}-{size}")

    async def keep(self, page: Page, name: str) -> None:
        await page.screenshot(path=self._folder / f"{name}.png", full_page=True)

    async def fill_in(self, name: str, path: str, fields: dict[str, str], button: str) -> None:
        """A form that nobody could mean like that, with what it answers."""
        async with self.pages(None) as pages:
            for size, page in pages:
                await page.goto(self._site + path)
                for label, value in fields.items():
                    await page.get_by_label(label).fill(value)
                await page.get_by_role("button", name=button).click()
                await page.locator("#error-summary").wait_for()
                await self.keep(page, f"{name}-{size}")


async def perform(seller: Person, buyer: Person, rival: Person) -> Cast:
    """Something of everything that can happen to a ticket."""
    tickets: dict[str, str] = {}
    for title, price, starts_at, venue, city in LISTINGS:
        more = {"startsAt": starts_at, "venue": venue, "city": city}
        given = {name: value for name, value in more.items() if value is not None}
        tickets[title] = (await seller.offers(price, title, **given))["id"]
    ids = list(tickets.values())
    orders = {name: (await buyer.reserves(ids[-1 - number]))["id"] for number, name in enumerate(STATES)}
    await rival.reserves(ids[1])
    await buyer.pays(orders["declined"], "tok_chargeDeclined")
    await buyer.pays(orders["bank-check"], "tok_threeDSecure2Required")
    await buyer.pays(orders["paid"])
    await buyer.cancels(orders["cancelled"])
    await until(lambda: buyer.payment(orders["paid"]), lambda seen: seen["status"] == "captured")
    await until(lambda: buyer.ticket(ids[1]), lambda seen: seen["status"] == "reserved")
    withdrawn = (await seller.offers(15, "Improv on Sundays"))["id"]
    await seller.client.delete(f"/api/tickets/{withdrawn}")
    names = {"free": ids[0], "held": ids[1], "mine": ids[-1], "sold": ids[-3], "withdrawn": withdrawn}
    return Cast(seller, buyer, names, orders)


STATES = ("unpaid", "declined", "paid", "cancelled", "bank-check")


async def photograph(camera: Camera, cast: Cast, newcomer: Person) -> None:
    tickets = {name: f"/tickets/{ticket}" for name, ticket in cast.tickets.items()}
    await camera.take(
        None,
        [
            ("browse", "/"),
            ("search", "/?q=night&sort=price"),
            ("search-nothing", "/?q=nothing+like+this"),
            ("search-wrong", "/?minPrice=cheap"),
            ("signin", "/signin"),
            ("signup", "/signup"),
            ("ticket-guest", tickets["free"]),
            ("ticket-sold", tickets["sold"]),
            ("ticket-withdrawn", tickets["withdrawn"]),
            ("developers", "/developers"),
            ("not-found", "/no/such/page"),
        ],
    )
    await camera.take(
        cast.buyer,
        [
            ("browse-signed-in", "/"),
            ("ticket-free", tickets["free"]),
            ("ticket-held", tickets["held"]),
            ("ticket-mine", tickets["mine"]),
            ("orders", "/orders"),
            *((f"order-{state}", f"/orders/{order}") for state, order in cast.orders.items()),
        ],
    )
    await camera.take(
        cast.seller,
        [
            ("seller-free", tickets["free"]),
            ("seller-held", tickets["held"]),
            ("seller-sold", tickets["sold"]),
            ("sell", "/sell"),
            ("edit", f"{tickets['free']}/edit"),
            ("withdraw", f"{tickets['free']}/withdraw"),
            ("listings", "/listings"),
        ],
    )
    await camera.take(newcomer, [("orders-none", "/orders"), ("listings-none", "/listings")])
    await camera.fill_in("signup-wrong", "/signup", {"Email": "me at home", "Password": "short"}, "Sign up")
    unknown = {"Email": f"{secrets.token_hex(4)}@example.com", "Password": PASSWORD}
    await camera.fill_in("signin-wrong", "/signin", unknown, "Sign in")


async def photograph_trouble(camera: Camera, cast: Cast, stack: Stack) -> None:
    """Only in a marketplace of our own: reservations that expire at once, and services that are down."""
    order = await cast.buyer.reserves(cast.tickets["free"], at=stack.hasty_orders)
    await until(lambda: cast.buyer.order(order["id"]), lambda seen: seen["status"] == "cancelled")
    await camera.take(cast.buyer, [("order-expired", f"/orders/{order['id']}")])
    await stack.stop("orders")
    async with camera.pages(cast.buyer) as pages:
        for size, page in pages:
            await page.goto(f"{stack.web}/tickets/{cast.tickets['free']}")
            await page.get_by_role("button", name="Buy").click()
            await page.get_by_role("alert").filter(has_text="Orders are away").wait_for()
            await camera.keep(page, f"ticket-orders-down-{size}")
            await page.goto(f"{stack.web}/orders")
            await camera.keep(page, f"orders-down-{size}")


async def shoot(folder: Path, url: str | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as open_:
        stack = None
        if url is None:
            data = Path(open_.enter_context(TemporaryDirectory(prefix="stagedoor-")))
            stack = await open_.enter_async_context(stagedoor(data / "data"))
            url = stack.web
        browser = await open_.enter_async_context(browsing())
        seller, buyer, rival, newcomer = await open_.enter_async_context(signed_up(url, 4))
        camera = Camera(browser, url, folder)
        cast = await perform(seller, buyer, rival)
        await photograph(camera, cast, newcomer)
        if stack is not None:
            await photograph_trouble(camera, cast, stack)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m e2e.shots", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", help="address of a running marketplace")
    given = parser.parse_args()
    asyncio.run(shoot(given.folder, given.url.rstrip("/") if given.url else None))
    sys.stdout.write(f"{len(list(given.folder.glob('*.png')))} pictures in {given.folder}\n")


if __name__ == "__main__":
    main()
