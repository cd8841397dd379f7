"""The buyers of recent orders, from order events. Only the web tier uses them; no page shows them."""

from typing import TypeVar

from contracts.events import OrderEvent

T = TypeVar("T")

MAX_ORDERS = 10_000
"""Orders and tickets whose buyer is kept in memory: about two megabytes."""


class Buyers:
    def __init__(self, max_orders: int = MAX_ORDERS) -> None:
        self._of_order: dict[str, str] = {}
        self._of_ticket: dict[str, tuple[int, str]] = {}
        """The number of each ticket's newest known hold, and its buyer."""
        self._max_orders = max_orders

    def add(self, order: OrderEvent) -> None:
        """Remember the buyer of an order. An event about an earlier order of the ticket may come later."""
        _put(self._of_order, order.id, order.user_id, self._max_orders)
        hold, _ = self._of_ticket.get(order.ticket.id, (0, ""))
        if order.hold >= hold:
            _put(self._of_ticket, order.ticket.id, (order.hold, order.user_id), self._max_orders)

    def of_order(self, order_id: str) -> str | None:
        return self._of_order.get(order_id)

    def of_ticket(self, ticket_id: str) -> str | None:
        """The user who reserved the ticket last. None if that isn't known."""
        found = self._of_ticket.get(ticket_id)
        return found[1] if found else None

    def forget(self) -> None:
        """Forget the buyers of tickets, because an event about a later order may have been missed."""
        self._of_ticket.clear()


def _put(known: dict[str, T], key: str, value: T, most: int) -> None:
    known.pop(key, None)
    known[key] = value
    if len(known) > most:
        del known[next(iter(known))]
