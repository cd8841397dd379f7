"""The scenes: every page in each of its states, for the pictures of the tour and for the accessibility test.

`all_scenes` yields the scenes in an order in which each state can be reached. The marketplace stays in the
state of a scene until the next scene is requested.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
from bson import ObjectId
from playwright.async_api import FilePayload, Page
from pymongo import AsyncMongoClient

from e2e.money import refund
from sandbox.demo.__main__ import PROGRAMME
from sandbox.demo.fill import ticket_body
from sandbox.demo.pictures import picture
from tests.support.people import PASSWORD, Person
from tests.support.polling import until
from tests.support.stack import Stack
from tests.support.ticket_files import pdf

Action = Callable[[Page], Awaitable[None]]

CHAPTERS = (
    "Finding a ticket",
    "Buying",
    "Paying on Stripe's page",
    "Expired reservations",
    "Refunds",
    "Selling",
    "Accounts",
    "Errors and overload",
    "For developers",
)
"""The chapters of the tour, in the order of reading."""


@dataclass(frozen=True)
class Scene:
    """One page in one state. A scene can be opened repeatedly."""

    name: str
    caption: str
    path: str
    """The path of a page of the marketplace, or a whole URL."""
    person: Person | None = None
    """The signed-in user; None for a guest."""
    action: Action | None = None
    """The clicks and input that lead from the opened page to the state."""

    async def open(self, page: Page, site: str) -> None:
        await page.goto(self.path if "://" in self.path else site + self.path)
        if self.action is not None:
            await self.action(page)


class OrderState(NamedTuple):
    title: str
    token: str | None
    """The test card that leads to the state, if the buyer pays."""
    caption: str


ORDERS = {
    "review": OrderState(
        "Koji Amanuma Quartet", None, "Review: the ticket, its price and the time left to pay"
    ),
    "cancelled": OrderState("Gente de Papel", None, "Cancelled by the buyer; the ticket is on sale again"),
    "paid": OrderState("Zwölf Regenschirme", "tok_visa", "Paid"),
    "declined": OrderState(
        "Three Wise Herons, live",
        "tok_chargeDeclined",
        "Card declined: the reason, and the form to try again",
    ),
    "bank-check": OrderState(
        "Salt & Lantern Festival, Saturday",
        "tok_threeDSecure2Required",
        "The bank asks the buyer to confirm the payment",
    ),
    "checking": OrderState(
        "Planetarium Live: Eight Worlds",
        "tok_fault_server_error",
        "The outcome of the payment isn't known yet",
    ),
}
"""The buyer's orders by state."""
AVAILABLE, RESERVED, EXTENDABLE = "Neon Allotment: Night Shift Tour", "Paper Lanterns", "Velvet Tram"
CHECKOUT, OUTAGE = "Harmattan Brass", "Lotte Brandauer, solo piano"
PROMISED, DELIVERED = "The Cartographer's Daughter", "Night Train to Aoyama"
"""Tickets with files: one whose files are still missing, and a sold one."""
_LISTED_BY_SCENES = {
    *(AVAILABLE, RESERVED, EXTENDABLE, CHECKOUT, OUTAGE, PROMISED, DELIVERED),
    *(state.title for state in ORDERS.values()),
}
OTHER_LISTINGS = [listing for listing in PROGRAMME if listing.event.title not in _LISTED_BY_SCENES]
"""The listings of the demo for all events that the scenes don't list themselves."""
EVENT_PAGE = "/developers/events/order.updated"
SECONDS_LEFT = 280
"""Time left to pay in the scene about more time, which buyers can request when a third or less is left."""


async def list_ticket(seller: Person, title: str, **changes: Any) -> str:
    """List the demo's first ticket for the event with this title. Return the id of the listed ticket.

    Args:
        changes: fields of the listing that differ from the demo's.
    """
    listing = next(listing for listing in PROGRAMME if listing.event.title == title)
    ticket: dict[str, Any] = await seller.lists_ticket(
        **{**ticket_body(listing, datetime.now(UTC)), **changes}
    )
    if listing.event.look is not None:
        path = f"/api/tickets/{ticket['id']}/picture"
        answer = await seller.client.put(path, content=picture(title, listing.event.look))
        assert answer.status_code == 200, answer.text
    ticket_id: str = ticket["id"]
    return ticket_id


