"""The page of an order, for its buyer: review, payment and outcome."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, URLEncodedBody

from contracts.api import Order, Payment, Profile, Ticket
from contracts.events import LIVE_STATUSES
from contracts.wire import now
from web import stripe_checkout
from web.api_client import Refused, ServiceDown
from web.forms import shown_price
from web.order_stage import CHECKING, CONFIRMING, UNPAID, Stage, on_return, stage_of, step_of
from web.page_context import Page
from web.pages.order_view import OrderView, is_free
from web.pages.tickets import MAX_SIMILAR
from web.redirects import sign_in_address
from web.rendering.texts import N_, _

T = TypeVar("T")
S = TypeVar("S")

UNKNOWN = {CHECKING.name, CONFIRMING.name}
"""The stages in which the outcome of a payment isn't known yet."""

OUTCOME_TIMEOUT = 2.0
"""Seconds to wait for the outcome of a payment before a page is sent without it."""


@dataclass(frozen=True)
class SandboxCard:
    token: str
    name: str
    effect: str


SANDBOX_CARDS = (
    SandboxCard("tok_visa", N_("Visa"), N_("The payment succeeds")),
    SandboxCard("tok_chargeDeclined", N_("Declined card"), N_("The bank declines")),
    SandboxCard(
        "tok_chargeDeclinedInsufficientFunds", N_("Empty account"), N_("Declined: insufficient funds")
    ),
    SandboxCard("tok_threeDSecure2Required", N_("3-D Secure card"), N_("The bank asks you to confirm")),
)


@get("/orders/{order_id:str}")
async def show(
    page: NamedDependency[Page],
    order_id: FromPath[str],
    step: FromQuery[str | None] = None,
    was: FromQuery[str | None] = None,
) -> Response[Any]:
    """Show the order. If the buyer returns from the bank or Stripe's page, wait briefly for the outcome."""
    if not page.request.wants_fragment and (again := await page.confirmed_meanwhile()) is not None:
        return again
    came_back = not {"paid", "payment_intent"}.isdisjoint(page.request.query_params)
    if came_back and not page.request.wants_fragment:
        outcome = await _outcome(page, order_id, lambda stage: on_return(stage).name not in UNKNOWN)
        if outcome:
            return page.redirect(_after(order_id, outcome))
    return await _show(page, order_id, came_back=came_back, goes_to_pay=step == "pay", was=shown_price(was))


def _after(order_id: str, outcome: Stage | None) -> str:
    """The address of the page after a payment. A buyer who has to pay again skips the review."""
    return f"/orders/{order_id}{'?step=pay' if outcome and outcome.can_pay else ''}"


@post("/orders/{order_id:str}/pay")
async def pay(
    page: NamedDependency[Page], order_id: FromPath[str], data: URLEncodedBody[dict[str, str]]
) -> Response[Any]:
    """Start a payment, and continue on the order's page or on Stripe's payment page."""
    alert, status = None, 200
    try:
        payment = await page.api.pay(order_id, data.get("token", "").strip() or None)
        if page_url := stripe_checkout.trusted(payment.page_url, page.settings):
            return page.redirect(page_url)
    except ServiceDown as down:
        alert, status = down.title or _unreachable(), 503
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address(f"/orders/{order_id}"))
        if not _is_shown_by_order(refused):
            alert, status = refused.problem.title, 422 if refused.status == 400 else refused.status
    if alert or page.request.wants_fragment:
        return await _show(page, order_id, alert=alert, status=status, goes_to_pay=True)
    outcome = await _outcome(page, order_id, lambda stage: stage.name not in {*UNKNOWN, UNPAID.name})
    return page.redirect(_after(order_id, outcome))


def _unreachable() -> str:
    return _("We can't reach the payment service. Try again soon: you won't be charged twice")


def _is_shown_by_order(refused: Refused) -> bool:
    """Whether the order's page itself shows why the payment was refused, so that no alert is needed."""
    unexplained = {"/problems/begun-elsewhere", "/problems/price-too-low", "/problems/event-begun"}
    return refused.status in {402, 409} and refused.problem.type not in unexplained


@post("/orders/{order_id:str}/extend")
async def extend(
    page: NamedDependency[Page], order_id: FromPath[str], step: FromQuery[str | None] = None
) -> Response[Any]:
    """Extend the reservation at the buyer's request."""
    return await _changed(page, order_id, step, page.api.extend_order(order_id))


@get("/orders/{order_id:str}/cancel")
async def ask_to_cancel(page: NamedDependency[Page], order_id: FromPath[str]) -> Response[Any]:
    """Ask whether to release the ticket, because somebody else may get it at once."""
    view = await view_of(page, order_id)
    if not view.stage.can_cancel:
        return page.redirect(f"/orders/{order_id}")
    context, back = {"view": view}, f"/tickets/{view.order.ticket.id}"
    return page.render("orders/release.html", context, fragment="orders/release.html", back=back)


@post("/orders/{order_id:str}/cancel")
async def cancel(page: NamedDependency[Page], order_id: FromPath[str]) -> Response[Any]:
    """Cancel the order, which releases its ticket."""
    return await _changed(page, order_id, None, page.api.cancel_order(order_id))


