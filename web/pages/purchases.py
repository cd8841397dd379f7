"""The page with the list of a buyer's orders."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from litestar import Response, Router, get
from litestar.di import NamedDependency

from contracts.api import Order, Payment
from contracts.events import LIVE_STATUSES
from contracts.wire import now
from web.api_client import Refused
from web.live.sse import MAX_ORDERS
from web.order_stage import CAPTURED, REFUNDING, Stage, Tone, stage_of
from web.page_context import Page
from web.rendering.texts import N_

PAGE_SIZE = 100
"""Orders on one page. The payments service returns the payments of no more orders at once."""
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

    @property
    def label(self) -> str:
        """The stage of the order, and of its delivery once the order is paid."""
        return self._delivery[0] if self._delivery else self.stage.label

    @property
    def tone(self) -> Tone:
        return self._delivery[1] if self._delivery else self.stage.tone

    @property
    def _delivery(self) -> tuple[str, Tone] | None:
        """Label and tone of the delivery. None if something else matters more, or if nothing is known."""
        if self.stage != CAPTURED:
            return None
        match self.order.delivery:
            case _ if self.order.problem and self.order.problem.decided_at is None:
                return N_("Problem reported"), "waiting"
            case "due" if self.order.overdue_at:
                return N_("Overdue"), "bad"
            case "due":
                return N_("Not delivered yet"), "waiting"
            case "delivered":
                return N_("Delivered"), "good"
        return None


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
    """Show a page of the buyer's orders, grouped. The newest orders are on the first page."""
    after = page.request.query_params.get("after", "")[:200]
    search = {"limit": str(PAGE_SIZE), **({"after": after} if after else {})}
    try:
        found = await page.api.orders(search)
    except Refused as refused:
        if refused.problem.type != "/problems/bad-cursor":
            raise
        return page.redirect("/orders")
    payments = await _payments(page, found.orders)
    at = now()
    stages = [
        stage_of(order, payments.get(order.id), at, pay_after_start=page.settings.pay_after_start)
        for order in found.orders
    ]
    purchases = grouped(map(Purchase, found.orders, stages), at)
    context = {
        "purchases": purchases,
        "first": "/orders" if after else None,
        "older": f"/orders?{urlencode({'after': found.after})}" if found.after else None,
        "is_complete": not after and not found.after,
    }
    return page.render("purchases/list.html", context, fragment="purchases/_list.html")


async def _payments(page: Page, orders: Iterable[Order]) -> dict[str, Payment]:
    """The payments of all orders but the cancelled ones, by order id. Their stages depend on the payments."""
    wanted = [order.id for order in orders if order.status != "cancelled"]
    payments = await page.optional(page.api.payments_of(wanted)) if wanted else None
    return {payment.order_id: payment for payment in payments or ()}


def _is_open(order: Order) -> bool:
    return order.status in LIVE_STATUSES


router = Router("/", route_handlers=[mine])
