"""Events that are written but not yet delivered."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from services.kit.aggregates import Aggregate

BATCH = 200
"""Documents read at once."""


@dataclass(frozen=True)
class Waiting:
    """An event in the outbox of a document."""

    id: str
    """Its identity everywhere: CloudEvents' id and the key of JetStream's deduplication."""
    subject: str
    about: str
    time: datetime
    traceparent: str
    body: str


_FIELDS = tuple(field.name for field in fields(Waiting))


@dataclass(frozen=True)
class WaitingDocument:
    """The events that one document has to deliver, oldest first."""

    kind: type[Aggregate]
    id: Any
    events: Sequence[Waiting]

    async def delivered(self, event: Waiting) -> None:
        """Forget an event that the bus has acknowledged. Harmless if it is gone already."""
        await self.kind.get_pymongo_collection().update_one(
            {"_id": self.id}, {"$pull": {"outbox": {"id": event.id}}}
        )


class Outbox:
    """The outboxes of a process's documents."""

    def __init__(self, kinds: Sequence[type[Aggregate]]) -> None:
        self.kinds = kinds
        self._written = asyncio.Event()
        for kind in kinds:
            kind.wake_relay = self._written.set

    async def written(self, seconds: float) -> None:
        """Wait until something was written, for at most so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._written.wait()
        except TimeoutError:
            return
        finally:
            self._written.clear()

    async def waiting(self) -> AsyncIterator[WaitingDocument]:
        """The documents that have events to deliver; at most a batch of each kind."""
        for kind in self.kinds:
            # This form uses the sparse index on the embedded database too, where {"outbox.0":
            # {"$exists": true}} reads the whole collection.
            found = kind.get_pymongo_collection().find({"outbox.id": {"$gt": ""}}, {"outbox": 1}, limit=BATCH)
            async for raw in found:
                # Fields that a newer version of this process wrote are left to it.
                events = [Waiting(**{name: entry[name] for name in _FIELDS}) for entry in raw["outbox"]]
                yield WaitingDocument(kind, raw["_id"], events)
