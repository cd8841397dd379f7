"""Events that orders and payments receive, and entities made from them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

from contracts.events import (
    GRACE,
    ExpirationComplete,
    OrderCancelled,
    OrderCreated,
    OrderedTicket,
    OrderEvent,
    OrderStatus,
    OrderUpdated,
    PaymentStatus,
    PaymentUpdated,
    TicketCreated,
    TicketStatus,
    TicketUpdated,
)
from contracts.money import to_minor_units
from contracts.wire import now
from kit.mongo import object_id
from services.orders import actions
from services.orders.documents import Order
from tests.support.service import new_id

SELLER = new_id()

WINDOW = timedelta(minutes=15)
"""The time that a buyer has to pay."""


async def on_sale(
    *, price: Any = "19.99", title: str = "Hamlet", seller: str = SELLER, **details: Any
) -> str:
    """Deliver the event of a new ticket to the orders service. Return the ticket's id."""
    event = TicketCreated(
        id=new_id(), version=0, title=title, price=price, user_id=seller, status="available", **details
    )
    await actions.follow_ticket(event)
    return event.id


async def follow_ticket_event(
    key: str, version: int, *, status: TicketStatus, price: Any = "19.99", **details: Any
) -> None:
    """Deliver a newer state of a ticket to the orders service."""
    event = TicketUpdated(
        id=key, version=version, title="Hamlet", price=price, user_id=SELLER, status=status, **details
    )
    await actions.follow_ticket(event)


async def confirm_hold(order: dict[str, Any], **special: Any) -> None:
    """Deliver the event with which tickets confirms the hold of an order, unless the fields say otherwise."""
    await actions.follow_ticket(await confirmation_of(order, **special))


async def confirmation_of(order: dict[str, Any], **special: Any) -> TicketUpdated:
    ticket, stored = order["ticket"], await Order.first({"_id": object_id(order["id"])})
    assert stored is not None
    confirmed = {
        "id": ticket["id"],
        "version": ticket["version"] + 1,
        "title": ticket["title"],
        "price": ticket["price"],
        "user_id": SELLER,
        "status": "reserved",
        "order_id": order["id"],
        "hold": stored.hold,
    }
    return TicketUpdated.model_validate({**confirmed, **special})


STATUSES: tuple[PaymentStatus, ...] = (
    *("pending", "failed", "authorized", "captured"),
    *("voided", "refunding", "refunded"),
)
"""The statuses of a payment, in the order in which it has them."""


def payment_of(
    order: dict[str, Any],
    status: PaymentStatus,
    *,
    amount: int | None = None,
    authorized_at: datetime | None = None,
) -> PaymentUpdated:
    """The event of a payment for an order, with the order's price unless an amount is given."""
    return PaymentUpdated(
        id=new_id(),
        version=STATUSES.index(status) + 1,
        order_id=order["id"],
        status=status,
        amount=amount or round(order["ticket"]["price"] * 100),
        currency="usd",
        authorized_at=authorized_at,
    )


async def fire_timer(order: dict[str, Any], *, after: timedelta = GRACE) -> None:
    """Deliver the event of an order's timer to the orders service, at this time after the deadline."""
    due = ExpirationComplete.model_validate({"orderId": order["id"], "expiresAt": order["expiresAt"]})
    with orders_at(due.expires_at + after):
        await actions.expire(due)


@contextmanager
def orders_at(moment: datetime) -> Iterator[None]:
    """Let it be this time for the actions of the orders service."""
    with patch.object(actions, "now", lambda: moment):
        yield


def an_order(
    buyer: str,
    *,
    key: str | None = None,
    status: OrderStatus = "created",
    version: int = 0,
    price: Any = "19.99",
    time_left: timedelta = timedelta(minutes=15),
    starts_in: timedelta | None = None,
) -> OrderEvent:
    """An event that shows an order in this state."""
    kinds: dict[OrderStatus, type[OrderEvent]] = {"created": OrderCreated, "cancelled": OrderCancelled}
    return kinds.get(status, OrderUpdated)(
        id=key or new_id(),
        version=version,
        status=status,
        user_id=buyer,
        expires_at=now() + time_left,
        hold=1,
        ticket=OrderedTicket(
            id=new_id(),
            title="Hamlet",
            price=price,
            starts_at=None if starts_in is None else now() + starts_in,
        ),
    )


def next_event(order: OrderEvent, status: OrderStatus) -> OrderEvent:
    """The event after `order`, with this status and the next version."""
    kind = OrderCancelled if status == "cancelled" else OrderUpdated
    return kind(**{**dict(order), "status": status, "version": order.version + 1})


def minor(order: OrderEvent) -> int:
    return to_minor_units(order.ticket.price)
