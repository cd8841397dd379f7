"""Give listings of earlier versions the events that they are for.

Each ticket is written in a guarded write of its own, and those that are done are recognized by the field
`show_id`. So an interrupted run is continued by the next one, and concurrent runs only share the work.
Services of any version may run meanwhile.
"""

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING

from contracts.tickets import country_of
from kit.aggregates import change
from kit.changes import Changes
from kit.mongo import database
from services.tickets.documents import Ticket
from services.tickets.shows import finding
from services.tickets.shows.documents import Show
from settings import Settings

BATCH_SIZE = 200
MAX_ATTEMPTS = 3

DESCRIPTION = ("starts_at", "time_zone", "venue", "city", "category")

MISSING: Mapping[str, Any] = {"show_id": {"$exists": False}}
DESCRIBED: Mapping[str, Any] = {"starts_at": {"$type": "date"}, "venue": {"$gt": ""}, "city": {"$gt": ""}}


async def backfill_shows(settings: Settings, *, dry_run: bool = False) -> int:
    """Find or create the shows of listings that have none, and return the number of these listings.

    Those that say when and where they are come first, so that the others find their shows.
    """
    async with database(settings.database, "tickets", [Ticket, Show]):
        if dry_run:
            return await Ticket.get_pymongo_collection().count_documents(MISSING)
        count = 0
        for which in ({**MISSING, **DESCRIBED}, MISSING):
            async for ticket_id in _each(which):
                await _place(ticket_id)
                count += 1
        return count


async def _each(which: Mapping[str, Any]) -> AsyncIterator[ObjectId]:
    """The ids of the tickets, read in batches, because a cursor would time out during a long run."""
    last = ObjectId(b"\0" * 12)
    tickets = Ticket.get_pymongo_collection()
    while True:
        after = {**which, "_id": {"$gt": last}}
        batch = await tickets.find(after, {"_id": 1}, sort=[("_id", ASCENDING)]).to_list(BATCH_SIZE)
        if not batch:
            return
        for raw in batch:
            yield raw["_id"]
        last = batch[-1]["_id"]


async def _place(ticket_id: ObjectId) -> None:
    """Place one ticket. If its seller edits it again and again meanwhile, the next run places it."""
    load = partial(Ticket.first, {"_id": ticket_id})
    ticket = await load()
    for _ in range(MAX_ATTEMPTS):
        if ticket is None:
            return
        described = _description(ticket)
        ticket = await change(load, partial(_placed, described, await _found(ticket)))
        if _description(ticket) == described:
            # The ticket counts as done, also if it fits no show: no event is needed for that.
            done = {"$set": {"show_id": None}}
            await Ticket.get_pymongo_collection().update_one({"_id": ticket_id, **MISSING}, done)
            return


async def _found(ticket: Ticket) -> Changes:
    show = await finding.show_of_description(_description(ticket))
    country = ticket.country or country_of(ticket.time_zone)
    return {"show_id": None if show is None else show.key, "country": country}


def _placed(described: Mapping[str, Any], found: Changes, ticket: Ticket) -> Changes | None:
    is_same = _description(ticket) == described and ticket.show_id is None
    return found if is_same and any(found.values()) else None


def _description(ticket: Ticket) -> dict[str, Any]:
    return {name: getattr(ticket, name) for name in ("title", *DESCRIPTION)}
