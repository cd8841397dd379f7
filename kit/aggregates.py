"""Documents that store each change and its event in one guarded write."""

import logging
import random
from asyncio import sleep
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, Self, TypeVar
from uuid import uuid4

from beanie import Document, PydanticObjectId
from pydantic import Field, TypeAdapter
from pymongo import ASCENDING, IndexModel

from contracts.events import Event
from contracts.wire import now
from kit.changes import Changes
from kit.errors import NotFound, Unavailable
from kit.tracing import annotate, traceparent

log = logging.getLogger(__name__)

OUTBOX_INDEX = IndexModel([("outbox.time", ASCENDING)], name="unpublished", sparse=True)
"""Of documents with outbox messages, in the order in which the messages were written."""

WITHOUT_OUTBOX = {"outbox": 0, "sequences": 0}
"""A projection without the two arrays that aren't fields of a model (kit/outbox.py)."""

OutboxEntry = dict[str, Any]
"""An outbox message as it is stored."""

OutboxListener = Callable[[Any, OutboxEntry | None], None]

MAX_ATTEMPTS = 12
"""Maximum attempts of a write under the optimistic lock."""


class Aggregate(Document):
    """A document that publishes its state.

    Its outbox messages stay in the stored array `outbox` until the relay has published them. The array is not
    a field of the model, because Beanie would write a stale copy of it back and so publish an event twice.
    """

    id: PydanticObjectId | None = Field(default_factory=PydanticObjectId)
    version: int = 0
    """The number of the newest published state, from 0. -1 means that no state has been published yet."""

    def event(self) -> Event:
        """The event that carries the current state."""
        raise NotImplementedError

    @property
    def key(self) -> str:
        """The id as text."""
        return str(self.id)

    @classmethod
    async def first(cls, filter_: dict[str, Any]) -> Self | None:
        """The document that matches the filter, read in one command and without its outbox.

        Beanie's `find_one` takes half as much CPU time again.
        """
        raw = await cls.get_pymongo_collection().find_one(filter_, WITHOUT_OUTBOX)
        return None if raw is None else cls.model_validate(raw)

    @classmethod
    @contextmanager
    def on_write(cls, listener: Callable[[Self], None]) -> Iterator[None]:
        """Until the block ends, call `listener` after this process has written a document and its event."""
        listeners = _LISTENERS[cls]
        listeners.append(listener)
        try:
            yield
        finally:
            listeners.remove(listener)

    @classmethod
    @contextmanager
    def on_outbox_write(cls, listener: OutboxListener) -> Iterator[None]:
        """Until the block ends, call `listener` with a document's id and its new outbox message.

        The message is None if the writer didn't name it.
        """
        listeners = _OUTBOX_LISTENERS[cls]
        listeners.append(listener)
        try:
            yield
        finally:
            listeners.remove(listener)

    async def add(self, *, private: bool = False) -> None:
        """Insert the document with its first event, or with version -1 and no event if `private` is set.

        Raises:
            DuplicateKeyError: a unique index rejects the document. Nothing was written.
        """
        if private:
            self.version = -1
        outbox = [] if private else [_entry(self.event())]
        # The raw collection is used because Beanie inserts only the fields of the model.
        await self.get_pymongo_collection().insert_one({**self.model_dump(by_alias=True), "outbox": outbox})
        for entry in outbox:
            self._written(entry)

    async def save_and_publish(self, changes: Changes, **expected: Any) -> Self | None:
        """Write the changes and their event in one guarded write.

        Returns None and writes nothing if the stored version or an `expected` field has another value.
        """
        changed: Self = self.model_copy(update={**changes, "version": self.version + 1})
        entry = _entry(changed.event())
        update = {"$set": _as_stored(changes), "$inc": {"version": 1}, "$push": {"outbox": entry}}
        if not await self._update(update, expected):
            return None
        changed._written(entry)
        return changed

    async def save_private(self, changes: Changes, **expected: Any) -> Self | None:
        """Change private fields, which no event contains. Nothing is published.

        Returns None and writes nothing if the stored version or an `expected` field has another value.
        """
        if not await self._update({"$set": _as_stored(changes)}, expected):
            return None
        saved: Self = self.model_copy(update=dict(changes))
        return saved

    async def write(self, changes: Changes) -> Self | None:
        """Write what a rule has decided on, in one guarded write. Returns None if the guard prevented it."""
        return await self.save_and_publish(changes)

    @classmethod
    async def republish(cls, document_id: Any) -> bool:
        """Publish the current state again, for a listener that is new or was down for a long time.

        The event gets an id of its own, so that JetStream doesn't drop it as a repetition. Returns False if
        there is nothing to publish, or if another writer has just published a newer state.
        """
        found = await cls.first({"_id": document_id})
        if found is None or found.version < 0:
            return False
        return await found._update({"$push": {"outbox": _entry(found.event())}}, {})

    async def _update(self, update: dict[str, Any], expected: dict[str, Any]) -> bool:
        """Update the document in a guarded write. Return False if the guard prevented the write."""
        guard = {"_id": self.id, "version": self.version, **expected}
        result = await self.get_pymongo_collection().update_one(guard, update)
        return result.matched_count == 1

    def _written(self, entry: OutboxEntry | None = None) -> None:
        """Call the listeners. `entry` is the outbox message that was written with the document."""
        kind = type(self)
        notices = [partial(listener, self) for listener in _LISTENERS[kind]]
        notices += [partial(listener, self.id, entry) for listener in _OUTBOX_LISTENERS[kind]]
        for notify in notices:
            try:
                notify()
            except Exception:  # the write is done, and the other listeners must be called
                log.exception("a listener of %s failed", kind.__name__)


_LISTENERS: defaultdict[type[Aggregate], list[Callable[[Any], None]]] = defaultdict(list)
"""Listeners that `on_write` registered, by class of document."""

_OUTBOX_LISTENERS: defaultdict[type[Aggregate], list[OutboxListener]] = defaultdict(list)
"""Listeners that `on_outbox_write` registered, by class of document."""


class Changeable(Protocol):
    """A stored document that `change` can write."""

    async def write(self, changes: Changes) -> Self | None: ...


A = TypeVar("A", bound=Changeable)


async def change(load: Callable[[], Awaitable[A | None]], decide: Callable[[A], Changes | None]) -> A:
    """Load a document, apply a rule, and `write` its changes. Retry if another writer was faster.

    `decide` is the rule. The rule returns the changes, or None if nothing changes, or raises an error.

    Raises:
        NotFound: `load` found no document.
        Unavailable: another writer was faster in all `MAX_ATTEMPTS` attempts.
    """
    for attempt in range(MAX_ATTEMPTS):
        document = await load()
        if document is None:
            raise NotFound
        changes = decide(document)
        if changes is None:
            return document
        changed = await document.write(changes)
        if changed is not None:
            return changed
        await sleep(random.uniform(0, min(0.1, 0.002 * 2**attempt)))  # noqa: S311 - spreads retries, guards no secret
    raise Unavailable


def _as_stored(changes: Changes) -> dict[str, Any]:
    """The changes with plain values instead of models."""
    stored: dict[str, Any] = _CHANGES.dump_python(dict(changes))
    return stored


_CHANGES = TypeAdapter(dict[str, Any])


def _entry(event: Event) -> dict[str, Any]:
    annotate(event)
    return {
        "id": str(uuid4()),
        "subject": event.subject,
        "about": event.about,
        "time": now(),
        "traceparent": traceparent(),
        "body": event.to_json(),
    }
