"""Keep a timer for each unpaid order."""

from typing import Protocol

from contracts.events import LIVE_STATUSES, ExpirationComplete, OrderEvent


class Timers(Protocol):
    """Persistent timers. Both methods are idempotent."""

    async def set(self, due: ExpirationComplete) -> None:
        """Publish the event `GRACE` after its `expires_at`, or at once if that time is past."""

    async def clear(self, order_id: str) -> None:
        """Delete all timers of an order."""


async def follow_order(order: OrderEvent, timers: Timers) -> None:
    """Set the timer of an unpaid order, or clear the timers of any other order.

    A timer that is set late or twice, or fires after its order has ended, is harmless, because the orders
    service cancels only orders that are unpaid and due.
    """
    if order.status in LIVE_STATUSES:
        await timers.set(ExpirationComplete(order_id=order.id, expires_at=order.expires_at))
    else:
        await timers.clear(order.id)
