"""Payments, and what payments knows of orders."""

from datetime import timedelta
from typing import Any, Self

from beanie import Document
from pymongo import ASCENDING, IndexModel

from contracts.events import PaymentCreated, PaymentEvent, PaymentUpdated
from contracts.wire import Moment, now
from services.kit.aggregates import OUTBOX_INDEX, Aggregate
from services.kit.copies import Copy
from services.payments.rules import Payable, PaymentState, Told

FIRST_DELAY = timedelta(seconds=5)
LONGEST_DELAY = timedelta(hours=1)
"""Between the tries of one webhook that can't be handled."""

NOTICE_SECONDS = 30 * 24 * 3600
"""How long a webhook is remembered. Stripe sends one again for three days."""


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
            bank_check=self.bank_check,
            relist=self.relist,
            stripe_id=self.intent_id,
        )


class Notice(Document):
    """A webhook in the inbox, under Stripe's event id: one that comes twice is there once."""

    id: str  # type: ignore[assignment] # Stripe's own id is its key
    order_id: str | None
    intent_id: str | None
    received_at: Moment
    due: Moment
    """When it is to be handled; later and later if that fails."""
    failures: int = 0
    handled: bool = False

    class Settings:
        name = "notices"
        indexes = [
            IndexModel([("handled", ASCENDING), ("due", ASCENDING)], name="due"),
            IndexModel([("received_at", ASCENDING)], name="expiry", expireAfterSeconds=NOTICE_SECONDS),
        ]

    @classmethod
    def of(cls, told: Told) -> Self:
        moment = now()
        return cls(
            id=told.event_id,
            order_id=told.order_id,
            intent_id=told.intent_id,
            received_at=moment,
            due=moment,
        )

    async def payment(self) -> Payment | None:
        """The payment that it is about, if it is one of ours."""
        if self.order_id is not None:
            return await Payment.find_one({"order_id": self.order_id})
        return await Payment.find_one({"intent_id": self.intent_id}) if self.intent_id else None

    async def close(self) -> None:
        await self.get_pymongo_collection().update_one({"_id": self.id}, {"$set": {"handled": True}})

    @classmethod
    async def put_off(cls, notice_id: Any, failures: Any) -> None:
        """Have it handled later. One that can't be read, too: enough of those would keep all others out."""
        failures = failures if isinstance(failures, int) else 0
        delay = min(FIRST_DELAY * 2.0 ** min(failures, 20), LONGEST_DELAY)
        changes = {"due": now() + delay, "failures": failures + 1}
        await cls.get_pymongo_collection().update_one({"_id": notice_id}, {"$set": changes})
