"""A buyer's side: reservations, paying, and what became of them."""

import asyncio
import math
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody

from contracts.api import Order, Payment, Ticket
from contracts.wire import now
from web.page import Page, sign_in_address
from web.services import Refused, ServiceDown
from web.stages import Stage, stage_of

T = TypeVar("T")
S = TypeVar("S")

SETTLES_WITHIN = 2.0
"""Seconds a browser without JavaScript waits for the outcome, so that it sees the end and not the middle."""
EXTRAS_WITHIN = 3.0
"""Seconds that an order waits for what it can be shown without."""
MOST_ASKED = 20
"""Orders of a list whose payments are asked for."""
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
    remaining: int
    """Whole seconds left to pay, by the server's clock."""
    ticket: Ticket | None = None
    """With date and place, if tickets could be asked."""

    @property
    def action_url(self) -> str | None:
        """Where the bank asks; only what is plainly an address of the web is ever linked."""
        url = self.payment.action_url if self.payment else None
        return url if url and urlsplit(url).scheme in {"https", "http"} else None


@get("/orders")
async def mine(page: NamedDependency[Page]) -> Response[Any]:
    orders, payments = await page.load(_orders_and_payments(page))
    views = [_view(order, payments.get(order.id), now()) for order in orders]
    return page.render("orders/list.html", {"views": views}, fragment="orders/_list.html")


@get("/orders/{order_id:str}")
async def show(page: NamedDependency[Page], order_id: FromPath[str]) -> Response[Any]:
    return await _show(page, order_id)


@post("/orders/{order_id:str}/pay")
async def pay(
    page: NamedDependency[Page], order_id: FromPath[str], data: URLEncodedBody[dict[str, str]]
) -> Response[Any]:
    """A decline, an expiry and an outcome that isn't known yet are states of the order, and shown as such."""
    alert, status = None, 200
    try:
        await page.services.pay(order_id, data.get("token", "").strip() or "tok_visa")
    except ServiceDown:
        alert, status = "We can't reach the payment service. You won't be charged twice: look again soon", 503
    except Refused as refused:
        if refused.status == 401:
            return page.go(sign_in_address(f"/orders/{order_id}"))
        if refused.status == 400:
            alert, status = refused.problem.title, 422
        elif refused.status not in {402, 409}:
            alert, status = refused.problem.title, refused.status
    if alert:
        return await _show(page, order_id, alert=alert, status=status)
    if page.is_partial:
        return await _show(page, order_id)
    await _settled(page, order_id)
    return page.go(f"/orders/{order_id}")


@post("/orders/{order_id:str}/cancel")
async def cancel(page: NamedDependency[Page], order_id: FromPath[str]) -> Response[Any]:
    try:
        await page.services.cancel_order(order_id)
    except Refused as refused:
        if refused.status == 401:
            return page.go(sign_in_address(f"/orders/{order_id}"))
        if refused.status == 404:
            raise
        return await _show(page, order_id, alert=refused.problem.title, status=refused.status)
    if page.is_partial:
        return await _show(page, order_id)
    return page.go(f"/orders/{order_id}")


async def _show(page: Page, order_id: str, *, alert: str | None = None, status: int = 200) -> Response[Any]:
    (order, ticket), payment = await page.load(
        _both(_order_and_ticket(page, order_id), _payment(page, order_id))
    )
    context = {"view": _view(order, payment, now(), ticket), "cards": TEST_CARDS, "alert": alert}
    return page.render("orders/show.html", context, fragment="orders/_order.html", status=status)


async def _orders_and_payments(page: Page) -> tuple[list[Order], dict[str, Payment]]:
    """Only orders that wait for a payment are told apart by it."""
    orders = await page.services.orders()
    waiting = [order.id for order in orders if order.status in {"created", "awaiting:payment"}][:MOST_ASKED]
    payments = await asyncio.gather(*(_payment(page, order_id) for order_id in waiting))
    return orders, {payment.order_id: payment for payment in payments if payment is not None}


async def _order_and_ticket(page: Page, order_id: str) -> tuple[Order, Ticket | None]:
    order = await page.services.order(order_id)
    return order, await _if_it_can_be_had(page.services.ticket(order.ticket.id))


async def _payment(page: Page, order_id: str) -> Payment | None:
    return await _if_it_can_be_had(page.services.payment_of(order_id))


async def _both(first: Awaitable[T], second: Awaitable[S]) -> tuple[T, S]:
    """At once; what goes wrong with one is raised when the other is done too."""
    one, other = await asyncio.gather(first, second, return_exceptions=True)
    for outcome in (one, other):
        if isinstance(outcome, BaseException):
            raise outcome
    return one, other  # type: ignore[return-value] # no exceptions, so they are what was asked for


async def _if_it_can_be_had(thing: Awaitable[T | None]) -> T | None:
    """An order can be shown while payments or tickets is away, and doesn't wait long for them."""
    try:
        async with asyncio.timeout(EXTRAS_WITHIN):
            return await thing
    except (TimeoutError, ServiceDown, Refused):
        return None


async def _settled(page: Page, order_id: str) -> None:
    """Wait until the outcome of a payment is known, but not for long."""
    try:
        async with asyncio.timeout(SETTLES_WITHIN):
            while True:
                order, payment = await _both(page.services.order(order_id), _payment(page, order_id))
                if stage_of(order, payment, now()).name not in {"checking", "unpaid"}:
                    return
                await asyncio.sleep(0.1)
    except (TimeoutError, ServiceDown, Refused):
        return


def _view(order: Order, payment: Payment | None, at: datetime, ticket: Ticket | None = None) -> OrderView:
    remaining = max(0, math.ceil((order.expires_at - at).total_seconds()))
    return OrderView(order, payment, stage_of(order, payment, at), remaining, ticket)


router = Router("/", route_handlers=[mine, show, pay, cancel])
