"""Stored shows."""

from typing import Any, Self

from beanie import Document, PydanticObjectId
from pydantic import Field
from pymongo import ASCENDING, IndexModel

from kit.changes import Changes
from services.tickets.shows.rules import ShowFacts, ShowState, indexed, key_of


class Show(ShowState, Document):
    """An event. It publishes nothing: the events of its tickets say that something about it has changed."""

    id: PydanticObjectId = Field(default_factory=PydanticObjectId)
    version: int = 0
    """Counts the changes of the show."""
    title_key: str
    """The folded title."""
    venue_key: str
    """The folded venue and city."""
    words: list[str]
    """The words of title, performers and place, by which the show is suggested."""

    class Settings:
        name = "shows"
        indexes = [
            IndexModel([("keys", ASCENDING)], name="one_show_a_key", unique=True),
            IndexModel([("title_key", ASCENDING), ("starts_at", ASCENDING)], name="of_title"),
            IndexModel([("venue_key", ASCENDING), ("starts_at", ASCENDING)], name="at_venue"),
            IndexModel([("words", ASCENDING), ("starts_at", ASCENDING)], name="of_word"),
            IndexModel([("starts_at", ASCENDING)], name="upcoming_shows"),
            IndexModel(
                [("unsettled_since", ASCENDING)],
                name="unsettled",
                partialFilterExpression={"unsettled_since": {"$type": "date"}},
            ),
            IndexModel(
                [("picture", ASCENDING)],
                name="show_picture",
                partialFilterExpression={"picture": {"$gt": ""}},
            ),
        ]

    @classmethod
    def of(cls, facts: ShowFacts) -> Self:
        """A new show with these facts."""
        key = key_of(facts.title, facts.venue, facts.city, facts.starts_at)
        return cls.model_validate({**facts.model_dump(), **indexed(facts), "keys": [key]})

    @property
    def key(self) -> str:
        """The id as text."""
        return str(self.id)

    async def write(self, changes: Changes) -> Self | None:
        """Write changes in one guarded write. Returns None if another writer was faster."""
        guard = {"_id": self.id, "version": self.version}
        update: dict[str, Any] = {"$set": dict(changes), "$inc": {"version": 1}}
        result = await self.get_pymongo_collection().update_one(guard, update)
        if result.matched_count == 0:
            return None
        return self.model_copy(update={**changes, "version": self.version + 1})
