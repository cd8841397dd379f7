"""Rate limits that all instances of a service share: counters in the service's database."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from beanie import Document
from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError

from contracts.wire import now
from kit.errors import TooManyRequests, Unavailable
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
    window = _Window(WINDOW_SECONDS)
    within_limit = {"_id": window.counter(action, who), "times": {"$lt": per_minute}}
    increment = {"$inc": {"times": 1}, "$setOnInsert": {"expires_at": window.expires_at}}
    for _ in range(2):
        try:
            # MongoDB upserts in one command. Beanie's `upsert` would send an update and then an insert.
            await RateCounter.get_pymongo_collection().update_one(within_limit, increment, upsert=True)
        except DuplicateKeyError:
            continue  # the limit is reached, or another process just inserted the counter: retry once
        return
    raise TooManyRequests(retry_after=window.rest)


async def count(action: str, who: str, *, window: int = WINDOW_SECONDS) -> int:
    """Count one `action` of the caller `who` without a limit. Returns how many there were in this window.

    Args:
        window: its length in seconds.
    """
    current = _Window(window)
    counter = {"_id": current.counter(action, who)}
    counters = RateCounter.get_pymongo_collection()
    for _ in range(2):
        found = await counters.find_one_and_update(
            counter, {"$inc": {"times": 1}}, return_document=ReturnDocument.AFTER
        )
        if found is not None:
            return int(found["times"])
        with suppress(DuplicateKeyError):  # another process just inserted the counter
            await counters.insert_one({**counter, "times": 0, "expires_at": current.expires_at})
    raise Unavailable  # the clock jumped, and the counter has expired


async def require_fewer(action: str, who: str, most: int, *, window: int = WINDOW_SECONDS) -> None:
    """Check, without counting, that there were fewer than `most` in this window.

    Raises:
        TooManyRequests: the limit is reached.
    """
    current = _Window(window)
    found = await RateCounter.find_one({"_id": current.counter(action, who)})
    if found is not None and found.times >= most:
        raise TooManyRequests(retry_after=current.rest)


class _Window:
    """The present period in which actions are counted together."""

    def __init__(self, seconds: int) -> None:
        second = now().timestamp()
        self._number = int(second // seconds)
        self.rest = int((self._number + 1) * seconds - second) + 1
        """Seconds until the next window begins."""
        self.expires_at = datetime.fromtimestamp((self._number + 2) * seconds, UTC) + timedelta(seconds=1)

    def counter(self, action: str, who: str) -> str:
        """The name of a counter."""
        return f"{action}:{who}:{self._number}"
