"""Records of one order's money in orders, in payments and at Stripe, as input for an audit."""

from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.events import DisputeStatus, OrderStatus, PaymentStatus
from ops.audit.accounts import Account, OrderEntry, PaymentEntry
from ops.audit.rules import Finding, audit
from services.payments.money_back import Dispute, Refund, RefundStatus
from services.payments.stripe_gateway.ledger import StripeRecord

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
ORDER = "65f0c0ffee0000000000000b"
TICKET = "65f0c0ffee0000000000000a"
PRICE = 1999


def order(
    status: OrderStatus,
    *,
    price: int = PRICE,
    refunded: int = 0,
    time_left: timedelta = timedelta(minutes=5),
) -> OrderEntry:
    return OrderEntry(
        order_id=ORDER,
        ticket_id=TICKET,
        status=status,
        price=price,
        refunded=refunded,
        expires_at=NOON + time_left,
    )


def refund(amount: int, status: RefundStatus = "succeeded", id_: str = "re_1") -> Refund:
    return Refund(id=id_, amount=amount, status=status, failure="lost" if status == "failed" else None)


def dispute(status: DisputeStatus) -> Dispute:
    return Dispute(id="du_1", amount=PRICE, status=status, reason="fraudulent")


def payment(status: PaymentStatus, **changes: Any) -> PaymentEntry:
    fields = {"amount": PRICE, "currency": "usd", "attempts": 1, "intent_id": "pi_1", **changes}
    return PaymentEntry(order_id=ORDER, status=status, **fields)


def intent(
    *, held: int = 0, captured: int = 0, refunded: int = 0, approved: bool | None = None, **changes: Any
) -> StripeRecord:
    status = "requires_capture" if held else "succeeded" if captured else "canceled"
    fields = {"intent_id": "pi_1", "currency": "usd", "status": status, "created": 0, **changes}
    return StripeRecord(
        order_id=ORDER,
        authorized=held,
        captured=captured,
        refunded=refunded,
        was_approved=bool(held or captured) if approved is None else approved,
        **fields,
    )


def finding_for(*entries: OrderEntry | PaymentEntry | StripeRecord, settled: bool = False) -> Finding:
    """Audit an order with these ledger entries at noon."""
    account = Account(
        ORDER,
        next((entry for entry in entries if isinstance(entry, OrderEntry)), None),
        tuple(entry for entry in entries if isinstance(entry, PaymentEntry)),
        tuple(entry for entry in entries if isinstance(entry, StripeRecord)),
    )
    return audit(account, NOON, settled=settled)
