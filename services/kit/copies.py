"""What a service remembers of another one's aggregates."""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Any, Self

from beanie import Document, PydanticObjectId
from pydantic import Field
from pymongo.errors import DuplicateKeyError

from contracts.wire import now
from services.kit.errors import NotFound
from services.kit.mongo import object_id

PATIENCE = timedelta(seconds=8)
"""How long the event that tells of something new may take before we say that it doesn't exist. The web tier
waits longer: so long, and then for Stripe."""

FIRST_POLL_SECONDS = 0.02
LONGEST_POLL_SECONDS = 0.25


def patience_with(made_at: datetime, asked_at: datetime) -> timedelta:
    """How long to wait for what an id names: `PATIENCE` at most, and not at all if the result is negative.

    An id tells the second in which it was made, not more, and by a clock that may be a little ahead of ours.
    """
    age = asked_at - made_at - timedelta(seconds=1)
    return -timedelta.resolution if age < -PATIENCE else PATIENCE - max(age, timedelta())


class Copy(Document):
    """The newest state that was heard of somebody else's aggregate, under its id."""

    id: PydanticObjectId | None = Field(default_factory=PydanticObjectId)
    version: int

    @property
    def key(self) -> str:
        """The id as text."""
        return str(self.id)

    @classmethod
    async def follow(cls, key: str, version: int, state: dict[str, Any], *, learns: bool = False) -> None:
        """Remember a state iff it is newer than what is known: one write, whatever comes when.

        With `learns` the same version may come again and say more, from a publisher that has learnt to:
        republishing is how a copy hears of what it wasn't told.
        """
        older = "$lte" if learns else "$lt"
        for _ in range(2):
            try:
                await cls.get_pymongo_collection().update_one(
                    {"_id": object_id(key), "version": {older: version}},
                    {"$set": {**state, "version": version}},
                    upsert=True,
                )
            except DuplicateKeyError:
                # It is known and not older, or a rival inserted it, perhaps older, between this
                # one's look and its insert: the second time tells.
                continue
            return

    @classmethod
    async def arrived(cls, key: str) -> Self:
        """The copy. Of what was made just now, whose event is on its way, it waits for that.

        Raises:
            NotFound: nothing of that id was heard of.
        """
        wanted = object_id(key)
        deadline = time.monotonic() + patience_with(wanted.generation_time, now()).total_seconds()
        pause = FIRST_POLL_SECONDS
        while True:
            found: Self | None = await cls.find_one({"_id": wanted})
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise NotFound
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_POLL_SECONDS)
