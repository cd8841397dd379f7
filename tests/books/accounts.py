"""One order's money, in order unless a test says what isn't."""

from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.events import OrderStatus, PaymentStatus
from services.orders.books import OrderEntry
from services.payments.books import PaymentEntry
from services.payments.gateway import Booked
from streams.books import Account, Finding, audit

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
ORDER = "65f0c0ffee0000000000000b"
TICKET = "65f0c0ffee0000000000000a"
PRICE = 1999


def order(
    status: OrderStatus, *, price: int = PRICE, time_left: timedelta = timedelta(minutes=5)
) -> OrderEntry:
    return OrderEntry(ORDER, TICKET, status, price, NOON + time_left)


def payment(status: PaymentStatus, **given: Any) -> PaymentEntry:
    fields = {"amount": PRICE, "currency": "usd", "attempts": 1, "intent_id": "pi_1", **given}
    return PaymentEntry(ORDER, status, **fields)


def intent(
    *, held: int = 0, captured: int = 0, refunded: int = 0, approved: bool | None = None, **given: Any
) -> Booked:
    status = "requires_capture" if held else "succeeded" if captured else "canceled"
    fields = {"intent_id": "pi_1", "currency": "usd", "status": status, **given}
    said_yes = bool(held or captured) if approved is None else approved
    return Booked(
        order_id=ORDER,
        authorized=held,
        captured=captured,
        refunded=refunded,
        is_attempted=said_yes,
        **fields,
    )


def audited(*entries: OrderEntry | PaymentEntry | Booked, settled: bool = False) -> Finding:
    """What is said at noon of an order with these entries."""
    account = Account(
        ORDER,
        next((entry for entry in entries if isinstance(entry, OrderEntry)), None),
        tuple(entry for entry in entries if isinstance(entry, PaymentEntry)),
        tuple(entry for entry in entries if isinstance(entry, Booked)),
    )
    return audit(account, NOON, settled=settled)
