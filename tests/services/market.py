"""What orders and payments hear from others, made up for their tests."""

from datetime import timedelta
from typing import Any

from contracts.events import (
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
from services.orders import actions
from tests.services.served import new_id

SELLER = new_id()

WINDOW = timedelta(minutes=15)
"""Time to pay."""


async def on_sale(
    *, price: Any = "19.99", title: str = "Hamlet", seller: str = SELLER, **details: Any
) -> str:
    """A ticket that orders heard of; its id."""
    event = TicketCreated(
        id=new_id(), version=0, title=title, price=price, user_id=seller, status="available", **details
    )
    await actions.follow_ticket(event)
    return event.id


async def told_of_ticket(
    key: str, version: int, *, status: TicketStatus, price: Any = "19.99", **details: Any
) -> None:
    """Orders hears of a ticket's newer state."""
    event = TicketUpdated(
        id=key, version=version, title="Hamlet", price=price, user_id=SELLER, status=status, **details
    )
    await actions.follow_ticket(event)


def payment_of(order: dict[str, Any], status: PaymentStatus, *, amount: int | None = None) -> PaymentUpdated:
    """What payments says of an order's payment, of the right amount unless one is given."""
    return PaymentUpdated(
        id=new_id(),
        version=1,
        order_id=order["id"],
        status=status,
        amount=amount or round(order["ticket"]["price"] * 100),
        currency="usd",
    )


def time_is_over(order: dict[str, Any], *, later: timedelta = timedelta()) -> ExpirationComplete:
    """The timer of an order fires, or one that was set for `later` than its deadline."""
    due = ExpirationComplete.model_validate({"orderId": order["id"], "expiresAt": order["expiresAt"]})
    return due.model_copy(update={"expires_at": due.expires_at + later})


def an_order(
    buyer: str,
    *,
    key: str | None = None,
    status: OrderStatus = "created",
    version: int = 0,
    price: Any = "19.99",
    time_left: timedelta = timedelta(minutes=15),
) -> OrderEvent:
    """What orders says of an order."""
    kinds: dict[OrderStatus, type[OrderEvent]] = {"created": OrderCreated, "cancelled": OrderCancelled}
    return kinds.get(status, OrderUpdated)(
        id=key or new_id(),
        version=version,
        status=status,
        user_id=buyer,
        expires_at=now() + time_left,
        hold=1,
        ticket=OrderedTicket(id=new_id(), title="Hamlet", price=price),
    )


def moved(order: OrderEvent, status: OrderStatus) -> OrderEvent:
    """What orders says of it next."""
    kind = OrderCancelled if status == "cancelled" else OrderUpdated
    return kind(**{**dict(order), "status": status, "version": order.version + 1})


def minor(order: OrderEvent) -> int:
    return to_minor_units(order.ticket.price)
