"""Users and their sessions."""

from datetime import datetime, timedelta
from typing import Self

from beanie import Document, PydanticObjectId
from bson import ObjectId
from pydantic import Field
from pymongo import ASCENDING, IndexModel

from contracts.events import SessionEnded
from kit.aggregates import OUTBOX_INDEX, Aggregate

MIN_USE_INTERVAL = timedelta(minutes=1)
"""Reports of the use of a session are ignored for this time after the previous one."""


class User(Document):
    """A user. The e-mail address is stored trimmed and in lower case."""

    id: PydanticObjectId | None = Field(default_factory=PydanticObjectId)
    email: str
    password_hash: str
    created_at: datetime

    class Settings:
        name = "users"
        indexes = [IndexModel([("email", ASCENDING)], name="email", unique=True)]

    async def save_hash(self, password_hash: str) -> Self:
        """Replace the password hash, unless another request changed the stored hash first.

        Returns the user with the new hash in both cases. `newest` shows which hash is stored.
        """
        unchanged = {"_id": self.id, "password_hash": self.password_hash}
        await User.find_one(unchanged).update({"$set": {"password_hash": password_hash}})
        changed: Self = self.model_copy(update={"password_hash": password_hash})
        return changed

    async def newest(self) -> "User":
        """The user as stored now."""
        found = await User.find_one({"_id": self.id})
        assert found is not None, "users are never deleted"
        return found


class Session(Aggregate):
    """A session lasts from sign-in to sign-out, or until `expires_at`."""

    user_id: str
    expires_at: datetime
    ended_at: datetime | None = None
    used_at: datetime | None = None
    """When the session was last used. The web tier reports that every five minutes at most."""

    class Settings:
        name = "sessions"
        # MongoDB deletes sessions a day after they expire. That leaves the relay enough time to empty their
        # outboxes.
        indexes = [
            OUTBOX_INDEX,
            IndexModel([("user_id", ASCENDING)], name="of_user"),
            IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=86_400),
        ]

    @classmethod
    async def mark_used(cls, session_id: str, moment: datetime) -> None:
        """Store when the session was used, at most once a minute."""
        unreported = {"_id": ObjectId(session_id), "used_at": {"$lt": moment - MIN_USE_INTERVAL}}
        await cls.get_pymongo_collection().update_one(unreported, {"$set": {"used_at": moment}})

    def event(self) -> SessionEnded:
        """The event that the session has ended, which is the only event of a session."""
        assert self.ended_at is not None
        return SessionEnded(session_id=self.key, ended_at=self.ended_at)
