"""Keep one timer for each order that waits for its payment."""

from typing import Protocol

from contracts.events import ExpirationComplete, OrderEvent


class Timers(Protocol):
    """Timers that outlive every process. Both methods may be repeated."""

    async def set(self, due: ExpirationComplete) -> None:
        """Have the event published when its `expires_at` comes; at once if that is past."""

    async def clear(self, order_id: str) -> None:
        """Forget all timers of an order."""


async def follow_order(order: OrderEvent, timers: Timers) -> None:
    """Set the timer of an order that waits for its payment, clear it when the order is over.

    A timer that is set late or twice, or fires although its order is over, is harmless: orders
    cancels only what is unpaid and due.
    """
    if order.status in ("created", "awaiting:payment"):
        await timers.set(ExpirationComplete(order_id=order.id, expires_at=order.expires_at))
    else:
        await timers.clear(order.id)
