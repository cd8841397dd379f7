"""The page with the list of a buyer's orders."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from litestar import Response, Router, get
from litestar.di import NamedDependency

from contracts.api import Order, Payment
from contracts.events import LIVE_STATUSES
from contracts.wire import now
from web.live.sse import MAX_ORDERS
from web.order_stage import REFUNDING, Stage, stage_of
from web.page_context import Page

MAX_PAYMENTS = 100
"""The most orders for which payments are requested for one page. The payments service accepts no more."""
PAST_AFTER = timedelta(hours=6)
"""Time from the start of an event until it counts as past, so that buyers at the venue find their ticket."""
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Purchase:
    order: Order
    stage: Stage

    @property
    def is_mine(self) -> bool:
        """Whether the ticket belongs to the buyer."""
        return self.order.status == "complete" and self.stage != REFUNDING


@dataclass(frozen=True)
class Purchases:
    """A buyer's orders in groups. The orders that the buyer most likely needs come first in each group."""

    open: list[Purchase]
    """Unpaid orders. The order that expires next comes first."""
    upcoming: list[Purchase]
    """Tickets for future events. The next event comes first, and events without a date come last."""
    past: list[Purchase]
    """Tickets for past events. The latest event comes first."""
    ended: list[Purchase]
    """Cancelled, expired and refunded orders. The newest order comes first."""

    @property
    def is_empty(self) -> bool:
        return not (self.open or self.upcoming or self.past or self.ended)

    @property
    def shows_ended(self) -> bool:
        """Whether the ended orders are expanded: if one is being refunded, or there are no other orders."""
        is_refunding = any(each.stage.is_waiting for each in self.ended)
        return is_refunding or not (self.open or self.upcoming or self.past)

    @property
    def topics(self) -> str:
        """The live topics, separated by spaces: the buyer's list, and single orders that may change."""
        purchases = [*self.open, *self.ended, *self.upcoming, *self.past]
        orders = [f"order:{each.order.id}" for each in purchases if each.stage.listens]
        return " ".join(["buyer:me", *orders[:MAX_ORDERS]])


def grouped(purchases: Iterable[Purchase], at: datetime) -> Purchases:
    open_, upcoming, past, ended = [], [], [], []
    for each in purchases:
        if _is_open(each.order):
            open_.append(each)
        elif not each.is_mine:
            ended.append(each)
        elif (begins := each.order.ticket.starts_at) is not None and begins + PAST_AFTER <= at:
            past.append(each)
        else:
            upcoming.append(each)
    return Purchases(
        sorted(open_, key=lambda each: each.order.expires_at),
        sorted(upcoming, key=lambda each: each.order.ticket.starts_at or NEVER),
        sorted(past, key=lambda each: each.order.ticket.starts_at or NEVER, reverse=True),
        ended,
    )


@get("/orders")
async def mine(page: NamedDependency[Page]) -> Response[Any]:
    orders, payments = await _orders_and_payments(page)
    at = now()
    stages = [
        stage_of(order, payments.get(order.id), at, pay_after_start=page.settings.pay_after_start)
        for order in orders
    ]
    purchases = grouped(map(Purchase, orders, stages), at)
    return page.render("purchases/list.html", {"purchases": purchases}, fragment="purchases/_list.html")


async def _orders_and_payments(page: Page) -> tuple[list[Order], dict[str, Payment]]:
    """The user's orders, and the payments of their open and completed orders by order id.

    The stages of these orders depend on their payments. If there are too many payments to request, open
    orders take precedence.
    """
    orders = await page.api.orders()
    with_payment = sorted(
        (order for order in orders if _is_open(order) or order.status == "complete"),
        key=lambda order: not _is_open(order),
    )
    if not with_payment:
        return orders, {}
    wanted = [order.id for order in with_payment[:MAX_PAYMENTS]]
    payments = await page.optional(page.api.payments_of(wanted))
    return orders, {payment.order_id: payment for payment in payments or ()}


def _is_open(order: Order) -> bool:
    return order.status in LIVE_STATUSES


router = Router("/", route_handlers=[mine])
