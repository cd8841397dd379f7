"""Publish the current state of all documents of a service again."""

from collections.abc import Mapping

from beanie import PydanticObjectId
from pydantic import BaseModel, Field

from kit.aggregates import Aggregate
from kit.mongo import database
from services.orders.documents import Order
from services.payments.documents import Payment
from services.tickets.documents import Ticket
from settings import ServiceName, Settings

OWNED: Mapping[ServiceName, type[Aggregate]] = {"tickets": Ticket, "orders": Order, "payments": Payment}


class _Key(BaseModel):
    id: PydanticObjectId = Field(alias="_id")


async def republish(settings: Settings, service: ServiceName) -> int:
    """Write an event of the current state into the outbox of every document, and return their number."""
    kind = OWNED[service]
    count = 0
    async with database(settings.database, service, [kind]):
        async for found in kind.find({}).project(_Key):
            await kind.republish(found.id)
            count += 1
    return count