@dataclass
class Market:
    """The people of the scenes, their tickets and their orders."""

    seller: Person
    buyer: Person
    other_buyer: Person
    newcomer: Person
    """A user without listings and orders."""
    tickets: dict[str, str]
    """Paths of the pages of the tickets, by state."""
    orders: dict[str, str]
    """Ids of the orders, by state."""
    show: str
    """The id of the event of the available ticket."""
    onboarding: str
    """The address of the page on which the seller gives details to Stripe."""


async def all_scenes(stack: Stack, people: list[Person]) -> AsyncIterator[tuple[str, Scene]]:
    """All scenes, each with its chapter. `people` are four new users."""
    market = await _prepare(stack, *people)
    for chapter, scenes in {
        "Finding a ticket": _visitors,
        "Buying": _buyers,
        "Selling": _sellers,
        "Accounts": _accounts,
        "For developers": _developers,
    }.items():
        for scene in scenes(market):
            yield chapter, scene
    for chapter, steps in {
        "Paying on Stripe's page": _checkout,
        "Refunds": _refunds,
        "Expired reservations": _expired,
        "Errors and overload": _errors,
    }.items():
        async for scene in steps(market, stack):
            yield chapter, scene


async def _prepare(
    stack: Stack, seller: Person, buyer: Person, other_buyer: Person, newcomer: Person
) -> Market:
    """Create tickets and orders in every state."""
    past, starts_at = await _list_ticket_that_starts_soon(seller)
    available = await list_ticket(seller, AVAILABLE)
    for price, seat in ((38, "Balcony, row 2"), (31.5, "Standing")):
        await list_ticket(other_buyer, AVAILABLE, price=price, faceValue=price, quantity=1, seat=seat)
    promised = await list_ticket(seller, PROMISED, promised=True)
    delivered = await list_ticket(seller, DELIVERED, promised=True, quantity=1)
    await upload(seller, delivered)
    reserved = await list_ticket(seller, RESERVED)
    extendable = await list_ticket(seller, EXTENDABLE)
    ticket_ids = {name: await list_ticket(seller, state.title) for name, state in ORDERS.items()}
    orders = {"delivered": (await buyer.reserves(delivered))["id"]}
    await buyer.pays(orders["delivered"])
    for name, state in ORDERS.items():
        orders[name] = (await buyer.reserves(ticket_ids[name]))["id"]
        if name == "cancelled":
            await buyer.cancels(orders[name])
        elif state.token is not None:
            await buyer.pays(orders[name], state.token)
    orders["extendable"] = (await other_buyer.reserves(extendable))["id"]
    await _shorten(stack, orders["extendable"])
    await other_buyer.reserves(reserved)
    await until(lambda: buyer.payment(orders["paid"]), lambda seen: seen["status"] == "captured")
    await until(lambda: buyer.order(orders["delivered"]), lambda seen: seen["delivery"] == "delivered")
    await until(lambda: buyer.ticket(reserved), lambda seen: seen["status"] == "reserved")
    withdrawn = (await seller.lists_ticket(15, "Improv on Sundays"))["id"]
    await seller.client.delete(f"/api/tickets/{withdrawn}")
    await asyncio.sleep((starts_at - datetime.now(UTC)).total_seconds())
    ids = {"available": available, "reserved": reserved, "mine": ticket_ids["review"]}
    ids |= {"sold": ticket_ids["paid"], "withdrawn": withdrawn, "past": past}
    ids |= {"promised": promised, "delivered": delivered}
    paths = {name: f"/tickets/{ticket}" for name, ticket in ids.items()}
    show = (await seller.ticket(available))["showId"]
    begun = await seller.client.post("/api/payouts/account", json={"country": "US"})
    return Market(seller, buyer, other_buyer, newcomer, paths, orders, show, begun.json()["url"])


