"""Events that are written but not yet delivered."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from services.kit.aggregates import Aggregate

log = logging.getLogger(__name__)

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


_WAITING = TypeAdapter(Waiting)


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
        self._told_of: set[Any] = set()
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

    async def waiting(self) -> AsyncGenerator[Sequence[WaitingDocument], None]:
        """All documents that have events to deliver, a batch at a time.

        An entry that can't be read is left where it is, and keeps no other waiting, however many there are.
        """
        for kind in self.kinds:
            # This form uses the sparse index on the embedded database too, where {"outbox.0":
            # {"$exists": true}} reads the whole collection. One cursor over all of them: that database
            # looks at everything that is waiting for each new one, whatever its limit.
            async with kind.get_pymongo_collection().find(
                {"outbox.id": {"$gt": ""}}, {"outbox": 1}, batch_size=BATCH
            ) as found:
                batch = []
                async for raw in found:
                    events = [event for entry in raw["outbox"] if (event := self._read(entry, raw["_id"]))]
                    if events:
                        batch.append(WaitingDocument(kind, raw["_id"], events))
                    if len(batch) >= BATCH:
                        yield batch
                        batch = []
            if batch:
                yield batch

    def _read(self, entry: Any, document_id: Any) -> Waiting | None:
        try:
            # Fields that a newer version of this process wrote are left to it.
            return _WAITING.validate_python(entry)
        except ValidationError as error:
            if document_id not in self._told_of:
                log.error("an event in the outbox of %s can't be read: %r", document_id, error)
                self._told_of.add(document_id)
            return None
