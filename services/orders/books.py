"""What orders has to say when the books are compared: read by operators, never written."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import AsyncMongoClient

from contracts.events import OrderStatus


@dataclass(frozen=True)
class OrderEntry:
    """An order, as far as money is concerned."""

    order_id: str
    ticket_id: str
    status: OrderStatus
    price: int
    """In minor units."""
    expires_at: datetime


async def entries(url: str) -> AsyncIterator[OrderEntry]:
    """All orders, in no order. Nothing is written, indexes neither: whoever may read may do this.

    Raises:
        pymongo.errors.PyMongoError: the database `orders` can't be reached, or not be read with this `url`.
    """
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        url, tz_aware=True, serverSelectionTimeoutMS=5_000, connectTimeoutMS=5_000
    )
    async with client:
        fields = {"ticket_id": 1, "status": 1, "price_minor": 1, "expires_at": 1}
        async for found in client["orders"]["orders"].find({}, fields):
            yield OrderEntry(
                order_id=str(found["_id"]),
                ticket_id=found["ticket_id"],
                status=found["status"],
                price=found["price_minor"],
                expires_at=found["expires_at"],
            )
