"""Typical states, events and outcomes. A test passes only the fields that matter to it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from contracts.events import (
    OrderCancelled,
    OrderCreated,
    OrderedTicket,
    OrderEvent,
    OrderStatus,
    OrderUpdated,
    PaymentEvent,
    PaymentStatus,
    PaymentUpdated,
    TicketUpdated,
)
from services.orders.rules import OrderState, ReservableTicket
from services.payments.rules import Outcome, Payable, PaymentState
from services.tickets.rules import TicketState

NOW = datetime(2027, 3, 1, 18, 30, tzinfo=UTC)
SOON = NOW + timedelta(minutes=15)

TICKET = "65f0c0ffee0000000000000a"
ORDER = "65f0c0ffee0000000000000b"
PAYMENT = "65f0c0ffee0000000000000c"
SELLER = "65f0c0ffee0000000000000d"
BUYER = "65f0c0ffee0000000000000e"
STRANGER = "65f0c0ffee0000000000000f"


def ticket(**special: Any) -> TicketState:
    return TicketState.model_validate({"user_id": SELLER, "title": "Row 4", "price_minor": 1999, **special})


def reservable_ticket(**special: Any) -> ReservableTicket:
    usual = {"version": 0, "title": "Row 4", "price_minor": 1999, "user_id": SELLER, "status": "available"}
    return ReservableTicket.model_validate({**usual, **special})


def order(**special: Any) -> OrderState:
    usual = {
        "user_id": BUYER,
        "ticket_id": TICKET,
        "ticket_version": 0,
        "ticket_title": "Row 4",
        "price_minor": 1999,
        "hold": 1,
        "held": True,
        "expires_at": SOON,
    }
    return OrderState.model_validate({**usual, **special})


def payable(**special: Any) -> Payable:
    usual = {
        "version": 0,
        "status": "created",
        "user_id": BUYER,
        "price_minor": 1999,
        "ticket_title": "Row 4",
        "expires_at": SOON,
    }
    return Payable.model_validate({**usual, **special})


def payment(**special: Any) -> PaymentState:
    usual = {"order_id": ORDER, "user_id": BUYER, "amount": 1999, "currency": "usd", "token": "tok_visa"}
    return PaymentState.model_validate({**usual, **special})


def outcome(status: PaymentStatus, *, amount: int = 1999, currency: str = "usd", **fields: Any) -> Outcome:
    return Outcome(status, "pi_1", amount, currency, **fields)


def order_event(
    status: OrderStatus,
    *,
    hold: int = 1,
    version: int = 0,
    order_id: str = ORDER,
    relisted: bool = False,
    expires_at: datetime = SOON,
    price: str = "19.99",
    title: str = "Row 4",
    code: str | None = None,
    **fields: Any,
) -> OrderEvent:
    kind = OrderCancelled if status == "cancelled" else OrderUpdated if version else OrderCreated
    return kind(
        id=order_id,
        version=version,
        status=status,
        user_id=BUYER,
        relisted=relisted,
        expires_at=expires_at,
        hold=hold,
        code=code,
        **fields,
        ticket=OrderedTicket(id=TICKET, title=title, price=Decimal(price)),
    )


def ticket_event(**special: Any) -> TicketUpdated:
    """The event of a ticket whose first hold tickets has confirmed, unless the fields say otherwise."""
    usual = {
        "id": TICKET,
        "version": 1,
        "title": "Row 4",
        "price": "19.99",
        "user_id": SELLER,
        "status": "reserved",
        "order_id": ORDER,
        "hold": 1,
    }
    return TicketUpdated.model_validate({**usual, **special})


def payment_event(status: PaymentStatus, *, amount: int = 1999, **fields: Any) -> PaymentEvent:
    usual = {"id": PAYMENT, "version": 1, "order_id": ORDER, "amount": amount, "currency": "usd"}
    return PaymentUpdated.model_validate({**usual, "status": status, **fields})
