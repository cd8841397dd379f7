"""A seller's tickets and sales."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, Field

from contracts.api import SalesSummary, Sum
from contracts.events import TicketStatus
from kit.mongo import object_id
from kit.paging import newest_first
from services.tickets.documents import Ticket
from services.tickets.views import PROJECTION, StoredTicket, stored

MAX_PAGE = 1000
"""Maximum tickets per page."""


async def page_of_tickets(
    seller: str, status: TicketStatus | None = None, after: str | None = None, limit: int = MAX_PAGE
) -> tuple[list[StoredTicket], str | None]:
    """A page of a seller's tickets, newest first, and the cursor of the next page, if any.

    Raises:
        BadCursor: `after` isn't a cursor.
    """
    which: dict[str, Any] = {"user_id": seller}
    if status is not None:
        which["status"] = status
    found, following = await newest_first(Ticket, which, PROJECTION, after, limit)
    return [stored(raw) for raw in found], following


async def count_sales(seller: str) -> int:
    """Number of tickets sold and not refunded, counted by the database.

    Raises:
        NotFound: the text isn't the id of a user.
    """
    return await Ticket.find({"user_id": str(object_id(seller)), "status": "sold", "refunded": False}).count()


async def summary(seller: str) -> SalesSummary:
    """Number and total price of a seller's tickets by state, added up by the database."""
    by_state = {
        "_id": {"status": "$status", "refunded": "$refunded"},
        "count": {"$sum": 1},
        "amount": {"$sum": "$price_minor"},
        "refunded": {"$sum": "$refunded_minor"},
    }
    groups = await Ticket.find({"user_id": seller}).aggregate([{"$group": by_state}], _Group).to_list()

    def total(status: TicketStatus) -> Sum:
        return _sum(group for group in groups if group.state.status == status)

    return SalesSummary(
        available=total("available"),
        reserved=total("reserved"),
        sold=total("sold"),
        withdrawn=total("withdrawn"),
        refunded=Sum(
            count=sum(group.count for group in groups if group.state.refunded),
            amount=sum(group.refunded for group in groups),
        ),
    )


class _State(BaseModel):
    status: TicketStatus
    refunded: bool


class _Group(BaseModel):
    """Number and total price, in minor units, of the tickets in one state."""

    state: _State = Field(alias="_id")
    count: int
    amount: int
    refunded: int
    """How much the buyers got back."""


def _sum(groups: Iterable[_Group]) -> Sum:
    added = [(group.count, group.amount) for group in groups]
    return Sum(count=sum(count for count, _ in added), amount=sum(amount for _, amount in added))
