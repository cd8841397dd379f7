"""Payments, and what payments knows of orders."""

from pymongo import ASCENDING, IndexModel

from contracts.events import PaymentCreated, PaymentEvent, PaymentUpdated
from services.kit.aggregates import OUTBOX_INDEX, Aggregate
from services.kit.copies import Copy
from services.payments.rules import Payable, PaymentState


class Order(Payable, Copy):
    """An order that may be paid for."""

    class Settings:
        name = "orders"


class Payment(PaymentState, Aggregate):
    """The one payment of an order. Version -1 until its first outcome is known, and so published."""

    class Settings:
        name = "payments"
        indexes = [
            OUTBOX_INDEX,
            IndexModel([("order_id", ASCENDING)], name="one_payment_an_order", unique=True),
            IndexModel([("intent_id", ASCENDING)], name="intent"),
            IndexModel([("status", ASCENDING)], name="status"),
        ]

    def event(self) -> PaymentEvent:
        kind = PaymentCreated if self.version == 0 else PaymentUpdated
        return kind(
            id=self.key,
            version=self.version,
            order_id=self.order_id,
            status=self.status,
            amount=self.amount,
            currency=self.currency,
            stripe_id=self.intent_id,
        )
