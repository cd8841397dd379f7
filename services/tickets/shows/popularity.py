"""Which events are popular: those of which most tickets were sold of late, or are held.

A hold counts while it lasts, so nobody makes an event popular by holding tickets and releasing them again.
"""

from datetime import timedelta

from pydantic import BaseModel, Field

from contracts.events import TicketStatus
from contracts.wire import now
from services.tickets.catalogue import Catalogue
from services.tickets.documents import Ticket
from services.tickets.shows import rules

REFRESH_SECONDS = 60.0

COUNTED = timedelta(days=14)
"""How long a sale counts. It counts anew if the ticket changes once more, such as its date."""


class _State(BaseModel):
    show_id: str
    status: TicketStatus


class _Group(BaseModel):
    state: _State = Field(alias="_id")
    count: int


async def refresh(catalogue: Catalogue) -> None:
    """Let the catalogue know the popular events, the most popular first. It is read from an index alone."""
    counted = {
        "status": {"$in": ["reserved", "sold"]},
        "updated_at": {"$gt": now() - COUNTED},
        "show_id": {"$gt": ""},
    }
    by_state = {"_id": {"show_id": "$show_id", "status": "$status"}, "count": {"$sum": 1}}
    groups = await Ticket.find(counted).aggregate([{"$group": by_state}], _Group).to_list()
    catalogue.rank(
        rules.by_demand((group.state.show_id, group.state.status, group.count) for group in groups)
    )
