"""Documents whose every change is one guarded write that carries the event of it."""

import random
from asyncio import sleep
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Self, TypeVar
from uuid import uuid4

from beanie import Document, PydanticObjectId
from pydantic import Field
from pymongo import ASCENDING, IndexModel

from contracts.events import Event
from contracts.wire import now
from services.kit.changes import Changes
from services.kit.errors import NotFound, Unavailable
from services.kit.tracing import traceparent

OUTBOX_INDEX = IndexModel([("outbox.id", ASCENDING)], name="outbox", sparse=True)

MAX_TRIES = 12
"""How often a write that somebody else was faster than is decided anew."""


class Aggregate(Document):
    """A document that publishes its state.

    The events wait in its `outbox` array until the relay has delivered them. That array is no
    field of the model: Beanie would write it back whole, and so publish an event twice.
    """

    id: PydanticObjectId | None = Field(default_factory=PydanticObjectId)
    version: int = 0
    """Counts the states that were published. -1: none was yet."""

    wake_relay: ClassVar[Callable[[], None]] = staticmethod(lambda: None)
    """Set by the relay of the process."""

    def event(self) -> Event:
        """The event that says the current state."""
        raise NotImplementedError

    @property
    def key(self) -> str:
        """The id as text."""
        return str(self.id)

    async def add(self, *, silently: bool = False) -> None:
        """Insert with its first event, or `silently`: without one, and with version -1.

        Raises:
            DuplicateKeyError: a unique index has it already. Nothing was written.
        """
        if silently:
            self.version = -1
        outbox = [] if silently else [_entry(self.event())]
        await self.get_pymongo_collection().insert_one({**self.model_dump(by_alias=True), "outbox": outbox})
        if not silently:
            type(self).wake_relay()

    async def publish(self, changes: Changes, **unless_changed: Any) -> Self | None:
        """Change and publish, if version and the given fields are still as here or as said; else None, and
        nothing was written."""
        changed: Self = self.model_copy(update={**changes, "version": self.version + 1})
        update = {
            "$set": dict(changes),
            "$inc": {"version": 1},
            "$push": {"outbox": _entry(changed.event())},
        }
        result = await self.get_pymongo_collection().update_one(
            {"_id": self.id, "version": self.version, **unless_changed}, update
        )
        if not result.modified_count:
            return None
        type(self).wake_relay()
        return changed

    async def note(self, changes: Changes, **unless_changed: Any) -> Self | None:
        """Change what isn't public, if version and the given fields are still as here; else None."""
        guard = {"_id": self.id, "version": self.version, **unless_changed}
        result = await self.get_pymongo_collection().update_one(guard, {"$set": dict(changes)})
        if not result.matched_count:
            return None
        noted: Self = self.model_copy(update=dict(changes))
        return noted

    @classmethod
    async def republish(cls, document_id: Any) -> None:
        """Put the current state on the bus again, for a listener that is new or was away for long."""
        found = await cls.find_one({"_id": document_id})
        if found is None or found.version < 0:
            return
        await cls.get_pymongo_collection().update_one(
            {"_id": found.id, "version": found.version}, {"$push": {"outbox": _entry(found.event())}}
        )


A = TypeVar("A", bound=Aggregate)


async def change(load: Callable[[], Awaitable[A | None]], decide: Callable[[A], Changes | None]) -> A:
    """Load, let a pure rule decide, write guarded; begin again if somebody else was first.

    `decide` gives the fields that change, None if nothing is to be done, or raises.

    Raises:
        NotFound: there is nothing to load.
        Unavailable: somebody else was first time and again.
    """
    for attempt in range(MAX_TRIES):
        document = await load()
        if document is None:
            raise NotFound
        changes = decide(document)
        if changes is None:
            return document
        changed = await document.publish(changes)
        if changed is not None:
            return changed
        await sleep(random.uniform(0, min(0.1, 0.002 * 2**attempt)))  # noqa: S311 - spreads rivals, guards no secret
    raise Unavailable


def _entry(event: Event) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "subject": event.subject,
        "about": event.about,
        "time": now(),
        "traceparent": traceparent(),
        "body": event.to_json(),
    }
