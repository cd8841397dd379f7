"""Messages to people, and what people don't want to be told."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, Self

from beanie import Document
from pydantic import TypeAdapter, ValidationError
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError
from typing_extensions import TypeAliasType

from contracts.wire import Id, Moment, now
from services.mail.rules import Retry

log = logging.getLogger(__name__)

MessageStatus = TypeAliasType("MessageStatus", Literal["queued", "sent", "failed", "dropped"])

KEPT = timedelta(days=90)
"""How long messages are kept. It has to be longer than `MAIL_MAX_AGE_DAYS`: until then, a repeated event
finds the message that it has caused already."""


class Message(Document):
    """What one person has to be told about one cause. The key makes each message unique.

    Neither the address nor the content is stored. Both are made when the message is sent.
    """

    id: str  # type: ignore[assignment] # `key_of` makes it
    kind: str
    cause: str
    """What the message is about: the id of an order, of a link or of a session, or a user's id and a time."""
    recipient: Id
    """The user's id."""
    facts: dict[str, Any]
    """What the message says, as its kind reads it."""
    status: MessageStatus = "queued"
    attempts: int = 0
    """How often a process has begun to send the message."""
    next_attempt_at: Moment
    """When to send the message next. A process claims a message by moving this time forward."""
    created_at: Moment
    sent_at: Moment | None = None
    traceparent: str | None = None
    """The trace of what the message is about."""
    error: str | None = None
    """Why the last attempt failed: a code of SMTP, or a word of ours. Texts of servers contain addresses."""

    class Settings:
        name = "messages"
        indexes = [
            IndexModel([("status", ASCENDING), ("next_attempt_at", ASCENDING)], name="next_attempt"),
            IndexModel([("cause", ASCENDING)], name="of_cause"),
            IndexModel(
                [("recipient", ASCENDING), ("kind", ASCENDING), ("created_at", ASCENDING)],
                name="to_recipient",
            ),
            IndexModel(
                [("created_at", ASCENDING)], name="expiry", expireAfterSeconds=int(KEPT.total_seconds())
            ),
        ]

    async def add(self) -> bool:
        """Store the message. Return False if it is stored already, whatever has become of it."""
        try:
            await self.get_pymongo_collection().insert_one(self.model_dump(by_alias=True))
        except DuplicateKeyError:
            return False
        return True

    @classmethod
    async def due_at(cls, moment: datetime, limit: int) -> list[Self]:
        """The messages that are due, those first that have been due for longest.

        One that can't be read, perhaps because a newer version has stored it, doesn't hold up the others.
        """
        found = cls.get_pymongo_collection().find(
            {"status": "queued", "next_attempt_at": {"$lte": moment}},
            sort=[("next_attempt_at", ASCENDING)],
            limit=limit,
        )
        due: list[Self] = []
        async for message in found:
            try:
                due.append(cls.model_validate(message))
            except ValidationError as error:  # its text would contain facts about the person
                wrong = {part["loc"][0] for part in error.errors() if part["loc"]}
                log.error("message %s can't be read: %s", message["_id"], ", ".join(map(str, sorted(wrong))))
        return due

    async def claim(self, until: datetime) -> bool:
        """Claim the due message until the given time, and count the attempt.

        Return False if another process was faster since the message was read.
        """
        as_read = {"_id": self.id, "status": "queued", "next_attempt_at": self.next_attempt_at}
        claimed = await self.get_pymongo_collection().update_one(
            as_read, {"$set": {"next_attempt_at": until}, "$inc": {"attempts": 1}}
        )
        if claimed.matched_count == 0:
            return False
        self.next_attempt_at = until
        self.attempts += 1
        return True

    async def has_before(self, count: int, kinds: Sequence[str], within: timedelta) -> bool:
        """Whether the person gets at least `count` earlier messages of these kinds.

        Dropped messages don't count. Those that are queued do, so that concurrent senders decide alike.
        """
        alike = {"recipient": self.recipient, "kind": {"$in": list(kinds)}, "status": {"$ne": "dropped"}}
        before = {"created_at": {"$gt": self.created_at - within, "$lt": self.created_at}}
        found = self.get_pymongo_collection().find({**alike, **before}, {"_id": 1}, limit=count)
        return len(await found.to_list()) >= count

    @classmethod
    async def postpone(cls, key: str, retry: Retry) -> None:
        """Let any process send the message again at a later time."""
        await cls._record(key, {"next_attempt_at": retry.at, "error": retry.error})

    @classmethod
    async def end(cls, key: str, status: MessageStatus, error: str | None = None) -> None:
        """Record what became of the message. A message that was sent stays sent."""
        ended = {"status": status, "error": error, **({"sent_at": now()} if status == "sent" else {})}
        await cls._record(key, ended)

    @classmethod
    async def _record(cls, key: str, changes: dict[str, Any]) -> None:
        await cls.get_pymongo_collection().update_one({"_id": key, "status": "queued"}, {"$set": changes})

    @classmethod
    async def page_of(cls, recipient: str, after: str | None, limit: int) -> list[Self]:
        """Messages to a person whose keys come before `after`, by descending key."""
        before = {"_id": {"$lt": after}} if after is not None else {}
        found = cls.get_pymongo_collection().find(
            {"recipient": recipient, **before}, sort=[("_id", DESCENDING)], limit=limit
        )
        return [cls.model_validate(message) async for message in found]

    @classmethod
    async def forget(cls, recipient: str) -> None:
        """Delete all messages to a person. One that is being sent doesn't come back."""
        await cls.get_pymongo_collection().delete_many({"recipient": recipient})

    @classmethod
    async def queued_since(cls, limit: int) -> Sequence[datetime]:
        """When queued messages were made, of at most `limit`."""
        found = cls.get_pymongo_collection().find({"status": "queued"}, {"created_at": 1}, limit=limit)
        return _TIMES.validate_python([message["created_at"] async for message in found])


