"""Tickets follow their show after a merge or a correction, and their seats do too."""

import logging
from functools import partial
from typing import Any

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from kit.aggregates import change
from kit.changes import Changes
from services.tickets.documents import Ticket, is_second_seat
from services.tickets.rules import seat_key
from services.tickets.shows import rules
from services.tickets.shows.documents import Show

log = logging.getLogger(__name__)


async def follow(ticket_id: ObjectId, known: set[str], show: Show) -> Ticket:
    """Let a ticket that names one of the known shows follow this one.

    If its seller has another listing of the same seat then, both stay: a merge that stopped there would leave
    tickets at two events. The one that follows is not `live_seat` any more, and operators see both.

    Raises:
        NotFound: there is no such ticket.
    """
    load = partial(Ticket.first, {"_id": ticket_id})

    def decide(ticket: Ticket) -> Changes | None:
        # The seller may have described another event meanwhile.
        return changes_of(ticket, show) if ticket.show_id in known else None

    def give_way(ticket: Ticket) -> Changes | None:
        changes = decide(ticket)
        return None if changes is None else {**changes, "live_seat": None}

    try:
        return await change(load, decide)
    except DuplicateKeyError as error:
        if not is_second_seat(error):
            raise
        log.warning(
            "ticket %s has the seat of another listing of its seller at event %s", ticket_id, show.key
        )
        return await change(load, give_way)


def changes_of(ticket: Ticket, show: Show) -> Changes | None:
    """What the ticket takes over, with the key that its seat has at this show."""
    changes: dict[str, Any] = dict(rules.follow(ticket, show.key, show) or {})
    if ticket.starts_at is not None and ticket.venue is not None and ticket.status != "withdrawn":
        key = seat_key(show.title, show.venue, show.starts_at, ticket.seat)
        if key != ticket.seat_key:
            changes["seat_key"] = key
            if ticket.live_seat is not None:
                changes["live_seat"] = key
    return changes or None