async def upload(seller: Person, ticket: str) -> None:
    """Upload a file with a new code for the ticket."""
    content = pdf([secrets.token_hex(8)])
    answer = await seller.client.post(f"/api/tickets/{ticket}/files", content=content)
    assert answer.status_code == 201, answer.text


async def _shorten(stack: Stack, order: str) -> None:
    """Move the deadline of an order forward in the database, because the scene can't wait for ten minutes."""
    deadline = datetime.now(UTC) + timedelta(seconds=SECONDS_LEFT)
    async with AsyncMongoClient[dict[str, Any]](stack.settings.database) as client:
        orders = client["orders"]["orders"]
        await orders.update_one({"_id": ObjectId(order)}, {"$set": {"expires_at": deadline}})


async def _list_ticket_that_starts_soon(seller: Person) -> tuple[str, datetime]:
    """List a ticket for an event that starts soon. Return the id of the ticket and the start of the event.

    On a slow machine the event may start before the ticket is listed, which is then refused. Try again with a
    later start.
    """
    for seconds in (3, 20, 60):
        starts_at = datetime.now(UTC) + timedelta(seconds=seconds)
        ticket = {"title": "Matinee for early birds", "price": 15, "startsAt": starts_at.isoformat()}
        answer = await seller.client.post("/api/tickets", json=ticket)
        if answer.status_code == 201:
            break
    return answer.json()["id"], starts_at


def _visitors(market: Market) -> Iterator[Scene]:
    yield Scene("browse", "Tickets on sale, with search and filters", "/")
    yield Scene("search", "Search results, cheapest first", "/?q=night&sort=price")
    yield Scene("search-filters", "Two active filters, which can be removed", "/?city=berlin&minPrice=10")
    yield Scene("search-nothing", "A search without results, with a hint", "/?q=nothing+like+this")
    yield Scene("search-wrong", "An invalid price in the filters", "/?minPrice=cheap")
    yield Scene("ticket-guest", "A ticket, before signing in", market.tickets["available"])
    yield Scene("ticket-sold", "A sold ticket, with similar ones", market.tickets["sold"])
    yield Scene("ticket-withdrawn", "A ticket that its seller has withdrawn", market.tickets["withdrawn"])
    yield Scene("ticket-past", "A ticket for an event that has begun", market.tickets["past"])
    yield Scene("event", "An event with all its tickets", f"/events/{market.show}")
    yield Scene("how-it-works", "What is guaranteed, by whom and until when", "/how-it-works")
    yield Scene("help", "Answers to common questions", "/help")
    yield Scene("terms", "The terms, a template until the operator replaces it", "/terms")


def _buyers(market: Market) -> Iterator[Scene]:
    buyer = market.buyer

    def order(state: str) -> Scene:
        return Scene(f"order-{state}", ORDERS[state].caption, f"/orders/{market.orders[state]}", buyer)

    yield Scene("browse-signed-in", "Tickets on sale, signed in", "/", buyer)
    yield Scene("ticket-available", "A ticket on sale", market.tickets["available"], buyer)
    yield Scene("report-listing", "Reporting a listing", f"{market.tickets['available']}/report", buyer)
    yield order("review")
    path = f"/orders/{market.orders['extendable']}"
    yield Scene("order-more-time", "Little time left: the buyer can get more", path, market.other_buyer)
    yield Scene("order-pay", "Choosing a card", f"/orders/{market.orders['review']}?step=pay", buyer)
    yield order("declined")
    yield order("bank-check")
    path = f"/orders/{market.orders['bank-check']}"
    yield Scene("release", "Releasing a ticket while the bank checks the payment", f"{path}/cancel", buyer)
    yield Scene("bank", "The bank's page (in the Stripe sandbox)", path, buyer, _go_to_the_bank)
    yield order("checking")
    yield order("paid")
    path = f"/orders/{market.orders['delivered']}"
    yield Scene("order-delivered", "Paid, and the ticket is here", path, buyer)
    yield Scene("files-bought", "Downloading a ticket", f"{market.tickets['delivered']}/files", buyer)
    yield Scene("ticket-mine", "The page of a bought ticket", market.tickets["sold"], buyer)
    yield Scene("orders", "My orders: to pay, upcoming and earlier", "/orders", buyer)
    yield Scene("orders-none", "My orders, still empty", "/orders", market.newcomer)
    yield order("cancelled")
    yield Scene("ticket-reserved-by-me", "A ticket that the buyer holds", market.tickets["mine"], buyer)
    yield Scene("ticket-reserved", "A ticket that another buyer holds", market.tickets["reserved"], buyer)


