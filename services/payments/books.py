"""What payments has to say when the books are compared: read by operators, never written."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import AsyncMongoClient

from contracts.events import PaymentStatus


@dataclass(frozen=True)
class PaymentEntry:
    """A payment, as payments has it."""

    order_id: str
    status: PaymentStatus
    amount: int
    """In minor units."""
    currency: str
    attempts: int
    intent_id: str | None
    refund_asked_at: datetime | None = None


async def entries(url: str) -> AsyncIterator[PaymentEntry]:
    """All payments, in no order. Nothing is written, indexes neither: whoever may read may do this.

    Raises:
        pymongo.errors.PyMongoError: the database `payments` can't be reached, or not be read with this `url`.
    """
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        url, tz_aware=True, serverSelectionTimeoutMS=5_000, connectTimeoutMS=5_000
    )
    async with client:
        fields = "order_id status amount currency attempt intent_id refund_asked_at".split()
        async for found in client["payments"]["payments"].find({}, fields):
            yield PaymentEntry(
                order_id=found["order_id"],
                status=found["status"],
                amount=found["amount"],
                currency=found["currency"],
                attempts=found["attempt"],
                intent_id=found.get("intent_id"),
                refund_asked_at=found.get("refund_asked_at"),
            )
