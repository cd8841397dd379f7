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
from e2e.money import give_back
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
        self.site = site
        self._browser = browser
        self._folder = folder

    @asynccontextmanager
    async def page(self, person: Person | None, viewport: ViewportSize) -> AsyncIterator[Page]:
        """A page that this person sees."""
        context = await self._browser.new_context(viewport=viewport)
        if person is not None:
            session = person.client.headers["Authorization"].removeprefix("Bearer ")
            await context.add_cookies([{"name": "session", "value": session, "url": self.site}])
        yield await context.new_page()
        await context.close()

    @asynccontextmanager
    async def pages(self, person: Person | None) -> AsyncIterator[list[tuple[str, Page]]]:
        """One page for each size."""
        async with AsyncExitStack() as open_:
            yield [
                (size, await open_.enter_async_context(self.page(person, viewport)))
                for size, viewport in SIZES.items()
            ]

    async def take(self, person: Person | None, shots: Sequence[tuple[str, str]]) -> None:
        """`shots` are names and paths."""
        async with self.pages(person) as pages:
            for name, path in shots:
                for size, page in pages:
                    await page.goto(self.site + path)
                    await self.keep(page, f"{name}-{size}")

    async def keep(self, page: Page, name: str) -> None:
        await page.screenshot(path=self._folder / f"{name}.png", full_page=True)

    async def fill_in(self, name: str, path: str, fields: dict[str, str], button: str) -> None:
        """A form that nobody could mean like that, with what it answers."""
        async with self.pages(None) as pages:
            for size, page in pages:
                await page.goto(self.site + path)
                for label, value in fields.items():
                    await page.get_by_label(label).fill(value)
                await page.get_by_role("button", name=button).click()
                await page.locator("#error-summary").wait_for()
                await self.keep(page, f"{name}-{size}")


CARDS = {
    "unpaid": None,
    "cancelled": None,
    "paid": "tok_visa",
    "declined": "tok_chargeDeclined",
    "bank-check": "tok_threeDSecure2Required",
    "checking": "tok_fault_server_error",
}
"""The card that brings an order into each state."""


async def perform(seller: Person, buyer: Person, rival: Person) -> Cast:
    """Something of everything that can happen to a ticket."""
    tickets: dict[str, str] = {}
    for title, price, starts_at, venue, city in LISTINGS:
        more = {"startsAt": starts_at, "venue": venue, "city": city}
        given = {name: value for name, value in more.items() if value is not None}
        tickets[title] = (await seller.offers(price, title, **given))["id"]
    ids = list(tickets.values())
    orders = {}
    for number, (name, token) in enumerate(CARDS.items(), 1):
        orders[name] = (await buyer.reserves(ids[-number]))["id"]
        if name == "cancelled":
            await buyer.cancels(orders[name])
        elif token is not None:
            await buyer.pays(orders[name], token)
    await rival.reserves(ids[1])
    await until(lambda: buyer.payment(orders["paid"]), lambda seen: seen["status"] == "captured")
    await until(lambda: buyer.ticket(ids[1]), lambda seen: seen["status"] == "reserved")
    withdrawn = (await seller.offers(15, "Improv on Sundays"))["id"]
    await seller.client.delete(f"/api/tickets/{withdrawn}")
    names = {"free": ids[0], "held": ids[1], "mine": ids[-1], "sold": ids[-3], "withdrawn": withdrawn}
    return Cast(seller, buyer, names, orders)


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


async def photograph_bank(camera: Camera, cast: Cast) -> None:
    async with camera.pages(cast.buyer) as pages:
        for size, page in pages:
            await page.goto(f"{camera.site}/orders/{cast.orders['bank-check']}")
            await page.get_by_role("link", name="Confirm with your bank").click()
            await page.get_by_role("button", name="Approve").wait_for()
            await camera.keep(page, f"bank-{size}")


async def photograph_checkout(camera: Camera, stack: Stack, seller: Person) -> None:
    """A whole payment on Stripe's page, by a buyer for each size."""
    async with signed_up(stack.web, len(SIZES)) as buyers:
        for buyer, (size, viewport) in zip(buyers, SIZES.items(), strict=True):
            order = await buyer.reserves((await seller.offers(48, "Hania Rani, Ghosts tour"))["id"])
            async with camera.page(buyer, viewport) as page:
                await page.goto(f"{stack.checkout_web}/orders/{order['id']}")
                await camera.keep(page, f"checkout-pay-{size}")
                await page.get_by_role("button", name="Pay").click()
                await page.get_by_role("radio", name="Empty account").check()
                await camera.keep(page, f"checkout-stripe-{size}")
                await page.get_by_role("button", name="Pay").click()
                await page.get_by_role("alert").wait_for()
                await camera.keep(page, f"checkout-stripe-declined-{size}")
                await page.get_by_role("link", name="Back to the shop").click()
                await page.get_by_role("link", name="Continue to payment").wait_for()
                await camera.keep(page, f"checkout-continue-{size}")
                await page.get_by_role("link", name="Continue to payment").click()
                async with stack.paused("payments"), stack.paused("checkout-payments"):
                    await page.get_by_role("button", name="Pay").click()
                    await page.get_by_text("We are checking your payment").wait_for()
                    await camera.keep(page, f"checkout-checking-{size}")
                await page.get_by_text("You paid $48.00").wait_for()
                await camera.keep(page, f"checkout-paid-{size}")


async def photograph_refunds(camera: Camera, cast: Cast, stack: Stack) -> None:
    """On its way while Stripe is out of reach; with the ticket kept, and then on sale again."""
    order = cast.orders["paid"]
    await stack.stop("stripe")
    await give_back(stack, order)
    await camera.take(cast.buyer, [("order-refunding", f"/orders/{order}")])
    await stack.start("stripe")
    await until(lambda: cast.buyer.order(order), lambda seen: seen["status"] == "refunded")
    await camera.take(cast.buyer, [("order-refunded", f"/orders/{order}"), ("orders-refunded", "/orders")])
    await give_back(stack, order, relist=True)
    await until(lambda: cast.buyer.order(order), lambda seen: seen["relisted"])
    await camera.take(cast.buyer, [("order-relisted", f"/orders/{order}")])


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
        await photograph_bank(camera, cast)
        if stack is not None:
            await photograph_checkout(camera, stack, seller)
            await photograph_refunds(camera, cast, stack)
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
