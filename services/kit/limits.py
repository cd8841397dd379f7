"""Rate limits that hold across all copies of a service: counters in its database."""

from datetime import UTC, datetime, timedelta

from beanie import Document
from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from contracts.wire import now
from services.kit.errors import TooManyRequests

WINDOW_SECONDS = 60


class RateCounter(Document):
    """How often somebody did something in one minute."""

    id: str  # type: ignore[assignment] # the counter's own name is its key
    times: int
    expires_at: datetime

    class Settings:
        name = "rate_counters"
        indexes = [IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0)]


async def limit(action: str, who: str, per_minute: int) -> None:
    """Count one `action` of `who`; 0 a minute means without limit.

    Raises:
        TooManyRequests: it was one too many in this minute.
    """
    if per_minute == 0:
        return
    second = now().timestamp()
    window = int(second // WINDOW_SECONDS)
    counter = f"{action}:{who}:{window}"
    expires = datetime.fromtimestamp((window + 2) * WINDOW_SECONDS, UTC) + timedelta(seconds=1)
    for _ in range(2):  # a first count that somebody else inserted at the same time is counted anew
        try:
            await RateCounter.get_pymongo_collection().update_one(
                {"_id": counter, "times": {"$lt": per_minute}},
                {"$inc": {"times": 1}, "$setOnInsert": {"expires_at": expires}},
                upsert=True,
            )
        except DuplicateKeyError:
            continue
        return
    raise TooManyRequests(retry_after=int((window + 1) * WINDOW_SECONDS - second) + 1)
