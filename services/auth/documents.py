"""Users and their sessions."""

from datetime import datetime

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

    async def replace_hash(self, password_hash: str) -> None:
        """Store a newer hash of the same password, unless it was changed meanwhile."""
        await self.get_pymongo_collection().update_one(
            {"_id": self.id, "password_hash": self.password_hash},
            {"$set": {"password_hash": password_hash}},
        )


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
            IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=86_400),
        ]

    def event(self) -> SessionEnded:
        """The only thing that others hear of a session is its end."""
        assert self.ended_at is not None
        return SessionEnded(session_id=self.key, ended_at=self.ended_at)