def _sellers(market: Market) -> Iterator[Scene]:
    seller = market.seller
    yield Scene(
        "seller-available", "The seller's view of an available ticket", market.tickets["available"], seller
    )
    yield Scene(
        "seller-reserved", "The seller's view of a reserved ticket", market.tickets["reserved"], seller
    )
    yield Scene("seller-sold", "The seller's view of a sold ticket", market.tickets["sold"], seller)
    yield Scene("sell", "Listing a ticket", "/sell", seller)
    path = f"/sell?event={market.show}"
    yield Scene("sell-event", "Listing a ticket for a chosen event", path, seller)
    yield Scene(
        "sell-wrong", "Errors, listed at the top and at each field", "/sell", seller, _list_with_invalid_price
    )
    twice = "A start that clocks show twice"
    yield Scene("sell-twice", twice, "/sell", seller, _list_at_a_time_that_clocks_show_twice)
    yield Scene("edit", "Editing a ticket", f"{market.tickets['available']}/edit", seller)
    yield Scene("withdraw", "Withdrawing a ticket", f"{market.tickets['available']}/withdraw", seller)
    yield Scene("files", "Uploading a promised ticket", f"{market.tickets['promised']}/files", seller)
    path = f"{market.tickets['promised']}/files"
    yield Scene("files-wrong", "A file that can't be used", path, seller, _upload_no_ticket)
    yield Scene("files-sold", "The files of a sold ticket", f"{market.tickets['delivered']}/files", seller)
    yield Scene("sales", "My sales", "/listings", seller)
    yield Scene("sales-none", "My sales, still empty", "/listings", market.newcomer)
    yield Scene("payouts", "Payouts: the money of all sales", "/account/payouts", seller)
    yield Scene("payouts-none", "Payouts, before they are set up", "/account/payouts", market.newcomer)
    yield Scene("onboarding", "Stripe's page for sellers (in the Stripe sandbox)", market.onboarding)


def _accounts(market: Market) -> Iterator[Scene]:
    yield Scene("sign-in", "Sign in", "/signin")
    yield Scene("sign-up", "Sign up", "/signup")
    wrong = _filled_in("Sign up", email="me at home", password="short")
    yield Scene("sign-up-wrong", "Sign up, with errors", "/signup", action=wrong)
    unknown = _filled_in("Sign in", email=f"{secrets.token_hex(4)}@example.com", password=PASSWORD)
    yield Scene("sign-in-wrong", "Sign in, with a wrong password", "/signin", action=unknown)
    yield Scene("account", "My account", "/account", market.seller)
    yield Scene("add-passkey", "Add a passkey", "/account/passkeys/add", market.seller)
    yield Scene("forgot", "Forgot the password", "/account/forgot")
    yield Scene(
        "forgot-wrong",
        "Forgot the password, without an address",
        "/account/forgot",
        action=_clicks("Send the link"),
    )
    yield Scene("forgot-sent", "A link to choose a new password was sent", "/account/forgot?sent")
    reset = f"/account/reset?link={'a' * 24}.{'0' * 64}"
    yield Scene("reset", "Choose a new password", reset)
    weak = _chooses("password1", "Change password")
    yield Scene("reset-expired", "The link has expired", reset, action=weak)
    yield Scene("reset-done", "The password was changed", "/account/reset?done")
    yield Scene("confirm", "Confirm the address", "/account/confirm", market.seller)
    yield Scene("confirm-link", "Confirm the address with the link", "/account/confirm?link=x", market.seller)
    confirms = _clicks("Yes, confirm it")
    expired = "Confirm the address with an expired link"
    yield Scene("confirm-expired", expired, "/account/confirm?link=x", market.seller, confirms)
    yield Scene("email", "Change the address", "/account/email", market.seller)
    yield Scene("change-email", "Use the new address", "/account/change-email?link=x", market.seller)
    uses = _clicks("Use the new address")
    expired = "Use the new address with an expired link"
    yield Scene("change-email-expired", expired, "/account/change-email?link=x", market.seller, uses)
    yield Scene("export", "Download personal data", "/account/export", market.seller)
    yield Scene("delete", "Delete the account", "/account/delete", market.newcomer)
    yield Scene(
        "delete-wrong",
        "Delete the account, with a wrong password",
        "/account/delete",
        market.newcomer,
        _clicks("Delete my account"),
    )
    opened = "Delete the account, while tickets are open"
    yield Scene("delete-open", opened, "/account/delete", market.seller)
    yield Scene("deleted", "The account was deleted", "/account/deleted")
    yield Scene("undo-email-change", "Undo the change of an address", "/account/undo-email-change?link=x")