@post("/orders/{order_id:str}/confirmation")
async def confirm_delivery(page: NamedDependency[Page], order_id: FromPath[str]) -> Response[Any]:
    """Record that the buyer has the ticket."""
    return await _changed(page, order_id, None, page.api.confirm_delivery(order_id))


async def _changed(page: Page, order_id: str, step: str | None, change: Awaitable[object]) -> Response[Any]:
    """Await the change, then show the order. If the change was refused, also show the reason."""
    alert, status = None, 200
    try:
        await change
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address(f"/orders/{order_id}"))
        if refused.status == 404:
            raise
        alert, status = refused.problem.title, refused.status
    if alert or page.request.wants_fragment:
        return await _show(page, order_id, alert=alert, status=status, goes_to_pay=step == "pay")
    return page.redirect(f"/orders/{order_id}{'?step=pay' if step == 'pay' else ''}")


async def _show(
    page: Page,
    order_id: str,
    *,
    alert: str | None = None,
    status: int = 200,
    came_back: bool = False,
    goes_to_pay: bool = False,
    was: Decimal | None = None,
) -> Response[Any]:
    view = await view_of(page, order_id, came_back=came_back, goes_to_pay=goes_to_pay, was=was)
    back = f"/tickets/{view.order.ticket.id}" if view.is_checkout else None
    context = {"view": view, "cards": SANDBOX_CARDS, "alert": alert, "site": page.settings.site}
    return page.render("orders/show.html", context, fragment="orders/_order.html", status=status, back=back)


async def view_of(
    page: Page,
    order_id: str,
    *,
    came_back: bool = False,
    goes_to_pay: bool = False,
    was: Decimal | None = None,
) -> OrderView:
    """The order, its payment and its ticket, as its page shows them now."""
    order, payment = await _both(page.api.order(order_id), _payment(page, order_id))
    at = now()
    stage = stage_of(order, payment, at, pay_after_start=page.settings.pay_after_start)
    if came_back:
        stage = on_return(stage)
    goes_to_pay = goes_to_pay and not page.settings.pays_at_checkout
    step = step_of(stage, goes_to_pay=goes_to_pay)
    ticket, similar = await _ticket_and_similar(page, order)
    listing, seller = await _to_review(page, order) if step == "review" else (None, None)
    return OrderView(
        order,
        payment,
        stage,
        step,
        remaining=max(0, math.ceil((order.expires_at - at).total_seconds())),
        until_start=_seconds_until_start(order, at),
        page_url=stripe_checkout.trusted(payment.page_url if payment else None, page.settings),
        pays_at_checkout=page.settings.pays_at_checkout,
        came_back=came_back and stage.name == CHECKING.name,
        goes_to_pay=goes_to_pay and stage.step == "pay",
        was=was if step == "review" and was != order.ticket.price else None,
        ticket=ticket,
        similar=similar,
        listing=listing,
        seller=seller,
    )


async def _to_review(page: Page, order: Order) -> tuple[Ticket | None, Profile | None]:
    """What a buyer has to know before paying and an order doesn't contain: the listing and its seller."""
    listing = await page.optional(page.api.ticket(order.ticket.id))
    seller = None if listing is None else await page.optional(page.api.profile(listing.user_id))
    return listing, seller


def _seconds_until_start(order: Order, at: datetime) -> int | None:
    starts_at = order.ticket.starts_at
    return None if starts_at is None else max(0, math.ceil((starts_at - at).total_seconds()))


async def _ticket_and_similar(page: Page, order: Order) -> tuple[Ticket | None, Sequence[Ticket]]:
    """The ticket of an order that is no longer live, and similar tickets if the buyer can't get it."""
    if order.status in LIVE_STATUSES:
        return None, ()
    ticket = await page.optional(page.api.ticket(order.ticket.id))
    if order.status != "cancelled" or ticket is None or is_free(ticket, order):
        return ticket, ()
    return ticket, (await page.optional(page.api.similar_tickets(ticket.id)) or ())[:MAX_SIMILAR]


async def _payment(page: Page, order_id: str) -> Payment | None:
    return await page.optional(page.api.payment_of(order_id))


async def _both(first: Awaitable[T], second: Awaitable[S]) -> tuple[T, S]:
    """Await two requests concurrently. If one fails, raise its exception after both have finished."""
    one, other = await asyncio.gather(first, second, return_exceptions=True)
    for outcome in (one, other):
        if isinstance(outcome, BaseException):
            raise outcome
    return one, other  # type: ignore[return-value] # exceptions were raised above


async def _outcome(page: Page, order_id: str, is_known: Callable[[Stage], bool]) -> Stage | None:
    """Wait for the outcome of a payment. None if the outcome isn't known within `OUTCOME_TIMEOUT`."""
    try:
        async with asyncio.timeout(OUTCOME_TIMEOUT):
            while True:
                order, payment = await _both(page.api.order(order_id), _payment(page, order_id))
                stage = stage_of(order, payment, now(), pay_after_start=page.settings.pay_after_start)
                if is_known(stage):
                    return stage
                await asyncio.sleep(0.1)
    except (TimeoutError, ServiceDown, Refused):
        return None


router = Router("/", route_handlers=[show, pay, extend, ask_to_cancel, cancel, confirm_delivery])
