"""Outbox messages: events that are stored but not yet published.

This module reads and clears the stored array `outbox`, which is not a field of any document's model
(kit/aggregates.py explains why), so it uses the raw collections. The write that removes a published message
also adds its sequence number in the stream to the array `sequences`, so that `ops trace` finds the events of
a document without a search.
"""

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pymongo import ASCENDING, UpdateOne

from kit.aggregates import Aggregate, OutboxEntry

log = logging.getLogger(__name__)

BATCH_SIZE = 50
"""Maximum number of documents in a batch of `Outbox.pending`. The relay extends its lease before each."""

MAX_COUNTED = 1_000
"""How many documents with outbox messages `Outbox.backlog` reads and counts."""

MAX_SEQUENCES = 50
"""How many sequence numbers a document keeps: those of the messages that were published last."""

MAX_KEPT = 1_000
"""How many documents the relay keeps in memory to publish them again after a failure."""

HAS_OUTBOX_MESSAGES: Mapping[str, Any] = {"outbox.time": {"$exists": True}}
"""A filter for documents with outbox messages.

MongoDB and the embedded database use the sparse index for it. MongoDB also reads the documents in the order
of the index. With limits of the time it would sort them, because the field is in an array.
"""


@dataclass(frozen=True)
class OutboxMessage:
    """An event that a document has yet to publish."""

    id: str
    """The id of the CloudEvent, by which JetStream drops duplicates."""
    subject: str
    about: str
    time: datetime
    traceparent: str
    body: str


_OUTBOX_MESSAGE = TypeAdapter(OutboxMessage)


@dataclass(frozen=True)
class PendingDocument:
    """A document with outbox messages, oldest first."""

    kind: type[Aggregate]
    id: Any
    events: Sequence[OutboxMessage]

    async def remove(self, event: OutboxMessage, sequence: int) -> None:
        """Remove a message that the stream has stored with this number. A repeated call is harmless."""
        await self.kind.get_pymongo_collection().update_one(*_removal(self.id, {event.id: sequence}))


