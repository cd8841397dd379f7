"""Keeps the search index equal to the tickets that can be bought.

The index is filled from the database at the start. Then it takes this process's own writes at once, and those
of others from their events, which contain the complete public state. A sweep finds what was missed: seldom
while events arrive, and often while they don't. Each change is applied only if its version is new.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

from beanie import PydanticObjectId
from pydantic import BaseModel, Field, ValidationError

from contracts.api import Ticket as TicketView
from contracts.events import TicketEvent, TicketStatus
from contracts.wire import now
from kit.errors import Unavailable
from kit.mongo import is_outage
from services.tickets.documents import Ticket
from services.tickets.search_index import SearchIndex, TooSlow
from services.tickets.views import PROJECTION, stored, view_of

log = logging.getLogger(__name__)

T = TypeVar("T")

Search = Callable[[SearchIndex], T]

SWEEP_SECONDS = 30.0
"""Interval of the sweeps while events arrive."""

OUTAGE_SWEEP_SECONDS = 0.5
"""Interval of the sweeps while they don't."""

OVERLAP = timedelta(seconds=5)
"""How far each sweep reaches back, because clocks differ and writes take time."""

LONG_OVERLAP = timedelta(minutes=1)
LONG_OVERLAP_SECONDS = 10.0
"""How often a sweep reaches back further, for writes that were delayed by the database."""

BATCH_SIZE = 10
"""Tickets that are indexed without a pause for other tasks. It takes one or two milliseconds."""

MAX_READS_BY_ID = 20
"""Up to this many new tickets are read one by one by their ids, which takes the embedded database 0.6 ms
each.
"""

MAX_SECONDS_ON_LOOP = 0.003
"""A search that takes longer continues in a thread."""

MAX_BEGUN_ON_LOOP = 20
"""More tickets whose events have begun are removed in a thread."""

LOAD_SECONDS = 5.0
"""How long a search waits for the index at the start."""

RETRY_SECONDS = 1.0

REMEMBERED_SECONDS = 600.0
"""How long a version of a ticket that left the index is remembered, so that no older state brings it back."""


class _TicketVersion(BaseModel):
    """The fields that decide whether to read the rest of a ticket."""

    id: PydanticObjectId = Field(alias="_id")
    version: int
    status: TicketStatus
    awaits_files: bool = False


