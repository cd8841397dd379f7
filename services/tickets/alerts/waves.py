"""Tell people of a ticket in waves: those who asked first before others, and some minutes apart.

The write that puts a ticket on sale also sets the time of its next wave, so no ticket is forgotten. A wave is
claimed by one guarded write before people are chosen. A process that stops after it delays them by one wave:
whoever has no match yet is chosen again.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo import ASCENDING

from contracts.wire import now
from kit.changes import Changes
from kit.errors import NotFound
from kit.lease import Lease
from services.tickets.alerts import rules
from services.tickets.alerts.documents import Alert, Match
from services.tickets.documents import Ticket
from services.tickets.shows.documents import Show
from services.tickets.shows.finding import survivor

log = logging.getLogger(__name__)

SWEEP_SECONDS = 2.0

PURGE_SECONDS = 600.0

LEASE = timedelta(seconds=15)
"""How long other processes wait before one of them goes on in place of a process that died."""

MAX_TICKETS = 200
"""Due tickets of one sweep."""

BATCH = 200
"""Requests that are compared with a ticket at once."""

POSTPONED = timedelta(minutes=5)
"""How long a ticket is left alone that can't be read, so that it doesn't hold up the others."""

KEPT = timedelta(days=1)
"""How long requests and matches are kept after the beginning of their event."""


@dataclass
class _Chosen:
    """Who is told in a wave, and how far the requests were read for it."""

    users: list[str] = field(default_factory=list)
    last: PydanticObjectId | None = None
    is_end: bool = False
    """Whether there is no request after `last`."""


@dataclass(frozen=True)
class Waves:
    """Announces tickets.

    Args:
        size: how many people are told at the same time.
        interval: between two waves of a ticket.
        lease: saves other replicas the same work. They tolerate it.
    """

    size: int
    interval: timedelta
    lease: Lease

    async def sweep(self) -> int:
        """Announce the tickets that are due, and return how many people were told."""
        if not await self.lease.hold():
            return 0
        due = Ticket.get_pymongo_collection().find(
            {"announce_at": {"$lte": now()}},
            {"announce_at": 1},
            sort=[("announce_at", ASCENDING)],
            limit=MAX_TICKETS,
        )
        told = 0
        for raw in await due.to_list():
            try:
                told += await self.announce(raw["_id"])
            except ValueError:  # pydantic's ValidationError is one
                log.exception("ticket %s can't be announced", raw["_id"])
                await _postpone(raw["_id"], raw["announce_at"])
        return told

    async def announce(self, ticket_id: ObjectId) -> int:
        """Tell the next people of a ticket, if that is due. Return how many were told.

        Concurrent calls announce one wave. A ticket that isn't on sale any more isn't announced.
        """
        ticket = await Ticket.first({"_id": ticket_id})
        moment = now()
        if ticket is None or ticket.announce_at is None or ticket.announce_at > moment:
            return 0
        show = await _show_of(ticket) if rules.is_announced(ticket, moment) else None
        if show is None or show.starts_at <= moment:
            await _write(ticket, {"announce_at": None})
            return 0
        claim = rules.wave(moment, self.interval)
        if not await _write(ticket, claim):
            return 0
        chosen = await self._choose(ticket, rules.targets_of(show.key, show.performers))
        # At once, so that as few as possible are told of a ticket that was taken meanwhile.
        matches = [Match.of(ticket, user_id, now(), show.starts_at) for user_id in chosen.users]
        told = sum(await asyncio.gather(*(match.add_once() for match in matches)))
        rest: Changes = {"announce_at": None} if chosen.is_end else {"announced_to": chosen.last}
        # Without effect if the ticket has changed meanwhile: it may be offered anew.
        await _write(ticket.model_copy(update=dict(claim)), rest)
        return told

    async def _choose(self, ticket: Ticket, targets: Sequence[str]) -> _Chosen:
        """The oldest requests that the ticket matches and whose users haven't been told of it."""
        chosen = _Chosen(last=ticket.announced_to)
        while len(chosen.users) < self.size and not chosen.is_end:
            after = {} if chosen.last is None else {"_id": {"$gt": chosen.last}}
            found = (
                await Alert.find({"target": {"$in": list(targets)}, **after})
                .sort("+_id")
                .limit(BATCH)
                .to_list()
            )
            wanting = {alert.id: alert.user_id for alert in found if rules.matches(alert, ticket)}
            told = {*chosen.users, *await _told(ticket, list(wanting.values()))}
            for alert in found:
                if len(chosen.users) == self.size:
                    return chosen
                chosen.last = alert.id
                if alert.id in wanting and alert.user_id not in told:
                    told.add(alert.user_id)
                    chosen.users.append(alert.user_id)
            chosen.is_end = len(found) < BATCH
        return chosen


async def purge() -> None:
    """Delete the requests and matches of events that are over. Repeating it changes nothing."""
    over = {"ends_at": {"$lte": now() - KEPT}}
    for kind in (Alert, Match):
        await kind.get_pymongo_collection().delete_many(over)


async def _show_of(ticket: Ticket) -> Show | None:
    assert ticket.show_id is not None, "only tickets for a known event are announced"
    try:
        return await survivor(ticket.show_id)
    except NotFound:
        log.error("show %s of ticket %s is missing", ticket.show_id, ticket.key)
        return None


async def _told(ticket: Ticket, users: Sequence[str]) -> set[str]:
    """Those of the users who were told of the ticket."""
    which = {"ticket_id": ticket.id, "user_id": {"$in": list(users)}}
    return {raw["user_id"] async for raw in Match.get_pymongo_collection().find(which, {"user_id": 1})}


async def _write(ticket: Ticket, changes: Changes) -> bool:
    """Change when the ticket is announced. Return False if the ticket has changed since it was read.

    No event is published, and the version stays, because nobody sees these fields.
    """
    as_read: dict[str, Any] = {
        "_id": ticket.id,
        "version": ticket.version,
        "announce_at": ticket.announce_at,
        "next_wave_at": ticket.next_wave_at,
    }
    written = await Ticket.get_pymongo_collection().update_one(as_read, {"$set": dict(changes)})
    return written.matched_count == 1


async def _postpone(ticket_id: ObjectId, due_at: datetime) -> None:
    which = {"_id": ticket_id, "announce_at": due_at}
    await Ticket.get_pymongo_collection().update_one(which, {"$set": {"announce_at": now() + POSTPONED}})
