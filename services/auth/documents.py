"""Users and their sessions."""

from datetime import datetime
from typing import Self

from beanie import Document, PydanticObjectId
from pydantic import Field
from pymongo import ASCENDING, IndexModel

from contracts.events import SessionEnded
from services.kit.aggregates import OUTBOX_INDEX, Aggregate


class User(Document):
    """Somebody who can sign in. The e-mail address is stored trimmed and in lower case."""

    id: PydanticObjectId | None = Field(default_factory=PydanticObjectId)
    email: str
    password_hash: str
    created_at: datetime

    class Settings:
        name = "users"
        indexes = [IndexModel([("email", ASCENDING)], name="email", unique=True)]

    async def with_hash(self, password_hash: str) -> Self:
        """Store another hash, unless it was changed meanwhile, which `newest` tells."""
        await self.get_pymongo_collection().update_one(
            {"_id": self.id, "password_hash": self.password_hash},
            {"$set": {"password_hash": password_hash}},
        )
        changed: Self = self.model_copy(update={"password_hash": password_hash})
        return changed

    async def newest(self) -> "User":
        found = await User.find_one({"_id": self.id})
        assert found is not None, "users are never deleted"
        return found


class Session(Aggregate):
    """From signing in to signing out, or to `expires_at`."""

    user_id: str
    expires_at: datetime
    ended_at: datetime | None = None

    class Settings:
        name = "sessions"
        # A day later than they expire: until then, their outbox may still hold an event.
        indexes = [
            OUTBOX_INDEX,
            IndexModel([("user_id", ASCENDING)], name="of_user"),
            IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=86_400),
        ]

    def event(self) -> SessionEnded:
        """The only thing that others hear of a session is its end."""
        assert self.ended_at is not None
        return SessionEnded(session_id=self.key, ended_at=self.ended_at)
