"""What operators see of a person, and what they do: suspend, lift the suspension, end all sessions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from contracts.identity import normalised_email
from contracts.wire import now
from kit.mongo import connect
from ops import operator_api
from ops.lookup import ID, NotFound, of_person
from ops.sources import Sources
from settings import Settings


@dataclass(frozen=True)
class Person:
    """A person's account, orders and listings."""

    id: str
    email: str
    """A text with the id, once the account was deleted."""
    since: datetime
    deleted_at: datetime | None
    suspended_at: datetime | None
    suspension_reason: str | None
    sessions: int
    """How many sessions haven't ended."""
    lines: Sequence[str]
    """A line about each order and each listing, the newest first."""


async def person(sources: Sources, user_id: str) -> Person:
    """Read the person with this id.

    Raises:
        NotFound
    """
    auth = sources.database("auth")
    user = await auth["users"].find_one({"_id": ObjectId(user_id)})
    if user is None:
        raise NotFound(f"No person has the id {user_id}.")
    live = {"user_id": user_id, "ended_at": None, "expires_at": {"$gt": now()}}
    return Person(
        id=user_id,
        email=user["email"],
        since=user["created_at"],
        deleted_at=user.get("deleted_at"),
        suspended_at=user.get("suspended_at"),
        suspension_reason=user.get("suspension_reason"),
        sessions=await auth["sessions"].count_documents(live),
        lines=(await of_person(sources, user_id)).lines,
    )


async def id_of(settings: Settings, given: str) -> str:
    """The id in `given`, which is the id itself or an email address. Only the database of auth is read.

    Raises:
        NotFound: nobody has this address. An id is not checked: auth does it.
        pymongo.errors.PyMongoError
    """
    address = normalised_email(given)
    if ID.fullmatch(address):
        return address
    async with connect(settings.database, socketTimeoutMS=15_000) as mongo:
        user = await mongo.get_database("auth")["users"].find_one({"email": address}, {"_id": 1})
    if user is None:
        raise NotFound(f"Nobody has the email address {address}.")
    return str(user["_id"])


async def suspend(settings: Settings, user_id: str, reason: str) -> str:
    """Suspend a person. Return a message for the operator. Repeating it is harmless.

    Raises:
        CommandError
    """
    path = f"/api/users/{user_id}/suspension"
    result = await _request(settings, "PUT", path, {"reason": reason}, f"Person {user_id} isn't suspended")
    return f"Person {user_id} is suspended. {_sessions(result)}"


async def lift(settings: Settings, user_id: str) -> str:
    """Let a person sign in again. Return a message for the operator. Repeating it is harmless.

    Raises:
        CommandError
    """
    path = f"/api/users/{user_id}/suspension"
    await _request(settings, "DELETE", path, None, f"The suspension of person {user_id} isn't lifted")
    return f"Person {user_id} can sign in."


async def end_sessions(settings: Settings, user_id: str) -> str:
    """End all sessions of a person. Return a message for the operator. Repeating it is harmless.

    Raises:
        CommandError
    """
    path = f"/api/users/{user_id}/sessions"
    failure = f"Not all sessions of person {user_id} have ended"
    return _sessions(await _request(settings, "DELETE", path, None, failure))


def _sessions(result: Any) -> str:
    count = result["endedSessions"]
    if count == 0:
        return "There was no session to end."
    return "One session has ended." if count == 1 else f"{count} sessions have ended."


async def _request(
    conf: Settings, method: str, path: str, body: Mapping[str, Any] | None, failure: str
) -> Any:
    unknown = "nobody has this id"
    async with operator_api.client() as http:
        return await operator_api.request(
            http, conf, "auth", path, body, failure=failure, unknown=unknown, method=method
        )