_TIMES = TypeAdapter(list[datetime])


def key_of(kind: str, cause: str, recipient: str) -> str:
    """The key of the only message of this kind about this cause to this person."""
    return f"{kind}:{cause}:{recipient}"


class OptOut(Document):
    """A person's wish not to get messages of one kind."""

    id: str  # type: ignore[assignment] # the user's id and the kind
    created_at: Moment

    class Settings:
        name = "opt_outs"

    @classmethod
    async def exists(cls, user_id: str, kind: str) -> bool:
        found = await cls.get_pymongo_collection().find_one({"_id": f"{user_id}:{kind}"}, {"_id": 1})
        return found is not None

    @classmethod
    async def of_user(cls, user_id: str) -> dict[str, datetime]:
        """When the person made each wish, by the kind of messages."""
        found = cls.get_pymongo_collection().find(_of(user_id))
        return {choice["_id"].partition(":")[2]: choice["created_at"] async for choice in found}

    @classmethod
    async def forget(cls, user_id: str) -> None:
        """Delete all wishes of a person."""
        await cls.get_pymongo_collection().delete_many(_of(user_id))

    @classmethod
    async def choose(cls, user_id: str, kind: str, *, is_wanted: bool) -> None:
        """Store or remove the wish. A repeated call changes nothing."""
        collection, which = cls.get_pymongo_collection(), {"_id": f"{user_id}:{kind}"}
        if is_wanted:
            await collection.delete_one(which)
        else:
            await collection.update_one(which, {"$setOnInsert": {"created_at": now()}}, upsert=True)


def _of(user_id: str) -> dict[str, Any]:
    """A filter of the wishes of one person, whose keys start with the user's id."""
    return {"_id": {"$gt": f"{user_id}:", "$lt": f"{user_id};"}}  # the semicolon follows the colon
