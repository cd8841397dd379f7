"""The tickets that can be bought, in memory: a cache, which each process keeps for itself.

Every write says when it `touched` a ticket, so what other processes wrote is read by an index, a few
times a second at most and only while somebody looks. What this process writes is here at once.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from contracts.wire import now
from services.tickets.documents import Ticket
from services.tickets.paging import KEYS, Order
from services.tickets.search import Entry, entry_of
from services.tickets.views import view_of

FRESH_SECONDS = 0.3

LOOK_BACK = timedelta(seconds=5)
"""Clocks of processes differ, and a write takes time to arrive."""

LONG_LOOK_BACK = timedelta(minutes=1)
LONG_LOOK_SECONDS = 10.0
"""How often it looks further back, for a write that waited for the database."""

FEW = 20
"""Up to as many tickets are read by their ids. The embedded database takes 0.6 ms for each."""


class OnSale:
    """The tickets on sale at one moment."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = list(entries)
        self._sorted: dict[Order, Sequence[Entry]] = {}

    def by(self, order: Order) -> Sequence[Entry]:
        """All of them, from low to high."""
        if order not in self._sorted:
            self._sorted[order] = sorted(self._entries, key=KEYS[order])
        return self._sorted[order]


class Catalogue:
    """What can be bought, at most `FRESH_SECONDS` old."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._on_sale: OnSale | None = None
        self._own: dict[str, int] = {}
        """Versions that this process wrote since the refresh began that was last."""
        self._since: datetime | None = None
        """When the last refresh began. None: nothing was read yet."""
        self._fresh_until = 0.0
        self._long_look_at = 0.0
        self._one_refresh = asyncio.Lock()

    async def on_sale(self) -> OnSale:
        """The tickets that can be bought now. Some may have begun since."""
        if time.monotonic() >= self._fresh_until:
            async with self._one_refresh:
                if time.monotonic() >= self._fresh_until:  # else somebody else did it meanwhile
                    await self._refresh()
        if self._on_sale is None:
            self._on_sale = OnSale(self._entries.values())
        return self._on_sale

    def wrote(self, ticket: Ticket) -> None:
        """This process wrote a ticket."""
        known = self._entries.get(ticket.key)
        newest = max(self._own.get(ticket.key, -1), known.ticket.version if known else -1)
        if newest < ticket.version:
            self._own[ticket.key] = ticket.version
            self._take(ticket)

    async def _refresh(self) -> None:
        started, began = time.monotonic(), now()
        self._own = {}
        if self._since is None:
            # By status and not by `touched`, which documents of earlier versions don't have.
            await self._read({"status": "available"})
            self._long_look_at = started + LONG_LOOK_SECONDS
        else:
            back = LOOK_BACK
            if started >= self._long_look_at:
                back, self._long_look_at = LONG_LOOK_BACK, started + LONG_LOOK_SECONDS
                self._drop_what_has_begun(began)
            # A clock that was put back must not hide what is written now.
            await self._follow(min(self._since, began) - back)
        self._since = began
        self._fresh_until = started + FRESH_SECONDS

    async def _follow(self, since: datetime) -> None:
        """Read what was touched: of all of it the state, of what is new here the whole."""
        new = []
        touched = Ticket.get_pymongo_collection().find(
            {"touched": {"$gt": since}}, {"version": 1, "status": 1}
        )
        async for state in touched:
            key, version = str(state["_id"]), state["version"]
            known = self._entries.get(key)
            if version <= self._own.get(key, -1) or (known and version <= known.ticket.version):
                continue
            if state["status"] == "available":
                new.append(state["_id"])
            else:
                self._remove(key)
        if new:
            await self._read({"_id": {"$in": new}} if len(new) <= FEW else {"touched": {"$gt": since}})

    async def _read(self, which: Mapping[str, Any]) -> None:
        found = Ticket.get_pymongo_collection().find(which, {"outbox": 0})
        async for raw in found:
            ticket = Ticket.model_validate(raw)
            if ticket.version > self._own.get(ticket.key, -1):
                self._take(ticket)

    def _take(self, ticket: Ticket) -> None:
        ahead = ticket.starts_at is None or ticket.starts_at > now()
        if ticket.status == "available" and ahead:
            self._entries[ticket.key] = entry_of(view_of(ticket))
            self._on_sale = None
        else:
            self._remove(ticket.key)

    def _remove(self, key: str) -> None:
        if self._entries.pop(key, None) is not None:
            self._on_sale = None

    def _drop_what_has_begun(self, moment: datetime) -> None:
        begun = [key for key, entry in self._entries.items() if entry.starts <= moment.timestamp()]
        for key in begun:
            self._remove(key)
