"""What a buyer has bought, or is about to."""

import asyncio
from dataclasses import dataclass
from typing import Any

from litestar import Response, Router, get
from litestar.di import NamedDependency

from contracts.api import Order, Payment
from contracts.wire import now
from web.live import MAX_ORDERS
from web.page import Page
from web.services import Refused, ServiceDown
from web.stages import Stage, stage_of

MOST_ASKED = 20
"""Orders whose payments are asked for."""
PAYMENTS_WITHIN = 3.0
"""Seconds that the list waits for payments: it can be shown without."""


@dataclass(frozen=True)
class Purchase:
    order: Order
    stage: Stage


@get("/orders")
async def mine(page: NamedDependency[Page]) -> Response[Any]:
    orders, payments = await page.load(_orders_and_payments(page))
    at = now()
    views = [Purchase(order, stage_of(order, payments.get(order.id), at)) for order in orders]
    changing = sorted(
        (view for view in views if view.stage.listens), key=lambda view: not _is_open(view.order)
    )
    watched = [view.order.id for view in changing[:MAX_ORDERS]]
    return page.render(
        "purchases/list.html", {"views": views, "watched": watched}, fragment="purchases/_list.html"
    )


async def _orders_and_payments(page: Page) -> tuple[list[Order], dict[str, Payment]]:
    """Payments tell apart the orders that wait for one, and those that are paid for, or were."""
    orders = await page.services.orders()
    told_apart = sorted(
        (order for order in orders if _is_open(order) or order.status == "complete"),
        key=lambda order: not _is_open(order),
    )
    payments = await asyncio.gather(*(_payment(page, order.id) for order in told_apart[:MOST_ASKED]))
    return orders, {payment.order_id: payment for payment in payments if payment is not None}


def _is_open(order: Order) -> bool:
    return order.status in {"created", "awaiting:payment"}


async def _payment(page: Page, order_id: str) -> Payment | None:
    try:
        async with asyncio.timeout(PAYMENTS_WITHIN):
            return await page.services.payment_of(order_id)
    except (TimeoutError, ServiceDown, Refused):
        return None


router = Router("/", route_handlers=[mine])
