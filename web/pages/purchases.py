"""What a buyer has bought, or is about to."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from litestar import Response, Router, get
from litestar.di import NamedDependency

from contracts.api import Order, Payment
from contracts.wire import now
from web.live import MAX_ORDERS
from web.page import Page, if_known
from web.stages import REFUNDING, Stage, stage_of

MOST_ASKED = 20
"""Orders whose payments are asked for."""
LASTS = timedelta(hours=6)
"""So long after its beginning an event isn't past to who has a ticket: they may just be on their way in."""
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Purchase:
    order: Order
    stage: Stage

    @property
    def is_mine(self) -> bool:
        """Whether the ticket is the buyer's now."""
        return self.order.status == "complete" and self.stage != REFUNDING


@dataclass(frozen=True)
class Purchases:
    """What a buyer looks for first comes first."""

    open: list[Purchase]
    """To be paid for, or about to be: what is over first is first."""
    upcoming: list[Purchase]
    """The next event first; those without a date last."""
    past: list[Purchase]
    """The latest event first."""
    ended: list[Purchase]
    """Cancelled, not paid in time, refunded: the newest first."""

    @property
    def is_empty(self) -> bool:
        return not (self.open or self.upcoming or self.past or self.ended)

    @property
    def topics(self) -> list[str]:
        """What may still change, most of all what is about to."""
        some = [*self.open, *self.ended, *self.upcoming, *self.past]
        return [f"order:{each.order.id}" for each in some if each.stage.listens][:MAX_ORDERS]


def sorted_out(purchases: Iterable[Purchase], at: datetime) -> Purchases:
    open_, upcoming, past, ended = [], [], [], []
    for each in purchases:
        if _is_open(each.order):
            open_.append(each)
        elif not each.is_mine:
            ended.append(each)
        elif (begins := each.order.ticket.starts_at) is not None and begins + LASTS <= at:
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
    orders, payments = await page.load(_orders_and_payments(page))
    at = now()
    purchases = sorted_out(
        (Purchase(order, stage_of(order, payments.get(order.id), at)) for order in orders), at
    )
    return page.render("purchases/list.html", {"purchases": purchases}, fragment="purchases/_list.html")


async def _orders_and_payments(page: Page) -> tuple[list[Order], dict[str, Payment]]:
    """Payments tell apart the orders that wait for one, and those that are paid for, or were."""
    orders = await page.services.orders()
    told_apart = sorted(
        (order for order in orders if _is_open(order) or order.status == "complete"),
        key=lambda order: not _is_open(order),
    )
    payments = await asyncio.gather(
        *(if_known(page.services.payment_of(order.id)) for order in told_apart[:MOST_ASKED])
    )
    return orders, {payment.order_id: payment for payment in payments if payment is not None}


def _is_open(order: Order) -> bool:
    return order.status in {"created", "awaiting:payment"}


router = Router("/", route_handlers=[mine])
