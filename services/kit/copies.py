"""What a service remembers of another one's aggregates."""

from typing import Any

from beanie import Document, PydanticObjectId
from pydantic import Field
from pymongo.errors import DuplicateKeyError

from services.kit.mongo import object_id


class Copy(Document):
    """The newest state that was heard of somebody else's aggregate, under its id."""

    id: PydanticObjectId | None = Field(default_factory=PydanticObjectId)
    version: int

    @property
    def key(self) -> str:
        """The id as text."""
        return str(self.id)

    @classmethod
    async def follow(cls, key: str, version: int, state: dict[str, Any]) -> None:
        """Remember a state iff it is newer than what is known: one write, whatever comes when."""
        try:
            await cls.get_pymongo_collection().update_one(
                {"_id": object_id(key), "version": {"$lt": version}},
                {"$set": {**state, "version": version}},
                upsert=True,
            )
        except DuplicateKeyError:
            return  # it is known, and not older: the guard didn't match, so this tried to insert it again