def _developers(_: Market) -> Iterator[Scene]:
    yield Scene("developers", "The portal: the HTTP API, the events, and quick starts", "/developers")
    yield Scene("developers-events", "Who publishes and receives each event", "/developers/events")
    yield Scene("developers-event", "One event: its meaning, its fields and an example", EVENT_PAGE)


def _clicks(button: str) -> Action:
    async def action(page: Page) -> None:
        await page.get_by_role("button", name=button).click()
        await page.get_by_role("main").get_by_role("alert").wait_for()

    return action


def _chooses(password: str, button: str) -> Action:
    async def action(page: Page) -> None:
        await page.get_by_label("New password").fill(password)
        await page.get_by_role("button", name=button).click()
        await page.get_by_role("main").get_by_role("alert").wait_for()

    return action


def _filled_in(button: str, *, email: str, password: str) -> Action:
    async def action(page: Page) -> None:
        await page.get_by_label("Email").fill(email)
        await page.get_by_label("Password").fill(password)
        await page.get_by_role("button", name=button, exact=True).click()
        await page.locator("#error-summary").wait_for()

    return action


async def _list_with_invalid_price(page: Page) -> None:
    await page.get_by_label("Price").fill("cheap")
    await page.get_by_role("button", name="List ticket").click()
    await page.locator("#error-summary").wait_for()


async def _upload_no_ticket(page: Page) -> None:
    chosen: FilePayload = {"name": "ticket.pdf", "mimeType": "application/pdf", "buffer": b"no ticket"}
    await page.get_by_label("Add a file").set_input_files(chosen)
    await page.get_by_role("button", name="Upload").click()
    await page.locator("#error-summary").wait_for()


async def _list_at_a_time_that_clocks_show_twice(page: Page) -> None:
    await page.get_by_label("What is the ticket for?").fill("Night of the long hour")
    await page.get_by_label("Price").fill("20")
    await page.get_by_label("Start of the event").fill("2035-10-28T02:30")
    await page.get_by_label("Time zone").select_option("Europe/Berlin")
    await page.get_by_label("Venue").fill("Astra")
    await page.get_by_label("City").fill("Berlin")
    await page.get_by_role("button", name="List ticket").click()
    await page.get_by_role("radio").first.wait_for()


async def _go_to_the_bank(page: Page) -> None:
    await page.get_by_role("link", name="Confirm with your bank").click()
    await page.get_by_role("button", name="Approve").wait_for()


async def _checkout(market: Market, stack: Stack) -> AsyncIterator[Scene]:
    buyer = market.buyer
    order = (await buyer.reserves(await list_ticket(market.seller, CHECKOUT)))["id"]
    url = f"{stack.checkout_web}/orders/{order}"
    yield Scene("checkout-review", "Review, before paying on Stripe's page", url, buyer)
    opened = await buyer.client.post(f"{stack.checkout_payments}/api/payments", json={"orderId": order})
    page_url = opened.json()["pageUrl"]
    yield Scene("checkout-stripe", "Stripe's page (in the Stripe sandbox)", page_url, buyer)
    declined = "Card declined on Stripe's page"
    yield Scene("checkout-stripe-declined", declined, page_url, buyer, _pay_from_an_empty_account)
    yield Scene("checkout-continue", "Back from Stripe's page without a payment", url, buyer)
    yield Scene("checkout-checking", "Back before the outcome is known", f"{url}?paid", buyer)


