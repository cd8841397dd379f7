"""What a seller offered, and what became of it."""

from collections.abc import Iterable, Mapping
from typing import Any

from bson import ObjectId

from contracts.api import SalesSummary, Sum
from contracts.events import TicketStatus
from services.kit.mongo import object_id
from services.tickets.documents import Ticket
from services.tickets.paging import BadCursor

MOST = 1000
"""Tickets on one page."""


async def offers(
    seller: str, status: TicketStatus | None = None, after: str | None = None, limit: int = MOST
) -> tuple[list[Ticket], str | None]:
    """A page of what somebody ever offered, newest first, and the key to the next one if there are more.

    Raises:
        BadCursor: `after` is no such key.
    """
    which: dict[str, Any] = {"user_id": seller}
    if status is not None:
        which["status"] = status
    if after is not None:
        if not ObjectId.is_valid(after):
            raise BadCursor
        which["_id"] = {"$lt": ObjectId(after)}
    found = await Ticket.find(which, sort="-_id", limit=limit + 1).to_list()
    shown = found[:limit]
    return shown, shown[-1].key if len(found) > limit else None


async def count_sales(seller: str) -> int:
    """How many tickets somebody sold for good. Counted here, since the embedded database counts slowly."""
    sold = {"user_id": str(object_id(seller)), "status": "sold", "refunded": {"$ne": True}}
    return len(await Ticket.get_pymongo_collection().find(sold, {"_id": 1}).to_list())


async def summary(seller: str) -> SalesSummary:
    """Added up by the database, however many there are."""
    groups = await Ticket.get_pymongo_collection().aggregate(
        [
            {"$match": {"user_id": seller}},
            {
                "$group": {
                    "_id": {"status": "$status", "refunded": "$refunded"},
                    "count": {"$sum": 1},
                    "amount": {"$sum": "$price_minor"},
                }
            },
        ]
    )
    found = await groups.to_list()

    def total(status: TicketStatus) -> Sum:
        return _sum(group for group in found if group["_id"]["status"] == status)

    return SalesSummary(
        available=total("available"),
        reserved=total("reserved"),
        sold=total("sold"),
        withdrawn=total("withdrawn"),
        refunded=_sum(group for group in found if group["_id"].get("refunded")),
    )


def _sum(groups: Iterable[Mapping[str, Any]]) -> Sum:
    added = [(group["count"], group["amount"]) for group in groups]
    return Sum(count=sum(count for count, _ in added), amount=sum(amount for _, amount in added))
