"""Which users' accounts are being deleted, or were: a service accepts nothing new from them.

A request of the user may be under way while the account is deleted. A service therefore stores first what
the request adds, and then calls `is_closed`. Whoever deletes the account calls `close` first, and then looks
at what is stored. So at least one of them sees what the other has done.
"""

from datetime import timedelta

from beanie import Document
from pymongo import ASCENDING, IndexModel

from contracts.wire import Moment, now


class ClosedUser(Document):
    """A user from whom the service accepts nothing new."""

    id: str  # type: ignore[assignment] # the user's id is its key
    attempt: str
    """The attempt to delete the account that closed it last. Only that one may reopen it."""
    expires_at: Moment

    class Settings:
        name = "closed_users"
        indexes = [IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0)]


async def close(user_id: str, attempt: str, lifetime: timedelta) -> None:
    """Accept nothing new from this user any more.

    Args:
        lifetime: how long a session's token is valid. After that time, nobody has one of this user.
    """
    closed = {"attempt": attempt, "expires_at": now() + lifetime}
    await ClosedUser.get_pymongo_collection().update_one({"_id": user_id}, {"$set": closed}, upsert=True)


async def reopen(user_id: str, attempt: str) -> None:
    """Undo `close`, unless another attempt has closed the user since."""
    await ClosedUser.get_pymongo_collection().delete_one({"_id": user_id, "attempt": attempt})


async def is_closed(user_id: str) -> bool:
    """Whether the user was closed. Call it after storing something, never before."""
    found = await ClosedUser.get_pymongo_collection().find_one({"_id": user_id}, {"_id": 1})
    return found is not None
