"""Stored cases of reported listings."""

from typing import Any, Self

from beanie import Document, PydanticObjectId
from pydantic import TypeAdapter
from pymongo import ASCENDING, IndexModel

from kit.changes import Changes
from services.tickets.reports.rules import CaseState

_CHANGES = TypeAdapter(dict[str, Any])


class ListingCase(CaseState, Document):
    """All reports of one listing. It publishes nothing."""

    id: PydanticObjectId
    """The ticket's id, so that a listing has one case."""
    seller_id: str
    version: int = 0
    """Counts the changes of the case."""

    class Settings:
        name = "listing_cases"
        indexes = [
            IndexModel(
                [("open_since", ASCENDING)],
                name="open_cases",
                partialFilterExpression={"open_since": {"$type": "date"}},
            ),
            IndexModel(
                [("removal", ASCENDING)],
                name="removals",
                partialFilterExpression={"removal": {"$gt": ""}},
            ),
            IndexModel([("reports.reporter_id", ASCENDING)], name="of_reporter"),
            IndexModel([("changed_at", ASCENDING)], name="changed_cases"),
        ]

    @property
    def key(self) -> str:
        """The ticket's id as text."""
        return str(self.id)

    async def write(self, changes: Changes) -> Self | None:
        """Write changes in one guarded write. Returns None if another writer was faster."""
        guard = {"_id": self.id, "version": self.version}
        update = {"$set": _CHANGES.dump_python(dict(changes)), "$inc": {"version": 1}}
        result = await self.get_pymongo_collection().update_one(guard, update)
        if result.matched_count == 0:
            return None
        return self.model_copy(update={**changes, "version": self.version + 1})
