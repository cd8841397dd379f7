"""Payments, webhook events, and replicas of orders."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Self

from beanie import Document, PydanticObjectId
from pydantic import Field, TypeAdapter
from pymongo import ASCENDING, DESCENDING, IndexModel

from contracts.events import PaymentCreated, PaymentEvent, PaymentStatus, PaymentUpdated
from contracts.wire import Moment, now
from kit.aggregates import OUTBOX_INDEX, Aggregate
from kit.changes import Changes
from kit.replicas import Replica
from kit.tracing import Attributes
from services.payments.metrics import count_outcome
from services.payments.money_back import MoneyBack
from services.payments.rules import Payable, PaymentState
from services.payments.schedule import OPEN_STATUSES

FIRST_DELAY = timedelta(seconds=5)
MAX_DELAY = timedelta(hours=1)
"""Maximum time between two attempts to process a webhook event."""

MAX_UNDECIDED = 1_000
"""How many authorized payments `Payment.undecided_since` reads."""

KEPT_SECONDS = 30 * 24 * 3600
"""How long webhook events are kept. That must be longer than Stripe repeats them, which is three days."""


class OrderReplica(Payable, Replica):
    """The replica of an order."""

    class Settings:
        name = "orders"


class Payment(PaymentState, Aggregate):
    """The one payment of an order. Its first event is published before Stripe is asked."""

    next_look_at: Moment | None = None
    """When to look at the payment next, if it is open. None if it is due.

    A process claims a payment by moving this time forward before it looks at the payment. If the process
    dies, the claim lapses at this time, and another process looks at the payment.
    """
    traceparent: str | None = None
    """The trace of the request that created the payment, to which each look at the payment is linked."""

    class Settings:
        name = "payments"
        indexes = [
            OUTBOX_INDEX,
            IndexModel([("order_id", ASCENDING)], name="one_payment_an_order", unique=True),
            IndexModel([("intent_id", ASCENDING)], name="intent"),
            IndexModel([("user_id", ASCENDING), ("_id", DESCENDING)], name="of_buyer"),
            IndexModel([("status", ASCENDING), ("next_look_at", ASCENDING)], name="next_look"),
        ]

    @classmethod
    async def load(cls, payment_id: PydanticObjectId | None) -> Self:
        """The payment as it is stored now."""
        found = await cls.first({"_id": payment_id})
        assert found is not None, "payments are never deleted"
        return found

    @classmethod
    async def due_at(cls, moment: datetime, limit: int) -> list[PydanticObjectId]:
        """The ids of open payments that are due, those first that have been due for longest.

        Only ids are read, so that one unreadable payment doesn't hide the others.
        """
        due = {"status": {"$in": OPEN_STATUSES}, **_due(moment)}
        found = cls.get_pymongo_collection().find(
            due, {"_id": 1}, sort=[("next_look_at", ASCENDING)], limit=limit
        )
        return [payment["_id"] for payment in await found.to_list()]

    @classmethod
    async def claim(cls, payment_id: PydanticObjectId, moment: datetime, until: datetime) -> bool:
        """Claim a payment that is due until the given time. Return False if another process was faster."""
        # find_one_and_update would read the claimed payment too, but the embedded database reads the whole
        # collection for it.
        claimed = await cls.get_pymongo_collection().update_one(
            {"_id": payment_id, **_due(moment)}, {"$set": {"next_look_at": until}}
        )
        return claimed.matched_count == 1

    @classmethod
    async def undecided_since(cls) -> list[datetime]:
        """When the authorized payments that are neither captured nor voided were authorized."""
        found = cls.get_pymongo_collection().find(
            {"status": "authorized"}, {"authorized_at": 1}, limit=MAX_UNDECIDED
        )
        times = [payment.get("authorized_at") async for payment in found]
        return [time for time in times if isinstance(time, datetime)]

    async def save_and_publish(self, changes: Changes, **expected: Any) -> Self | None:
        """Write the changes and their event, as for all documents, and count what the payment became."""
        changed = await super().save_and_publish(changes, **expected)
        if changed is not None:
            count_outcome(self, changed)
        return changed

    async def schedule(self, look_at: datetime) -> None:
        """Set the time of the next look, unless another process has set it meanwhile."""
        guard = {"_id": self.id, "next_look_at": self.next_look_at}
        await self.get_pymongo_collection().update_one(guard, {"$set": {"next_look_at": look_at}})

    async def make_due(self) -> None:
        """Let any process look at the payment now."""
        due = {"$set": {"next_look_at": None}}
        await self.get_pymongo_collection().update_one({"_id": self.id}, due)

    @property
    def began_at(self) -> datetime:
        """When the current attempt began."""
        assert self.id is not None, "every payment has an id"
        return self.attempt_began_at or self.id.generation_time

    @property
    def span_attributes(self) -> Attributes:
        """The ids that a span about the payment has."""
        return {"stagedoor.order.id": self.order_id, "stagedoor.payment.id": self.key}

    def event(self) -> PaymentEvent:
        kind = PaymentCreated if self.version == 0 else PaymentUpdated
        return kind(
            id=self.key,
            version=self.version,
            order_id=self.order_id,
            status=self.status,
            amount=self.amount,
            currency=self.currency,
            bank_check=self.bank_check or self.processing,
            relist=self.relist,
            refunded_amount=self.refunded_amount,
            lost_amount=self.lost_amount,
            refund_failed=self.refund_failed,
            dispute=self.dispute,
            stripe_id=self.intent_id,
            authorized_at=self.authorized_at,
        )


def _due(moment: datetime) -> dict[str, Any]:
    """The filter for due payments. A payment without the field was stored before the field was added."""
    return {"next_look_at": {"$not": {"$gt": moment}}}


class ShownPayment(MoneyBack):
    """The fields of a stored payment that its buyer sees."""

    id: PydanticObjectId = Field(alias="_id")
    user_id: str
    order_id: str
    currency: str
    decline_message: str | None
    action_url: str | None
    page_url: str | None
    processing: bool = False

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
    traceparent: str | None = None
    """The trace of the request that brought the event. Processing continues it."""

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
    async def still_due(cls, event_ids: Sequence[str], moment: datetime) -> list[str]:
        """Those of the events that no other process has processed or postponed meanwhile."""
        due = {"_id": {"$in": list(event_ids)}, "processed": False, "due": {"$lte": moment}}
        return [event["_id"] async for event in cls.get_pymongo_collection().find(due, {"_id": 1})]

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
