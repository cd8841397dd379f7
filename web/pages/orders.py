"""A buyer's side: reservations, paying, and what became of them."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, URLEncodedBody

from contracts.api import Order, Payment, Ticket
from contracts.wire import now
from web import checkout
from web.page import Page, if_known, sign_in_address
from web.pages.tickets import MOST_SIMILAR
from web.services import Refused, ServiceDown
from web.stages import CHECKING, UNPAID, Stage, Step, on_return, stage_of, step_of
from web.templating import has_begun

T = TypeVar("T")
S = TypeVar("S")

SETTLES_WITHIN = 2.0
"""Seconds a browser without JavaScript waits for the outcome, so that it sees the end and not the middle."""
UNREACHABLE = "We can't reach the payment service. You won't be charged twice: look again soon"
TEST_CARDS = {
    "tok_visa": ("Visa", "The payment succeeds"),
    "tok_chargeDeclined": ("Declined card", "The bank says no"),
    "tok_chargeDeclinedInsufficientFunds": ("Empty account", "Declined: insufficient funds"),
    "tok_threeDSecure2Required": ("3-D Secure card", "The bank asks you to confirm"),
}


@dataclass(frozen=True)
class OrderView:
    order: Order
    payment: Payment | None
    stage: Stage
    step: Step | None
    remaining: int
    """Whole seconds left to pay, by the server's clock."""
    page_url: str | None
    """Where one pays at Stripe."""
    came_back: bool = False
    """From the bank or from Stripe's page, before the outcome did."""
    goes_to_pay: bool = False
    """Past the review."""
    ticket: Ticket | None = None
    """As it is now, once the order ended without it."""
    similar: Sequence[Ticket] = ()

    @property
    def query(self) -> str:
        """What its forms and its fragment have to keep of the address."""
        if self.came_back:
            return "?paid"
        return "?step=pay" if self.goes_to_pay else ""

    @property
    def address(self) -> str:
        return f"/orders/{self.order.id}{self.query}"

    @property
    def is_checkout(self) -> bool:
        """Whether there is still something to finish."""
        return self.step in {"review", "pay"}

    @property
    def can_reserve_again(self) -> bool:
        return self.ticket is not None and _is_free(self.ticket, self.order)

    @property
    def action_url(self) -> str | None:
        """Where the bank asks; only what is plainly an address of the web is ever linked."""
        url = self.payment.action_url if self.payment else None
        return url if url and urlsplit(url).scheme in {"https", "http"} else None


def _is_free(ticket: Ticket, order: Order) -> bool:
    """Tickets may not have heard yet that the order doesn't hold it any more."""
    is_held_by_it = ticket.status == "reserved" and ticket.order_id == order.id
    return (ticket.status == "available" or is_held_by_it) and not has_begun(ticket.starts_at)


@get("/orders/{order_id:str}")
async def show(
    page: NamedDependency[Page], order_id: FromPath[str], step: FromQuery[str | None] = None
) -> Response[Any]:
    """Who comes back from the bank or from Stripe's page sees the outcome as soon as it is known."""
    came_back = page.was_sent_by_stripe
    if came_back and not page.is_partial:
        outcome = await _settled(page, order_id, lambda stage: on_return(stage) != CHECKING)
        if outcome:
            return page.go(_after(order_id, outcome))
    return await _show(page, order_id, came_back=came_back, goes_to_pay=step == "pay")


def _after(order_id: str, outcome: Stage | None) -> str:
    """Where to go after a payment: who has to try again is past the review."""
    return f"/orders/{order_id}{'?step=pay' if outcome and outcome.can_pay else ''}"


@post("/orders/{order_id:str}/pay")
async def pay(
    page: NamedDependency[Page], order_id: FromPath[str], data: URLEncodedBody[dict[str, str]]
) -> Response[Any]:
    """A decline, an expiry and an outcome that isn't known yet are states of the order, and shown as such."""
    alert, status = None, 200
    try:
        payment = await page.services.pay(order_id, data.get("token", "").strip() or None)
        if page_url := checkout.trusted(payment.page_url, page.settings):
            return page.go(page_url)
    except ServiceDown as down:
        alert, status = down.words or UNREACHABLE, 503
    except Refused as refused:
        if refused.status == 401:
            return page.go(sign_in_address(f"/orders/{order_id}"))
        if not _is_a_state(refused):
            alert, status = refused.problem.title, 422 if refused.status == 400 else refused.status
    if alert or page.is_partial:
        return await _show(page, order_id, alert=alert, status=status, goes_to_pay=True)
    outcome = await _settled(page, order_id, lambda stage: stage not in (CHECKING, UNPAID))
    return page.go(_after(order_id, outcome))


