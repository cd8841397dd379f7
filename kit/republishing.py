"""Publish the current state of a service's documents again."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from beanie import PydanticObjectId
from pydantic import BaseModel, Field

from kit.aggregates import Aggregate


@dataclass(frozen=True)
class Publication:
    """How far a document has been published."""

    is_complete: bool
    """Whether its outbox is empty. Otherwise its newest state will be published anyway."""
    sequence: int | None
    """The number in the stream of its last event. None if no event was published, or before there were
    numbers."""


Choice = Callable[[Publication], bool]


class _Stored(BaseModel):
    id: PydanticObjectId = Field(alias="_id")
    outbox: list[object] = []
    sequences: list[int] = []


_READ = {"outbox.id": 1, "sequences": {"$slice": -1}}


async def republish(kind: type[Aggregate], choice: Choice = lambda _: True) -> AsyncGenerator[None, None]:
    """Write an event of the current state into the outboxes of the chosen documents, and yield after each.

    The relay publishes them with its next sweep. Repeating it is harmless.
    """
    async with kind.get_pymongo_collection().find({}, _READ) as found:
        async for raw in found:
            stored = _Stored.model_validate(raw)
            last = stored.sequences[-1] if stored.sequences else None
            if choice(Publication(not stored.outbox, last)) and await kind.republish(stored.id):
                yield
