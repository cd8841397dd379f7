"""Which events are popular: those of which most tickets were sold of late, or are held.

A hold counts while it lasts, so nobody makes an event popular by holding tickets and releasing them again.
"""

from datetime import timedelta

from pydantic import BaseModel, Field

from contracts.wire import now
from services.tickets.catalogue import Catalogue
from services.tickets.documents import Ticket
from services.tickets.shows import rules

REFRESH_SECONDS = 60.0

COUNTED = timedelta(days=14)
"""How long a sale counts. It counts anew if the ticket changes once more, such as its date."""


class _Group(BaseModel):
    show_id: str = Field(alias="_id")
    count: int


async def refresh(catalogue: Catalogue) -> None:
    """Let the catalogue know the popular events, the most popular first. It is read from an index alone, and
    each status on its own: the embedded database would read the whole collection for both at once.
    """
    groups: list[tuple[str, str, int]] = []
    for status in rules.WEIGHTS:
        counted = {"status": status, "updated_at": {"$gt": now() - COUNTED}, "show_id": {"$gt": ""}}
        by_show = {"_id": "$show_id", "count": {"$sum": 1}}
        found = await Ticket.find(counted).aggregate([{"$group": by_show}], _Group).to_list()
        groups += [(group.show_id, status, group.count) for group in found]
    catalogue.rank(rules.by_demand(groups))
