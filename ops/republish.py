"""Publish the current state of all documents of a service again."""

from collections.abc import Mapping

from kit.aggregates import Aggregate
from kit.mongo import database
from kit.republishing import republish as republish_documents
from services.orders.documents import Order
from services.payments.documents import Payment
from services.payouts.documents import Sale
from services.tickets.documents import Ticket
from settings import ServiceName, Settings

OWNED: Mapping[ServiceName, type[Aggregate]] = {
    "tickets": Ticket,
    "orders": Order,
    "payments": Payment,
    "payouts": Sale,
}


async def republish(settings: Settings, service: ServiceName) -> int:
    """Write an event of the current state into the outbox of every document, and return their number."""
    kind = OWNED[service]
    async with database(settings.database, service, [kind]):
        return len([None async for _ in republish_documents(kind)])
