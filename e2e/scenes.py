"""Every page of ours in each of its states, as something to look at: for the tour's pictures, and for axe.

`play` goes through them in an order in which each can be reached; the marketplace stays as a scene needs it
until the next one is asked for.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from playwright.async_api import Page

from e2e.money import give_back
from sandbox.demo.pictures import picture
from tests.people import PASSWORD, Person, until
from tests.stack import Stack

Act = Callable[[Page], Awaitable[None]]


@dataclass(frozen=True)
class Scene:
    """What somebody sees at an address, once they have done something there. It can be opened repeatedly."""

    name: str
    says: str
    """What there is to see."""
    path: str
    """Or a whole address."""
    person: Person | None = None
    act: Act | None = None

    async def open(self, page: Page, site: str) -> None:
        await page.goto(self.path if "://" in self.path else site + self.path)
        if self.act is not None:
            await self.act(page)


@dataclass(frozen=True)
class Listing:
    title: str
    price: float
    starts_at: str | None = None
    venue: str | None = None
    city: str | None = None
    time_zone: str | None = None
    category: str | None = None
    look: str | None = None
    """Of its picture."""
    more: Mapping[str, Any] = field(default_factory=dict)

    async def offer(self, seller: Person) -> str:
        """Gives the id of the ticket."""
        said = {
            "startsAt": self.starts_at,
            "venue": self.venue,
            "city": self.city,
            "timeZone": self.time_zone,
            "category": self.category,
            **self.more,
        }
        given = {name: value for name, value in said.items() if value is not None}
        ticket: str = (await seller.offers(self.price, self.title, **given))["id"]
        if self.look is not None:
            content = picture(self.title, self.look)
            answer = await seller.client.put(f"/api/tickets/{ticket}/picture", content=content)
            assert answer.status_code == 200, answer.text
        return ticket


LISTINGS = (
    Listing(
        "Hania Rani, Ghosts tour",
        *(48, "2037-03-12T18:30Z", "Konserthuset", "Gothenburg", "Europe/Stockholm", "music", "waves dusk"),
        more={
            "seat": "Stalls, row 7",
            "quantity": 2,
            "faceValue": 60,
            "notes": "Two seats next to each other.\nI can hand them over by e-mail.",
        },
    ),
    Listing(
        "Low Roar: a night for Ryan",
        *(39.5, "2037-02-20T20:00Z", "Harpa, Eldborg", "Reykjavik", "Atlantic/Reykjavik", "music"),
        look="ridges ice",
    ),
    Listing(
        "Nils Frahm, Music for the Evening",
        *(62, "2037-04-03T18:00Z", "Funkhaus, Saal 1", "Berlin", "Europe/Berlin", "music", "record ember"),
    ),
    Listing(
        "Ólafur Arnalds & Loreen",
        *(74, "2037-05-21T18:30Z", "Royal Albert Hall", "London", "Europe/London", "music", "stage neon"),
    ),
    Listing(
        "The Marriage of Figaro",
        *(129, "2037-01-30T18:00Z", "Staatsoper", "Vienna", "Europe/Vienna", "theatre", "curtain ember"),
        more={"seat": "Parterre, row 12", "faceValue": 140},
    ),
    Listing(
        "Primavera Sound, Saturday",
        *(115, "2037-06-05T13:00Z", "Parc del Fòrum", "Barcelona", "Europe/Madrid", "festival"),
        look="meadow dusk",
    ),
    Listing(
        "Arooj Aftab, Night Reign",
        *(34, "2037-02-11T19:30Z", "Paradiso", "Amsterdam", "Europe/Amsterdam", "music", "lanterns dusk"),
    ),
    Listing(
        "Twelfth Night in the courtyard",
        *(22, "2037-07-09T17:00Z", "Old Town Hall", "Kraków", "Europe/Warsaw", "theatre", "arches dusk"),
        more={
            "seat": "Bench 4",
            "quantity": 2,
            "notes": "I send the tickets by e-mail the day after you buy.\nBring a cushion.",
        },
    ),
    Listing("Fontaines D.C.", 55, "2037-03-27T19:00Z", "Zénith", "Paris", "Europe/Paris", "music"),
    Listing("Comedy at the Cellar", 28, city="Dublin"),
)
ORDERS = {
    "review": (None, "Review: what one buys, and how long it is held"),
    "cancelled": (None, "Released, and free again"),
    "paid": ("tok_visa", "Paid: the ticket"),
    "declined": ("tok_chargeDeclined", "Declined, with the reason and another try"),
    "bank-check": ("tok_threeDSecure2Required", "The bank wants to be sure"),
    "checking": ("tok_fault_server_error", "The outcome isn't known yet"),
}
"""By state: the card that leads there, and what there is to see."""


@dataclass
class Cast:
    """Who is in it, and what happened to them: addresses of tickets and of orders."""

    seller: Person
    buyer: Person
    rival: Person
    newcomer: Person
    tickets: dict[str, str]
    orders: dict[str, str]


async def play(stack: Stack, people: list[Person]) -> AsyncIterator[tuple[str, Scene]]:
    """Every scene and the chapter that it belongs to, with four people who have just signed up."""
    cast = await _perform(*people)
    for chapter, scenes in {
        "Looking for a ticket": _visitors,
        "Buying": _buyers,
        "Selling": _sellers,
        "Signing in and up": _accounts,
    }.items():
        for scene in scenes(cast):
            yield chapter, scene
    for chapter, course in {
        "Paying on Stripe's page": _paying_at_stripe,
        "Money back": _refunds,
        "Too late": _too_late,
        "When something is down": _trouble,
    }.items():
        async for scene in course(cast, stack):
            yield chapter, scene


async def _perform(seller: Person, buyer: Person, rival: Person, newcomer: Person) -> Cast:
    """Something of everything that can happen to a ticket."""
    past, begins = await _begins_soon(seller)
    tickets = [await listing.offer(seller) for listing in LISTINGS]
    orders = {}
    for number, (name, (token, _)) in enumerate(ORDERS.items(), 1):
        orders[name] = (await buyer.reserves(tickets[-number]))["id"]
        if name == "cancelled":
            await buyer.cancels(orders[name])
        elif token is not None:
            await buyer.pays(orders[name], token)
    await rival.reserves(tickets[1])
    await until(lambda: buyer.payment(orders["paid"]), lambda seen: seen["status"] == "captured")
    await until(lambda: buyer.ticket(tickets[1]), lambda seen: seen["status"] == "reserved")
    withdrawn = (await seller.offers(15, "Improv on Sundays"))["id"]
    await seller.client.delete(f"/api/tickets/{withdrawn}")
    await asyncio.sleep((begins - datetime.now(UTC)).total_seconds())
    ids = {"free": tickets[0], "held": tickets[1], "mine": tickets[-1], "sold": tickets[-3]}
    ids |= {"withdrawn": withdrawn, "past": past}
    addresses = {name: f"/tickets/{ticket}" for name, ticket in ids.items()}
    return Cast(seller, buyer, rival, newcomer, addresses, orders)


async def _begins_soon(seller: Person) -> tuple[str, datetime]:
    """A ticket, and when its event begins. On a slow machine it must not have begun before it is listed."""
    for seconds in (3, 20, 60):
        begins = datetime.now(UTC) + timedelta(seconds=seconds)
        ticket = {"title": "Matinee for early birds", "price": 15, "startsAt": begins.isoformat()}
        answer = await seller.client.post("/api/tickets", json=ticket)
        if answer.status_code == 201:
            break
    return answer.json()["id"], begins


def _visitors(cast: Cast) -> Iterator[Scene]:
    yield Scene("browse", "The first page: what is on sale, with search and filters", "/")
    yield Scene("search", "A search, cheapest first", "/?q=night&sort=price")
    yield Scene(
        "search-filters",
        "Two filters that are on, each with a way to take it off",
        "/?city=berlin&minPrice=10",
    )
    yield Scene("search-nothing", "Nothing found, and what may help", "/?q=nothing+like+this")
    yield Scene("search-wrong", "A price that nobody can read", "/?minPrice=cheap")
    yield Scene("ticket-guest", "A ticket, to a visitor who isn't signed in", cast.tickets["free"])
    yield Scene("ticket-sold", "Sold, with others one can have", cast.tickets["sold"])
    yield Scene("ticket-withdrawn", "Withdrawn by its seller", cast.tickets["withdrawn"])
    yield Scene("ticket-past", "An event that is over", cast.tickets["past"])
    yield Scene("developers", "For developers", "/developers")
    yield Scene("not-found", "An address that leads nowhere", "/no/such/page")


def _buyers(cast: Cast) -> Iterator[Scene]:
    yield Scene("browse-signed-in", "The first page, signed in", "/", cast.buyer)
    yield Scene("ticket-free", "A ticket one can buy", cast.tickets["free"], cast.buyer)
    yield Scene("ticket-held", "Held by someone else", cast.tickets["held"], cast.buyer)
    yield Scene("ticket-held-by-me", "Held by oneself", cast.tickets["mine"], cast.buyer)
    yield Scene("ticket-mine", "Bought by oneself", cast.tickets["sold"], cast.buyer)
    yield Scene("orders", "My orders: what waits, what comes, what was", "/orders", cast.buyer)
    for state, order in cast.orders.items():
        yield Scene(f"order-{state}", ORDERS[state][1], f"/orders/{order}", cast.buyer)
    yield Scene("order-pay", "Pay", f"/orders/{cast.orders['review']}?step=pay", cast.buyer)
    yield Scene("orders-none", "No orders yet", "/orders", cast.newcomer)
    yield Scene(
        "bank",
        "The bank's question (the sandbox's stand-in)",
        f"/orders/{cast.orders['bank-check']}",
        cast.buyer,
        _go_to_the_bank,
    )


def _sellers(cast: Cast) -> Iterator[Scene]:
    yield Scene("seller-free", "One's own ticket, on sale", cast.tickets["free"], cast.seller)
    yield Scene("seller-held", "One's own ticket, held by a buyer", cast.tickets["held"], cast.seller)
    yield Scene("seller-sold", "One's own ticket, sold", cast.tickets["sold"], cast.seller)
    yield Scene("sell", "Sell a ticket", "/sell", cast.seller)
    yield Scene(
        "sell-wrong", "What is wrong is said at the field and on top", "/sell", cast.seller, _list_nonsense
    )
    yield Scene("edit", "Edit a ticket", f"{cast.tickets['free']}/edit", cast.seller)
    yield Scene("withdraw", "Withdraw a ticket", f"{cast.tickets['free']}/withdraw", cast.seller)
    yield Scene("sales", "My sales", "/listings", cast.seller)
    yield Scene("sales-none", "Nothing listed yet", "/listings", cast.newcomer)


def _accounts(cast: Cast) -> Iterator[Scene]:
    yield Scene("sign-in", "Sign in", "/signin")
    yield Scene("sign-up", "Sign up", "/signup")
    wrong = _filled_in("Sign up", email="me at home", password="short")
    yield Scene("sign-up-wrong", "Sign up with mistakes", "/signup", act=wrong)
    unknown = _filled_in("Sign in", email=f"{secrets.token_hex(4)}@example.com", password=PASSWORD)
    yield Scene("sign-in-wrong", "Sign in with a password that doesn't match", "/signin", act=unknown)
    yield Scene("account", "My account", "/account", cast.seller)


def _filled_in(button: str, *, email: str, password: str) -> Act:
    async def act(page: Page) -> None:
        await page.get_by_label("Email").fill(email)
        await page.get_by_label("Password").fill(password)
        await page.get_by_role("button", name=button).click()
        await page.locator("#error-summary").wait_for()

    return act


async def _list_nonsense(page: Page) -> None:
    await page.get_by_label("Price").fill("cheap")
    await page.get_by_role("button", name="Put it on sale").click()
    await page.locator("#error-summary").wait_for()


async def _go_to_the_bank(page: Page) -> None:
    await page.get_by_role("link", name="Confirm with your bank").click()
    await page.get_by_role("button", name="Approve").wait_for()


async def _paying_at_stripe(cast: Cast, stack: Stack) -> AsyncIterator[Scene]:
    buyer = cast.buyer
    order = (await buyer.reserves((await cast.seller.offers(48, "Hania Rani, Ghosts tour"))["id"]))["id"]
    address = f"{stack.checkout_web}/orders/{order}"
    yield Scene("checkout-review", "Review, where one pays on Stripe's page", address, buyer)
    opened = await buyer.client.post(f"{stack.checkout_payments}/api/payments", json={"orderId": order})
    page_url = opened.json()["pageUrl"]
    yield Scene("checkout-stripe", "Stripe's page (the sandbox's stand-in)", page_url, buyer)
    yield Scene("checkout-stripe-declined", "Declined there", page_url, buyer, _pay_from_an_empty_account)
    yield Scene("checkout-continue", "Back without having paid", address, buyer)
    yield Scene("checkout-checking", "Back before the outcome is known", f"{address}?paid", buyer)


async def _pay_from_an_empty_account(page: Page) -> None:
    await page.get_by_role("radio", name="Empty account").check()
    await page.get_by_role("button", name="Pay").click()
    await page.get_by_role("alert").wait_for()


async def _refunds(cast: Cast, stack: Stack) -> AsyncIterator[Scene]:
    """On its way while Stripe is out of reach; with the ticket kept, and then on sale again."""
    order, buyer = cast.orders["paid"], cast.buyer
    await stack.stop("stripe")
    await give_back(stack, order)
    yield Scene("order-refunding", "A refund on its way", f"/orders/{order}", buyer)
    await stack.start("stripe")
    await until(lambda: buyer.order(order), lambda seen: seen["status"] == "refunded")
    yield Scene("order-refunded", "Refunded, and the ticket kept", f"/orders/{order}", buyer)
    yield Scene("orders-refunded", "My orders, with a refund", "/orders", buyer)
    await give_back(stack, order, relist=True)
    await until(lambda: buyer.order(order), lambda seen: seen["relisted"])
    yield Scene("order-relisted", "Refunded, and on sale again", f"/orders/{order}", buyer)


async def _too_late(cast: Cast, stack: Stack) -> AsyncIterator[Scene]:
    """An order that ran out: its ticket free again, and then somebody else's."""
    buyer = cast.newcomer  # the other holds as many as one may
    ticket = cast.tickets["free"].rpartition("/")[2]
    order = await buyer.reserves(ticket, at=stack.hasty_orders)
    await until(lambda: buyer.order(order["id"]), lambda seen: seen["status"] == "cancelled")
    await until(lambda: buyer.ticket(ticket), lambda seen: seen["status"] == "available")
    yield Scene(
        "order-expired-free",
        "Not paid in time, but still free: reserve it again",
        f"/orders/{order['id']}",
        buyer,
    )
    await cast.rival.reserves(ticket)
    await until(lambda: buyer.ticket(ticket), lambda seen: seen["status"] == "reserved")
    yield Scene("order-expired-gone", "Not paid in time, and gone", f"/orders/{order['id']}", buyer)


async def _trouble(cast: Cast, stack: Stack) -> AsyncIterator[Scene]:
    ticket = (await cast.seller.offers(24, "Piano in the dark"))["id"]
    await stack.stop("orders")
    yield Scene("orders-down", "My orders while the orders service is down", "/orders", cast.buyer)
    address = f"/tickets/{ticket}"
    yield Scene("buy-down", "Buy while the orders service is down", address, cast.rival, _buy_in_vain)
    await stack.start("orders")


async def _buy_in_vain(page: Page) -> None:
    await page.get_by_role("button", name="Buy").click()
    await page.locator("#notice .banner").wait_for()
