"""Users, their sessions and one-time links, and failed attempts to sign in."""

import time
from datetime import datetime, timedelta
from typing import Any, Self

from beanie import Document, PydanticObjectId
from bson import ObjectId
from pydantic import BaseModel, ConfigDict, Field
from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from contracts.api import TraderDetails
from contracts.events import (
    LinkCreated,
    LinkEvent,
    LinkKind,
    LinkUpdated,
    SessionEnded,
    SessionStarted,
    UserCreated,
    UserEvent,
    UserUpdated,
)
from contracts.languages import Language
from contracts.wire import now
from kit.aggregates import OUTBOX_INDEX, Aggregate, change
from kit.changes import Changes
from kit.errors import NotSignedIn
from services.auth.rules import TooManyFailures, WrongPassword, delay_after

FAILURE_LIFETIME = timedelta(days=1)
"""How long a failed attempt counts, unless an attempt succeeds before."""

MAX_RETRIES = 20
"""Maximum retries of a write that concurrent attempts were faster than."""

MAX_SECONDS = 5.0
"""No retry begins after this time. One takes long if no majority has what it conflicts with."""


class Passkey(BaseModel):
    """A public key with which a user signs in. The private key stays in an authenticator."""

    model_config = ConfigDict(frozen=True)

    id: PydanticObjectId = Field(default_factory=PydanticObjectId)
    name: str
    credential_id: bytes
    public_key: bytes
    """In COSE format."""
    sign_count: int
    """How often the authenticator has signed, as far as we know. 0 if it doesn't count."""
    transports: list[str]
    created_at: datetime
    used_at: datetime | None = None


