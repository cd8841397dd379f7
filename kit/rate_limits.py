"""Rate limits that all instances of a service share: counters in the service's database."""

from datetime import UTC, datetime, timedelta

from beanie import Document
from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from contracts.wire import now
from kit.errors import TooManyRequests
from kit.networks import WIDE_FACTOR, networks_of

WINDOW_SECONDS = 60


class RateCounter(Document):
    """How often one caller performed an action in one minute."""

    id: str  # type: ignore[assignment] # the counter's own name is its key
    times: int
    expires_at: datetime

    class Settings:
        name = "rate_counters"
        indexes = [IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0)]


async def limit_networks(action: str, address: str, per_minute: int) -> None:
    """Count one `action` of a client's networks. The wide network may have `WIDE_FACTOR` times as many.

    Addresses without networks (`networks_of`) have no limit.

    Raises:
        TooManyRequests: the limit of this minute is reached.
    """
    networks = networks_of(address)
    if networks is not None:
        await limit(action, networks.narrow, per_minute)
        await limit(action, networks.wide, per_minute * WIDE_FACTOR)


async def limit(action: str, who: str, per_minute: int) -> None:
    """Count one `action` of the caller `who`. If `per_minute` is 0, there is no limit.

    Raises:
        TooManyRequests: the limit of this minute is reached.
    """
    if per_minute == 0:
        return
    second = now().timestamp()
    window = int(second // WINDOW_SECONDS)
    counter = f"{action}:{who}:{window}"
    expires = datetime.fromtimestamp((window + 2) * WINDOW_SECONDS, UTC) + timedelta(seconds=1)
    within_limit = {"_id": counter, "times": {"$lt": per_minute}}
    count = {"$inc": {"times": 1}, "$setOnInsert": {"expires_at": expires}}
    for _ in range(2):
        try:
            # MongoDB upserts in one command. Beanie's `upsert` would send an update and then an insert.
            await RateCounter.get_pymongo_collection().update_one(within_limit, count, upsert=True)
        except DuplicateKeyError:
            continue  # the limit is reached, or another process just inserted the counter: retry once
        return
    raise TooManyRequests(retry_after=int((window + 1) * WINDOW_SECONDS - second) + 1)