def _is_a_state(refused: Refused) -> bool:
    """Whether the order itself shows why a payment was refused."""
    return refused.status in {402, 409} and refused.problem.type != "/problems/begun-elsewhere"


@post("/orders/{order_id:str}/extend")
async def extend(
    page: NamedDependency[Page], order_id: FromPath[str], step: FromQuery[str | None] = None
) -> Response[Any]:
    """More time to pay, for who needs it."""
    return await _changed(page, order_id, step, page.services.extend_order(order_id))


@post("/orders/{order_id:str}/cancel")
async def cancel(page: NamedDependency[Page], order_id: FromPath[str]) -> Response[Any]:
    """The buyer lets go of the ticket."""
    return await _changed(page, order_id, None, page.services.cancel_order(order_id))


async def _changed(page: Page, order_id: str, step: str | None, change: Awaitable[object]) -> Response[Any]:
    """The order after a change, or as it is and why it couldn't be changed."""
    alert, status = None, 200
    try:
        await change
    except Refused as refused:
        if refused.status == 401:
            return page.go(sign_in_address(f"/orders/{order_id}"))
        if refused.status == 404:
            raise
        alert, status = refused.problem.title, refused.status
    if alert or page.is_partial:
        return await _show(page, order_id, alert=alert, status=status, goes_to_pay=step == "pay")
    return page.go(f"/orders/{order_id}{'?step=pay' if step == 'pay' else ''}")


async def _show(
    page: Page,
    order_id: str,
    *,
    alert: str | None = None,
    status: int = 200,
    came_back: bool = False,
    goes_to_pay: bool = False,
) -> Response[Any]:
    view = await page.load(_view(page, order_id, came_back=came_back, goes_to_pay=goes_to_pay))
    back = f"/tickets/{view.order.ticket.id}" if view.is_checkout else None
    context = {"view": view, "cards": TEST_CARDS, "alert": alert, "leads_back_to": back}
    return page.render("orders/show.html", context, fragment="orders/_order.html", status=status)


async def _view(page: Page, order_id: str, *, came_back: bool, goes_to_pay: bool) -> OrderView:
    order, payment = await _both(page.services.order(order_id), _payment(page, order_id))
    at = now()
    stage = stage_of(order, payment, at)
    if came_back:
        stage = on_return(stage)
    goes_to_pay = goes_to_pay and not page.settings.pays_at_checkout
    ticket, similar = await _what_else(page, order)
    return OrderView(
        order,
        payment,
        stage,
        step_of(stage, goes_to_pay=goes_to_pay),
        remaining=max(0, math.ceil((order.expires_at - at).total_seconds())),
        page_url=checkout.trusted(payment.page_url if payment else None, page.settings),
        came_back=came_back and stage == CHECKING,
        goes_to_pay=goes_to_pay and stage.step == "pay",
        ticket=ticket,
        similar=similar,
    )


async def _what_else(page: Page, order: Order) -> tuple[Ticket | None, Sequence[Ticket]]:
    """What the seller says, for who has the ticket; for who didn't get it, what became of it, and others."""
    if order.status in {"created", "awaiting:payment"}:
        return None, ()
    ticket = await if_known(page.services.ticket(order.ticket.id))
    if order.status != "cancelled" or ticket is None or _is_free(ticket, order):
        return ticket, ()
    return ticket, (await if_known(page.services.similar_tickets(ticket.id)) or ())[:MOST_SIMILAR]


async def _payment(page: Page, order_id: str) -> Payment | None:
    return await if_known(page.services.payment_of(order_id))


async def _both(first: Awaitable[T], second: Awaitable[S]) -> tuple[T, S]:
    """At once; what goes wrong with one is raised when the other is done too."""
    one, other = await asyncio.gather(first, second, return_exceptions=True)
    for outcome in (one, other):
        if isinstance(outcome, BaseException):
            raise outcome
    return one, other  # type: ignore[return-value] # no exceptions, so they are what was asked for


async def _settled(page: Page, order_id: str, is_known: Callable[[Stage], bool]) -> Stage | None:
    """Wait until the outcome of a payment is known, but not for long."""
    try:
        async with asyncio.timeout(SETTLES_WITHIN):
            while True:
                order, payment = await _both(page.services.order(order_id), _payment(page, order_id))
                if is_known(stage := stage_of(order, payment, now())):
                    return stage
                await asyncio.sleep(0.1)
    except (TimeoutError, ServiceDown, Refused):
        return None


router = Router("/", route_handlers=[show, pay, extend, cancel])