def _removal(document_id: Any, published: Mapping[str, int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The filter and the update that replace published messages by their sequence numbers.

    The filter matches nothing if another process has removed the messages, and so has added the numbers.

    Args:
        published: sequence numbers by the ids of the messages.
    """
    ids = list(published)
    added = {"$each": list(published.values()), "$slice": -MAX_SEQUENCES}
    return (
        {"_id": document_id, "outbox.id": {"$in": ids}},
        {"$pull": {"outbox": {"id": {"$in": ids}}}, "$push": {"sequences": added}},
    )


class Backlog(NamedTuple):
    """What a service has yet to publish."""

    documents: int
    """The number of documents with outbox messages, at most `MAX_COUNTED` of each class."""
    oldest: datetime | None
    """When the oldest message was written."""


class Outbox:
    """The outboxes of a process's documents."""

    def __init__(self, kinds: Sequence[type[Aggregate]]) -> None:
        self.kinds = kinds
        self._woken = asyncio.Event()
        self._written: dict[Any, PendingDocument] = {}
        self._has_unknown = False
        self._published: defaultdict[type[Aggregate], dict[Any, dict[str, int]]] = defaultdict(dict)
        """Sequence numbers of published messages that are still stored, by class and id of their document and
        by the message's id."""
        self._reported: set[Any] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Until the block ends, each write of this process wakes a task in `wait_for_write`."""
        with ExitStack() as listening:
            for kind in self.kinds:
                listening.enter_context(kind.on_outbox_write(partial(self._on_write, kind)))
            yield

    def _on_write(self, kind: type[Aggregate], document_id: Any, entry: OutboxEntry | None) -> None:
        event = None if entry is None else self._read(entry, document_id)
        if event is None:
            self._has_unknown = True
        else:
            earlier = self._written.get((kind, document_id))
            events = [*earlier.events, event] if earlier else [event]
            self._written[kind, document_id] = PendingDocument(kind, document_id, events)
        self._woken.set()

    async def wait_for_write(self, seconds: float = math.inf) -> Sequence[PendingDocument]:
        """Wait for at most `seconds` until this process writes documents.

        Returns the documents with their new messages, or an empty sequence after the time-out.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                await self._woken.wait()
        self._woken.clear()
        written = tuple(self._written.values())
        self._written.clear()
        return written

    def takes_unknown_writes(self) -> bool:
        """Whether this process has written messages that only `pending` can read. True once for them."""
        has_unknown, self._has_unknown = self._has_unknown, False
        return has_unknown

    def keep(self, documents: Iterable[PendingDocument]) -> bool:
        """Let `wait_for_write` return these documents again, because their messages weren't published.

        Returns False and drops them and all others if there are more than `MAX_KEPT`. `pending` reads them.
        """
        kept = {(document.kind, document.id): document for document in documents}
        for key, document in kept.items():
            if later := self._written.pop(key, None):
                kept[key] = PendingDocument(*key, [*document.events, *later.events])
        self._written = {**kept, **self._written}
        if len(self._written) > MAX_KEPT:
            self._written.clear()
            return False
        self._woken.set()
        return True

    def is_published(self, document: PendingDocument, event: OutboxMessage) -> bool:
        """Whether `remove_published` is about to remove this message."""
        return event.id in self._published[document.kind].get(document.id, ())

    def remove_later(self, document: PendingDocument, event: OutboxMessage, sequence: int) -> None:
        """Let `remove_published` remove this message, which the stream has stored with this number."""
        self._published[document.kind].setdefault(document.id, {})[event.id] = sequence

    async def remove_published(self) -> None:
        """Remove published messages, with one command for each class of documents."""
        for kind, published in self._published.items():
            removals = [_removal(key, messages) for key, messages in published.items()]
            collection = kind.get_pymongo_collection()
            if len(removals) == 1:  # a bulk write would take twice the CPU time
                await collection.update_one(*removals[0])
            elif removals:
                await collection.bulk_write([UpdateOne(*removal) for removal in removals], ordered=False)
            published.clear()

    async def pending(self) -> AsyncGenerator[Sequence[PendingDocument], None]:
        """All documents with outbox messages, in batches, those first whose messages are the oldest.

        Messages that can't be read stay in the outbox and don't delay the others.
        """
        for kind in self.kinds:
            # A single cursor reads all documents, because the embedded database scans all matches again for
            # each new cursor, even with a limit.
            async with kind.get_pymongo_collection().find(
                HAS_OUTBOX_MESSAGES,
                {"outbox": 1},
                sort=[("outbox.time", ASCENDING)],
                batch_size=BATCH_SIZE,
            ) as found:
                batch = []
                async for raw in found:
                    events = [event for entry in raw["outbox"] if (event := self._read(entry, raw["_id"]))]
                    if events:
                        batch.append(PendingDocument(kind, raw["_id"], events))
                    if len(batch) >= BATCH_SIZE:
                        yield batch
                        batch = []
            if batch:
                yield batch

    async def backlog(self) -> Backlog:
        """The size and age of what the service has yet to publish, with one bounded read of each class."""
        documents, oldest = 0, None
        for kind in self.kinds:
            found = kind.get_pymongo_collection().find(
                HAS_OUTBOX_MESSAGES,
                {"outbox.time": 1},
                sort=[("outbox.time", ASCENDING)],
                limit=MAX_COUNTED,
            )
            async for raw in found:
                documents += 1
                times = [entry.get("time") for entry in raw["outbox"] if isinstance(entry, dict)]
                known = [time for time in (*times, oldest) if isinstance(time, datetime)]
                oldest = min(known, default=None)
        return Backlog(documents, oldest)

    def _read(self, entry: Any, document_id: Any) -> OutboxMessage | None:
        try:
            return _OUTBOX_MESSAGE.validate_python(entry)
        except ValidationError as error:
            if document_id not in self._reported:
                log.error("an event in the outbox of %s can't be read: %r", document_id, error)
                self._reported.add(document_id)
            return None