class User(Aggregate):
    """A user. The e-mail address is stored trimmed and in lower case.

    Passkeys are stored with the user, so that one write changes them and publishes that.
    """

    email: str
    password_hash: str
    created_at: datetime
    suspended_at: datetime | None = None
    """Since when an operator has kept the user from signing in."""
    suspension_reason: str | None = None
    """Why, in the operator's words. Only operators see it."""
    name: str | None = None
    """The name that others see."""
    trader: bool | None = None
    """Whether the user sells as a trader, as stated by the user."""
    trader_details: TraderDetails | None = None
    """Who the trader is, as stated by the user. No event contains it."""
    language: Language | None = None
    """The language of emails to the user. Mail asks for it together with the address."""
    confirmed_at: datetime | None = None
    """When the user first proved to receive mail at the address."""
    must_confirm: bool = False
    """Whether addresses had to be confirmed when the user signed up."""
    password_changed_at: datetime | None = None
    email_changed_at: datetime | None = None
    end_sessions_before: datetime | None = None
    """Sessions that began before have to end: password or address changed then. None once they have."""
    passkeys: list[Passkey] = []
    passkeys_changed_at: datetime | None = None
    closing: str | None = None
    """The newest attempt to delete the account, if it hasn't ended. Its id contains when it began.

    The one that deleted the account ends minutes later (`Departures.finish_deletions`)."""
    deleted_at: datetime | None = None
    """When the account was deleted. What is left of it says nothing about the person."""

    class Settings:
        name = "users"
        indexes = [
            OUTBOX_INDEX,
            IndexModel([("email", ASCENDING)], name="email", unique=True),
            IndexModel(
                [("passkeys.credential_id", ASCENDING)],
                name="passkey",
                unique=True,
                partialFilterExpression={"passkeys.credential_id": {"$exists": True}},
            ),
            IndexModel(
                [("closing", ASCENDING)], name="closing", partialFilterExpression={"closing": {"$gt": ""}}
            ),
            IndexModel([("end_sessions_before", ASCENDING)], name="ending_sessions"),
        ]

    def event(self) -> UserEvent:
        """The event that carries the current state."""
        kind = UserCreated if self.version == 0 else UserUpdated
        return kind(
            id=self.key,
            version=self.version,
            name=self.name,
            confirmed=self.confirmed_at is not None,
            suspended=self.suspended_at is not None,
            deleted=self.deleted_at is not None,
            password_changed_at=self.password_changed_at,
            email_changed_at=self.email_changed_at,
            passkeys_changed_at=self.passkeys_changed_at,
            trader=self.trader,
        )

    def is_restricted(self, confirms_addresses: bool) -> bool:
        """Whether the user can't list or pay until the address is confirmed."""
        return confirms_addresses and self.must_confirm and self.confirmed_at is None

    @property
    def is_unidentified(self) -> bool:
        """Whether the user stated to be a trader when that didn't need details, and has added none since."""
        return self.trader is True and self.trader_details is None

    @property
    def is_leaving(self) -> bool:
        """Whether the account is being deleted, or was."""
        return self.closing is not None or self.deleted_at is not None

    async def write(self, changes: Changes) -> Self | None:
        """Write the changes.

        Raises:
            NotSignedIn: the account was deleted. A request that began before must not add anything to it.
        """
        if self.deleted_at is not None:
            raise NotSignedIn
        return await super().write(changes)

    async def _update(self, update: dict[str, Any], expected: dict[str, Any]) -> bool:
        # A user who signed up before users were published is stored without a version, which counts as 0.
        version = {"$in": [0, None]} if self.version == 0 else self.version
        if "passkeys" in update.get("$set", {}):
            # The uses and names of passkeys change without a new version, and must not be overwritten.
            expected = {**self._same_passkeys(), **expected}
        return await super()._update(update, {"version": version, **expected})

    def _same_passkeys(self) -> dict[str, Any]:
        if not self.passkeys:
            return {"passkeys.0": {"$exists": False}}
        return {"passkeys": [passkey.model_dump() for passkey in self.passkeys]}

    def passkey(self, credential_id: bytes) -> Passkey | None:
        return next((each for each in self.passkeys if each.credential_id == credential_id), None)

    def with_passkeys(self, passkeys: list[Passkey]) -> Changes:
        """The changes that replace the passkeys."""
        return {"passkeys": passkeys, "passkeys_changed_at": now()}

    async def rename_passkey(self, passkey_id: ObjectId, name: str) -> bool:
        """Store another name. Nothing is published. False if the user has no such passkey."""
        found = {"_id": self.id, "passkeys.id": passkey_id}
        renamed = {"$set": {"passkeys.$.name": name}}
        return (await self.get_pymongo_collection().update_one(found, renamed)).matched_count == 1

    async def mark_used(self, passkey: Passkey, sign_count: int) -> bool:
        """Store a use of a passkey. False if it was removed or used since it was read."""
        unchanged = {"credential_id": passkey.credential_id, "sign_count": passkey.sign_count}
        used = {"$set": {"passkeys.$.sign_count": sign_count, "passkeys.$.used_at": now()}}
        found = {"_id": self.id, "passkeys": {"$elemMatch": unchanged}}
        return (await self.get_pymongo_collection().update_one(found, used)).matched_count == 1

    async def save_hash(self, password_hash: str) -> "User":
        """Store another hash of the same password, unless another request changed the user first.

        Returns the user with the new hash in both cases. `newest` shows which hash is stored.
        """
        changes = {"password_hash": password_hash}
        await self.save_private(changes, password_hash=self.password_hash)
        changed: User = self.model_copy(update=changes)
        return changed

    async def suspend(self, reason: str) -> "User":
        """Suspend the user, unless the account was deleted.

        One who is suspended already stays so since then, for the first reason.
        """

        def decide(stored: User) -> Changes | None:
            if stored.suspended_at is not None or stored.deleted_at is not None:
                return None
            return {"suspended_at": now(), "suspension_reason": reason}

        return await change(lambda: User.first({"_id": self.id}), decide)

    async def lift_suspension(self) -> "User":
        """Let the user sign in again, unless the account was deleted."""

        def decide(stored: User) -> Changes | None:
            if stored.suspended_at is None or stored.deleted_at is not None:
                return None
            return {"suspended_at": None, "suspension_reason": None}

        return await change(lambda: User.first({"_id": self.id}), decide)

    async def change_password(
        self, password_hash: str, *, remove_passkeys: bool = False, **more: Any
    ) -> "User":
        """Store a new password, unless another request changed it or the address first.

        Args:
            remove_passkeys: whether only the new password works from now on.
            more: further changes in the same write.

        Raises:
            WrongPassword: another request was faster.
        """

        def decide(stored: User) -> Changes:
            if (stored.password_hash, stored.email) != (self.password_hash, self.email):
                raise WrongPassword
            removed = stored.with_passkeys([]) if remove_passkeys and stored.passkeys else {}
            moment = now()
            password = {"password_hash": password_hash, "password_changed_at": moment}
            return {**password, "end_sessions_before": moment, **removed, **more}

        return await change(lambda: User.first({"_id": self.id}), decide)

    async def mark_sessions_ended(self) -> None:
        """Store that the sessions before this change have ended. Nothing is published."""
        change_of_mine = {"_id": self.id, "end_sessions_before": self.end_sessions_before}
        ended = {"$set": {"end_sessions_before": None}}
        await self.get_pymongo_collection().update_one(change_of_mine, ended)

    async def end_closing(self) -> None:
        """Store that nothing is left to do for a deleted account. `write` refuses changes of it."""
        deleted = {"_id": self.id, "deleted_at": {"$ne": None}}
        await self.get_pymongo_collection().update_one(deleted, {"$set": {"closing": None}})

    async def newest(self) -> "User":
        """The user as stored now."""
        found = await User.first({"_id": self.id})
        assert found is not None, "users are never deleted"
        return found


