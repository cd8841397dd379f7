"""Payments, webhook events, and replicas of orders."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Self

from beanie import Document, PydanticObjectId
from pydantic import BaseModel, Field, TypeAdapter
from pymongo import ASCENDING, IndexModel

from contracts.events import PaymentCreated, PaymentEvent, PaymentStatus, PaymentUpdated
from contracts.wire import Moment, now
from kit.aggregates import OUTBOX_INDEX, Aggregate
from kit.replicas import Replica
from services.payments.rules import Payable, PaymentState

FIRST_DELAY = timedelta(seconds=5)
MAX_DELAY = timedelta(hours=1)
"""Maximum time between two attempts to process a webhook event."""

KEPT_SECONDS = 30 * 24 * 3600
"""How long webhook events are kept. That must be longer than Stripe repeats them, which is three days."""


class OrderReplica(Payable, Replica):
    """The replica of an order."""

    class Settings:
        name = "orders"


class Payment(PaymentState, Aggregate):
    """The one payment of an order. Its first event is published before Stripe is asked."""

    class Settings:
        name = "payments"
        indexes = [
            OUTBOX_INDEX,
            IndexModel([("order_id", ASCENDING)], name="one_payment_an_order", unique=True),
            IndexModel([("intent_id", ASCENDING)], name="intent"),
            IndexModel([("status", ASCENDING)], name="status"),
        ]

    @classmethod
    async def load(cls, payment_id: PydanticObjectId | None) -> Self:
        """The payment as it is stored now."""
        found = await cls.first({"_id": payment_id})
        assert found is not None, "payments are never deleted"
        return found

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
            authorized_at=self.authorized_at,
        )


class ShownPayment(BaseModel):
    """The fields of a stored payment that its buyer sees."""

    id: PydanticObjectId = Field(alias="_id")
    user_id: str
    order_id: str
    status: PaymentStatus
    amount: int
    currency: str
    decline_message: str | None
    action_url: str | None
    page_url: str | None

    @property
    def key(self) -> str:
        """The id as text."""
        return str(self.id)

    @classmethod
    async def of_orders(cls, order_ids: Sequence[str]) -> "Sequence[ShownPayment]":
        """The payments of these orders, in one read."""
        wanted = {"order_id": {"$in": list(order_ids)}}
        found = await Payment.get_pymongo_collection().find(wanted, _SHOWN_FIELDS).to_list()
        return _SHOWN_PAYMENTS.validate_python(found)


_SHOWN_FIELDS = dict.fromkeys(ShownPayment.model_fields.keys() - {"id"}, 1)
_SHOWN_PAYMENTS = TypeAdapter(list[ShownPayment])


class WebhookEvent(Document):
    """An inbox message: a webhook event, stored once under Stripe's event id."""

    id: str  # type: ignore[assignment] # Stripe's own id is its key
    order_id: str | None
    intent_id: str | None
    status: PaymentStatus | None = None
    """The status that the PaymentIntent had, if the event contains one."""
    received_at: Moment
    due: Moment
    """When to process the event next. The delay grows with each failure."""
    failures: int = 0
    processed: bool = False

    class Settings:
        name = "webhook_events"
        indexes = [
            IndexModel([("processed", ASCENDING), ("due", ASCENDING)], name="due"),
            IndexModel([("received_at", ASCENDING)], name="expiry", expireAfterSeconds=KEPT_SECONDS),
        ]

    async def add(self) -> None:
        """Store the event.

        Raises:
            DuplicateKeyError: the event is stored already.
        """
        await self.get_pymongo_collection().insert_one(self.model_dump(by_alias=True))

    @classmethod
    async def is_stored(cls, event_id: str) -> bool:
        """Whether a majority has the event, so that it can't be lost any more."""
        return await cls.get_pymongo_collection().find_one({"_id": event_id}, {"_id": 1}) is not None

    @classmethod
    async def due_at(cls, moment: datetime, limit: int) -> list[dict[str, Any]]:
        """Unprocessed events that are due, as they are stored: some may be unreadable."""
        due = {"processed": False, "due": {"$lte": moment}}
        found = cls.get_pymongo_collection().find(due, sort=[("due", ASCENDING)], limit=limit)
        return await found.to_list()

    async def payment(self) -> Payment | None:
        """Our payment that the event concerns, or None if it concerns something else at Stripe."""
        if self.order_id is not None:
            return await Payment.first({"order_id": self.order_id})
        return await Payment.first({"intent_id": self.intent_id}) if self.intent_id else None

    @classmethod
    async def close(cls, event_ids: Sequence[str]) -> None:
        """Mark the events processed."""
        processed = {"$set": {"processed": True}}
        await cls.get_pymongo_collection().update_many({"_id": {"$in": list(event_ids)}}, processed)

    @classmethod
    async def postpone(cls, event_id: Any, failures: Any) -> None:
        """Schedule the event for later, even if it is unreadable, so that it doesn't block the others."""
        failures = failures if isinstance(failures, int) else 0
        delay = min(FIRST_DELAY * 2.0 ** min(failures, 20), MAX_DELAY)
        changes = {"due": now() + delay, "failures": failures + 1}
        await cls.get_pymongo_collection().update_one({"_id": event_id}, {"$set": changes})