class Catalogue:
    """The tickets that can be bought.

    `position` is the sequence number in the stream EVENTS up to which all changes of tickets are contained; 0
    if that isn't known.
    """

    def __init__(self, last_position: Callable[[], Awaitable[int | None]]) -> None:
        """`last_position` returns the last sequence number of the stream; None while NATS is unavailable."""
        self.position = 0
        self.index = SearchIndex()
        self._last_position = last_position
        self._loaded = asyncio.Event()
        self._one_sweep = asyncio.Lock()
        self._since: datetime | None = None
        """When the last sweep began."""
        self._long_overlap_at = 0.0
        self._gone: dict[str, tuple[int, float]] = {}
        """Versions of tickets that left the index, and when they did."""
        self._wake = asyncio.Event()
        self._connections = 0
        """Counts the connections and disconnections. It is odd while connected."""
        self._is_complete = False
        """Whether all events since `position` have arrived."""
        self._newest = 0
        """The sequence number of the last event that arrived through this connection."""
        self._thread = asyncio.Lock()
        """Held while a thread uses the index."""
        self._waiting: list[TicketView] = []
        """Tickets that wait until the thread has finished."""
        self._changes = 0
        """The number of changes of tickets."""
        self.popular: Sequence[str] = ()
        """The ids of events, the most popular first."""

    @property
    def is_loaded(self) -> bool:
        return self._loaded.is_set()

    @property
    def revision(self) -> Hashable:
        """Changes whenever the position or a ticket changes. It doesn't change when an event begins."""
        return self.position, self._changes

    async def clear(self) -> None:
        """Forget all tickets and read them again."""
        async with self._one_sweep, self._thread:
            self.index.close()
            self.index, self._since, self._gone = SearchIndex(), None, {}
            self._changes += 1
        await self.sweep()

    def close(self) -> None:
        self.index.close()

    def rank(self, popular: Sequence[str]) -> None:
        """Remember which events are popular."""
        if popular != self.popular:
            self.popular = popular
            self._changes += 1

    async def run(self) -> None:
        """Fill the index, and sweep until cancelled."""
        while True:
            try:
                await self.sweep()
            except Exception as error:
                expected = is_outage(error)
                log.warning("a sweep for tickets failed: %r", error, exc_info=None if expected else error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS if self._is_complete else OUTAGE_SWEEP_SECONDS):
                    await self._wake.wait()
            self._wake.clear()

    async def search(self, search: Search[T], moment: datetime) -> T:
        """The result of a search among the tickets whose events begin after a moment. It blocks the event
        loop for at most a few milliseconds.

        Raises:
            Unavailable: the index isn't filled yet.
        """
        if not self.is_loaded:
            await self._wait_until_loaded()
        if not self._thread.locked() and self.index.drop_begun(moment, MAX_BEGUN_ON_LOOP):
            end = time.thread_time() + MAX_SECONDS_ON_LOOP
            with suppress(TooSlow), self.index.time_limit(lambda: time.thread_time() > end):
                return search(self.index)
        # The thread can't be cancelled, so a cancelled request mustn't release the lock.
        return await asyncio.shield(asyncio.ensure_future(self._search_in_thread(search, moment)))

    def wrote(self, ticket: Ticket) -> None:
        """Apply a ticket that this process has written."""
        self._apply(view_of(ticket, viewer=None))

    def follow(self, event: TicketEvent | None, position: int) -> None:
        """Apply an event. None is an event that this process can't read; a sweep will find its ticket."""
        self._newest = position
        if self._is_complete:
            self.position = max(self.position, position)
        if event is None:
            return
        try:
            self._apply(TicketView.model_validate({**dict(event), "order_id": None}))
        except ValidationError as error:
            log.warning("ticket %s can't be listed: %s", event.id, error)

    def connected(self) -> None:
        """Events arrive from now on. Earlier ones may have been missed."""
        self._connections += 1 + self._connections % 2
        self._is_complete, self._newest = False, 0
        self._wake.set()

    def disconnected(self) -> None:
        """No events arrive."""
        self._connections += self._connections % 2
        self._is_complete = False
        self._wake.set()

    async def sweep(self) -> None:
        """Read what was updated since the last sweep; at first everything that is on sale.

        Raises:
            pymongo.errors.PyMongoError: not everything was read. The next sweep will read it.
        """
        async with self._one_sweep:
            await self._sweep()

    async def _sweep(self) -> None:
        connections = self._connections
        is_connected = connections % 2 == 1
        # The position is read first. An event is published after its ticket is written, so all tickets of
        # earlier events are found below.
        position = await self._last_position() if is_connected and not self._is_complete else None
        started, began = time.monotonic(), now()
        # If the clock was ahead, events may have been considered to have begun.
        if self._since is None or self._since > began + OVERLAP:
            await self._read({"status": "available", "awaits_files": {"$ne": True}})
            self.index.merge_gradually()
            self._long_overlap_at = started + LONG_OVERLAP_SECONDS
        else:
            back = OVERLAP
            if started >= self._long_overlap_at:
                back, self._long_overlap_at = LONG_OVERLAP, started + LONG_OVERLAP_SECONDS
                self._forget(started - REMEMBERED_SECONDS)
            # If the clock was set back a little, `_since` is in the future and would hide new writes.
            await self._read_updated(min(self._since, began) - back)
        self._since = began
        self._loaded.set()
        if position is not None and connections == self._connections:
            self._is_complete = True
            # It may be lower than before, if the stream was restored from a backup.
            self.position = max(position, self._newest)

    async def _wait_until_loaded(self) -> None:
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                await self._loaded.wait()
        except TimeoutError:
            raise Unavailable("The search isn't ready yet. Try again") from None

    async def _search_in_thread(self, search: Search[T], moment: datetime) -> T:
        def find() -> T:
            self.index.drop_begun(moment)
            return search(self.index)

        async with self._thread:
            try:
                return await asyncio.to_thread(find)
            finally:
                waiting, self._waiting = self._waiting, []
                for ticket in waiting:
                    self._take(ticket)

    async def _read_updated(self, since: datetime) -> None:
        """Read version and status of updated tickets, and the whole ticket if it is new here."""
        updated = {"updated_at": {"$gt": since}}
        found = await Ticket.find(updated).project(_TicketVersion).to_list()
        new = []
        async with self._thread:
            for ticket in found:
                key = str(ticket.id)
                if ticket.version > self._version_of(key):
                    if ticket.status == "available" and not ticket.awaits_files:
                        new.append(ticket.id)
                    else:
                        self._remove(key, ticket.version)
        if new:
            await self._read({"_id": {"$in": new}} if len(new) <= MAX_READS_BY_ID else updated)

    async def _read(self, which: Mapping[str, Any]) -> None:
        """Read tickets, and take those that are new here. A ticket that can't be read is skipped."""
        batch: list[TicketView] = []
        async with Ticket.get_pymongo_collection().find(which, PROJECTION, batch_size=100) as cursor:
            async for raw in cursor:
                try:
                    batch.append(view_of(stored(raw), viewer=None))
                except ValidationError as error:
                    log.error("ticket %s can't be read: %s", raw.get("_id"), error)
                if len(batch) >= BATCH_SIZE:
                    await self._take_all(batch)
                    batch = []
        await self._take_all(batch)

    async def _take_all(self, tickets: Sequence[TicketView]) -> None:
        async with self._thread:
            with self.index.batch():
                for ticket in tickets:
                    self._take(ticket)
        await asyncio.sleep(0)

    def _apply(self, ticket: TicketView) -> None:
        if self._thread.locked():
            self._waiting.append(ticket)
            self._changes += 1  # a list that was kept before the change is obsolete
        else:
            self._take(ticket)

    def _take(self, ticket: TicketView) -> None:
        if ticket.version <= self._version_of(ticket.id):
            return
        is_ahead = ticket.starts_at is None or ticket.starts_at > now()
        if ticket.status == "available" and not ticket.awaits_files and is_ahead:
            self.index.put(ticket, ticket.to_json().encode())
            self._changes += 1
            self._gone.pop(ticket.id, None)
        else:
            self._remove(ticket.id, ticket.version)

    def _remove(self, key: str, version: int) -> None:
        self.index.remove(key)
        self._changes += 1
        self._gone[key] = version, time.monotonic()

    def _version_of(self, key: str) -> int:
        version = self.index.version_of(key)
        return self._gone.get(key, (-1, 0.0))[0] if version is None else version

    def _forget(self, before: float) -> None:
        self._gone = {key: gone for key, gone in self._gone.items() if gone[1] >= before}
