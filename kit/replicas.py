"""Replicas of other services' aggregates, built from their events."""

from collections.abc import Awaitable, Callable
from typing import Any, Self

from beanie import Document, PydanticObjectId
from pydantic import Field
from pymongo.errors import DuplicateKeyError

from kit.errors import NotFound, Unavailable
from kit.mongo import object_id

State = tuple[int, dict[str, Any]]
"""The version of an aggregate, and the fields that its replica stores."""


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

        Raises:
            Unavailable: another write of this replica isn't acknowledged by a majority yet.
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
                # The server also rejects duplicates of a write that may still be rolled back. Reads don't
                # return such a write, and the event must not be acknowledged because of it.
                stored = await cls.get_pymongo_collection().find_one({"_id": older["_id"]}, {"version": 1})
                if stored is not None and stored["version"] >= version:
                    return
            else:
                return
        raise Unavailable

    @classmethod
    async def stored(cls, key: str) -> Self:
        """The replica with this id.

        Raises:
            NotFound
        """
        found = await cls.get_pymongo_collection().find_one({"_id": object_id(key)})
        if found is None:
            raise NotFound
        replica: Self = cls.model_validate(found)
        return replica

    @classmethod
    async def stored_or_asked(cls, key: str, ask: Callable[[str], Awaitable[State]]) -> Self:
        """The replica with this id. If there is none, it is made from the answer of the owning service.

        A client may use the id of a new entity before the entity's first event arrives here.

        Args:
            ask: requests the state of the aggregate with this id from its owner. It raises NotFound if there
                is none.

        Raises:
            NotFound, and other errors of `ask`.
        """
        try:
            return await cls.stored(key)
        except NotFound:
            key = str(object_id(key))
            await cls.follow(key, *await ask(key))
            return await cls.stored(key)
