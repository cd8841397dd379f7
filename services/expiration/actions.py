"""Keep a timer for each unpaid order, and for each delivery that is due."""

from datetime import datetime
from typing import Protocol

from contracts.events import LIVE_STATUSES, ExpirationComplete, OrderEvent


class Timers(Protocol):
    """Persistent timers. Both methods are idempotent."""

    async def set(self, due: ExpirationComplete) -> None:
        """Publish the event `GRACE` after its `expires_at`, or at once if that time is past."""

    async def clear(self, order_id: str) -> None:
        """Delete all timers of an order."""


async def follow_order(order: OrderEvent, timers: Timers) -> None:
    """Set the timer of an unpaid order or of a due delivery. Clear the timers of anything else.

    A timer that is set late or twice, or fires after its order has ended, is harmless, because the orders
    service cancels only orders that are unpaid and due, and ends only deliveries that are overdue.
    """
    if order.status not in LIVE_STATUSES:
        await timers.clear(order.id)
    deadline = deadline_of(order)
    if deadline is not None:
        await timers.set(ExpirationComplete(order_id=order.id, expires_at=deadline))


def deadline_of(order: OrderEvent) -> datetime | None:
    """When the order's buyer or seller must have acted. None if nothing is due."""
    if order.status in LIVE_STATUSES:
        return order.expires_at
    is_due = order.status == "complete" and order.delivery == "due" and order.overdue_at is None
    return order.deliver_by if is_due else None