def ending_before(moment: datetime) -> dict[str, Any]:
    """The filter for users whose sessions have to end since before this time."""
    return {"end_sessions_before": {"$lt": moment}}  # doesn't match None


class Session(Aggregate):
    """A session lasts from sign-in to sign-out, or until `expires_at`."""

    user_id: str
    expires_at: datetime
    ended_at: datetime | None = None
    started_at: datetime | None = None
    """None for a session of an earlier version."""
    used_at: datetime | None = None
    """When the session was last used. Processes report that every five minutes at most."""
    device: str | None = None
    """The browser and the operating system, such as `Firefox on Linux`."""
    network: str | None = None
    """The wide network (kit/networks.py) from which the session started."""

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

    def event(self) -> SessionStarted | SessionEnded:
        """The event that the session has ended, or that it started on a new device."""
        if self.ended_at is not None:
            return SessionEnded(session_id=self.key, ended_at=self.ended_at)
        assert self.started_at is not None, "only a new session is published before its end"
        return SessionStarted(
            session_id=self.key, user_id=self.user_id, started_at=self.started_at, device=self.device
        )


class Link(Aggregate):
    """A link in a mail, which works once. Its secret part isn't stored (services/auth/links.py)."""

    kind: LinkKind
    user_id: str
    email: str
    """The address that gets the mail."""
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None

    class Settings:
        name = "links"
        # MongoDB deletes links a day after they expire, when the relay has emptied their outboxes.
        indexes = [
            OUTBOX_INDEX,
            IndexModel([("user_id", ASCENDING)], name="of_user"),
            IndexModel([("email", ASCENDING)], name="to_address"),
            IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=86_400),
        ]

    def event(self) -> LinkEvent:
        """The event that carries the current state."""
        kind = LinkCreated if self.version == 0 else LinkUpdated
        return kind(
            id=self.key,
            version=self.version,
            user_id=self.user_id,
            kind=self.kind,
            expires_at=self.expires_at,
            used_at=self.used_at,
        )


class UsedChallenge(Document):
    """A challenge that was answered, kept until it has expired (services/auth/challenges.py)."""

    id: str  # type: ignore[assignment] # the challenge's own number is the key
    expires_at: datetime

    class Settings:
        name = "used_challenges"
        indexes = [IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0)]


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
