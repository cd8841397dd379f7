"""Replicas of other services' aggregates, built from their events."""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Any, Self

from beanie import Document, PydanticObjectId
from pydantic import Field
from pymongo.errors import DuplicateKeyError

from contracts.wire import now
from kit.errors import NotFound
from kit.mongo import object_id

MAX_WAIT = timedelta(seconds=8)
"""How long to wait for a new entity to replicate before answering 404.

The web tier's timeouts are longer, because a request may wait for replication and then for Stripe.
"""

FIRST_POLL_SECONDS = 0.02
MAX_POLL_SECONDS = 0.25


def remaining_wait(created_at: datetime, asked_at: datetime) -> timedelta:
    """How long to wait for the event of an entity that was created at `created_at`: at most `MAX_WAIT`.

    A negative result means that the entity is so old that waiting is useless.

    `created_at` comes from the entity's id. It is truncated to seconds, and the clock that set it may be
    slightly ahead of ours.
    """
    age = asked_at - created_at - timedelta(seconds=1)
    return -timedelta.resolution if age < -MAX_WAIT else MAX_WAIT - max(age, timedelta())


class Replica(Document):
    """The newest known state of another service's aggregate, stored under the same id."""

    id: PydanticObjectId | None = Field(default_factory=PydanticObjectId)
    version: int

    @property
    def key(self) -> str:
        """The id as text."""
        return str(self.id)

    @classmethod
    async def follow(cls, key: str, version: int, state: dict[str, Any]) -> None:
        """Store `state` in one write, if `version` is higher than the stored version.

        Repeated, missing and reordered events are harmless.
        """
        older = {"_id": object_id(key), "version": {"$lt": version}}
        newer = {"$set": {**state, "version": version}}
        for _ in range(2):
            try:
                # MongoDB upserts in one command. Beanie's `upsert` would send an update and then an insert.
                await cls.get_pymongo_collection().update_one(older, newer, upsert=True)
            except DuplicateKeyError:
                # Either the stored state isn't older, or another process inserted a state between this
                # command's search and its insert. That state may be older, so a second attempt is needed.
                continue
            return

    @classmethod
    async def wait_for(cls, key: str) -> Self:
        """The replica with this id. If the id is new, wait for the event that creates the replica.

        Raises:
            NotFound: there is no such replica, or it wasn't created in time.
        """
        wanted = object_id(key)
        deadline = time.monotonic() + remaining_wait(wanted.generation_time, now()).total_seconds()
        pause = FIRST_POLL_SECONDS
        while True:
            found = await cls.get_pymongo_collection().find_one({"_id": wanted})
            if found is not None:
                replica: Self = cls.model_validate(found)
                return replica
            if time.monotonic() > deadline:
                raise NotFound
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_POLL_SECONDS)