async def _pay_from_an_empty_account(page: Page) -> None:
    await page.get_by_role("radio", name="Empty account").check()
    await page.get_by_role("button", name="Pay").click()
    await page.get_by_role("alert").wait_for()


async def _refunds(market: Market, stack: Stack) -> AsyncIterator[Scene]:
    """Request a refund while Stripe is down, complete it, then put the ticket on sale again."""
    order, buyer = market.orders["paid"], market.buyer
    await stack.stop("stripe")
    await refund(stack, order)
    yield Scene("order-refunding", "The refund is in progress", f"/orders/{order}", buyer)
    await stack.start("stripe")
    await until(lambda: buyer.order(order), lambda seen: seen["status"] == "refunded")
    yield Scene("order-refunded", "Refunded; the buyer keeps the ticket", f"/orders/{order}", buyer)
    yield Scene("orders-refunded", "My orders, with a refund", "/orders", buyer)
    await refund(stack, order, relist=True)
    await until(lambda: buyer.order(order), lambda seen: seen["relisted"])
    yield Scene("order-relisted", "Refunded; the ticket is on sale again", f"/orders/{order}", buyer)


async def _expired(market: Market, stack: Stack) -> AsyncIterator[Scene]:
    """Let a reservation expire, then let another buyer reserve the ticket."""
    buyer = market.newcomer  # the buyer has reached the limit of live orders
    ticket = market.tickets["available"].rpartition("/")[2]
    order = await buyer.reserves(ticket, at=stack.short_window_orders)
    await until(lambda: buyer.order(order["id"]), lambda seen: seen["status"] == "cancelled")
    await until(lambda: buyer.ticket(ticket), lambda seen: seen["status"] == "available")
    path = f"/orders/{order['id']}"
    yield Scene("order-expired-available", "Expired; the buyer can reserve the ticket again", path, buyer)
    await market.other_buyer.reserves(ticket)
    await until(lambda: buyer.ticket(ticket), lambda seen: seen["status"] == "reserved")
    yield Scene("order-expired-reserved", "Expired; another buyer has reserved the ticket", path, buyer)


async def _errors(market: Market, stack: Stack) -> AsyncIterator[Scene]:
    yield Scene("not-found", "Page not found", "/no/such/page")
    path = f"/tickets/{await list_ticket(market.seller, OUTAGE)}"
    await stack.stop("orders")
    yield Scene("orders-down", "My orders while the orders service is down", "/orders", market.buyer)
    yield Scene(
        "buy-down",
        "Buying while the orders service is down",
        path,
        market.other_buyer,
        _buy_during_the_outage,
    )
    await stack.start("orders")
    async with _overload(stack):
        yield Scene(
            "overload", "More visitors than can be served", "/?q=encore", action=_reload_until_rejected
        )


@asynccontextmanager
async def _overload(stack: Stack) -> AsyncIterator[None]:
    """Occupy all permits for pages with requests that wait for a suspended service.

    Each visitor searches for something else, because pages that several visitors request need one permit.
    """

    async def browse(client: httpx.AsyncClient, visitor: int) -> None:
        while True:
            await client.get("/", params={"q": f"visitor {visitor}"})

    async with stack.paused("tickets"), httpx.AsyncClient(base_url=stack.web, timeout=60) as client:
        visitors = [
            asyncio.create_task(browse(client, number)) for number in range(stack.settings.web_max_requests)
        ]
        try:
            yield
        finally:
            for visitor in visitors:
                visitor.cancel()
            await asyncio.gather(*visitors, return_exceptions=True)


async def _reload_until_rejected(page: Page) -> None:
    """Reload the page if it was served, because a visitor's request had just timed out."""
    while not await page.get_by_role("heading", name="The site is busy").is_visible():
        await page.reload()


async def _buy_during_the_outage(page: Page) -> None:
    await page.get_by_role("button", name="Buy").click()
    await page.locator("#notice .banner").wait_for()
