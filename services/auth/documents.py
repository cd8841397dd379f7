"""Users, their sessions, and failed attempts to sign in."""

import time
from datetime import datetime, timedelta
from typing import Self

from beanie import Document, PydanticObjectId
from bson import ObjectId
from pydantic import Field
from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from contracts.events import SessionEnded
from contracts.wire import now
from kit.aggregates import OUTBOX_INDEX, Aggregate
from services.auth.rules import TooManyFailures, delay_after

FAILURE_LIFETIME = timedelta(days=1)
"""How long a failed attempt counts, unless an attempt succeeds before."""

MAX_RETRIES = 20
"""Maximum retries of a write that concurrent attempts were faster than."""

MAX_SECONDS = 5.0
"""No retry begins after this time. One takes long if no majority has what it conflicts with."""


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
    """When the session was last used. Processes report that every five minutes at most."""

    class Settings:
        name = "sessions"
        # MongoDB deletes sessions a day after they expire. That leaves the relay enough time to empty their
        # outboxes.
        indexes = [
            OUTBOX_INDEX,
            IndexModel([("user_id", ASCENDING)], name="of_user"),
            IndexModel([("ended_at", ASCENDING), ("used_at", ASCENDING)], name="in_use"),
            IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=86_400),
        ]

    @classmethod
    async def mark_used(cls, session_id: str, moment: datetime, interval: timedelta) -> None:
        """Store when the session was used, unless an earlier use within `interval` is stored."""
        unreported = {"_id": ObjectId(session_id), "used_at": {"$lt": moment - interval}}
        await cls.get_pymongo_collection().update_one(unreported, {"$set": {"used_at": moment}})

    def event(self) -> SessionEnded:
        """The event that the session has ended, which is the only event of a session."""
        assert self.ended_at is not None
        return SessionEnded(session_id=self.key, ended_at=self.ended_at)


class Failures(Document):
    """The number of attempts since the last that succeeded, with one account or on one device."""

    id: str  # type: ignore[assignment] # what the attempts have in common is the key
    times: int
    retry_at: datetime
    """Further attempts are rejected until then."""
    expires_at: datetime

    class Settings:
        name = "failures"
        indexes = [IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0)]

    @classmethod
    async def count_attempt(cls, key: str, free: int) -> None:
        """Count an attempt. Before its password is checked, or concurrent attempts could exceed the limit.

        Args:
            free: the number of attempts without a delay after them.

        Raises:
            TooManyFailures: the delay after the last attempt isn't over.
        """
        last_start = time.monotonic() + MAX_SECONDS
        for _ in range(MAX_RETRIES):
            if time.monotonic() > last_start:
                break
            found = await cls.find_one({"_id": key})
            moment = now()
            times = found.times if found is not None and found.expires_at > moment else 0
            if found is not None and times and found.retry_at > moment:
                raise TooManyFailures.until(found.retry_at - moment)
            retry_at = moment + delay_after(times + 1, free)
            expires_at = moment + FAILURE_LIFETIME
            changed = cls(id=key, times=times + 1, retry_at=retry_at, expires_at=expires_at)
            if await cls._replace(found, changed):
                return
        raise TooManyFailures.until(timedelta(seconds=1))

    @classmethod
    async def _replace(cls, found: "Failures | None", changed: "Failures") -> bool:
        """Store a count. False if another attempt has changed it since it was read."""
        collection = cls.get_pymongo_collection()
        values = {"times": changed.times, "retry_at": changed.retry_at, "expires_at": changed.expires_at}
        if found is None:
            try:
                await collection.insert_one({"_id": changed.id, **values})
            except DuplicateKeyError:
                return False
            return True
        unchanged = {"_id": found.id, "times": found.times, "retry_at": found.retry_at}
        return (await collection.update_one(unchanged, {"$set": values})).matched_count == 1

    @classmethod
    async def forget(cls, key: str) -> None:
        await cls.get_pymongo_collection().delete_one({"_id": key})
