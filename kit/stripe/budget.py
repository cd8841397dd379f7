"""The budget of requests to Stripe, which all processes of a service share.

Stripe limits the requests of an account per second. A buyer's request is sent at once and counted. Background
work waits until buyers leave something of the budget. The counts are in the service's database, so that the
budget is the same for any number of processes.
"""

import asyncio
import random
from asyncio import sleep
from contextlib import suppress
from datetime import datetime, timedelta
from time import monotonic

from beanie import Document
from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from contracts.wire import now
from kit.stripe.metrics import PAUSED, WAITED

BACKGROUND_SHARE = 10
"""Background work gets at least the budget divided by this number, and at least 1, whatever buyers need."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds for which background work pauses after a 429 that has no Retry-After."""

KEPT = timedelta(minutes=1)


class StripeUse(Document):
    """The requests of all processes within one second."""

    id: str  # type: ignore[assignment] # the second itself is its key
    buyers: int
    background: int
    expires_at: datetime

    class Settings:
        name = "stripe_use"
        indexes = [IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0)]


class Budget:
    """How many requests the background work of all processes may send.

    Args:
        per_second: the requests of buyers and background work together; 0 for no limit.
    """

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._buyers = 0
        """Requests of this process's buyers that aren't stored yet."""
        self._turn = asyncio.Lock()
        self._paused_until = 0.0
        self._rejections = 0
        PAUSED.set_function(lambda: self.is_paused)

    @property
    def is_paused(self) -> bool:
        """Whether background work sends nothing, because Stripe has just answered 429."""
        return monotonic() < self._paused_until

    def count(self) -> None:
        """Count a request of a buyer. It never waits."""
        self._buyers += 1

    async def take(self) -> None:
        """Wait until background work may send a request."""
        async with self._turn:
            while seconds := await self._wait_or_take():
                await sleep(seconds)
                WAITED.inc(seconds)

    async def report(self) -> None:
        """Store how many requests the buyers of this process have caused. To be called every second."""
        if self._buyers and self._per_second:
            await self._store(now())

    def answered(self, status: int, retry_after: str | None) -> None:
        """Pause the background work of this process if Stripe has answered 429.

        Args:
            retry_after: the header of this name, in seconds. Without it, repeated pauses become longer.
        """
        if self.is_paused:
            return
        if status != 429:
            self._rejections = 0
            return
        self._rejections += 1
        seconds = min(FIRST_PAUSE * 2.0 ** min(self._rejections - 1, 10), LONGEST_PAUSE)
        with suppress(ValueError):
            seconds = min(max(float(retry_after or ""), 0.0), LONGEST_PAUSE)
        self._paused_until = monotonic() + seconds

    async def _wait_or_take(self) -> float:
        """Take one request from the budget and return 0, or return the seconds until the next attempt."""
        if self.is_paused:
            return max(self._paused_until - monotonic(), 0.01)
        moment = now()
        if not self._per_second or await self._take_within(moment):
            return 0
        rest = 1 - moment.microsecond / 1_000_000
        # The processes try at slightly different times, so that they share what is left.
        return rest + random.uniform(0, 0.1)  # noqa: S311 - spreads load, guards no secret

    async def _take_within(self, moment: datetime) -> bool:
        """Take one request from the budget of this second. Return False if nothing is left of it."""
        await self._store(moment)
        this, before = _key(moment), _key(moment - timedelta(seconds=1))
        uses = StripeUse.get_pymongo_collection()
        found = await uses.find({"_id": {"$in": [this, before]}}, {"buyers": 1}).to_list()
        # Buyers come at any time of a second. What they needed in the last one is kept for them.
        buyers = max((use["buyers"] for use in found), default=0)
        left = max(self._per_second - buyers, self._per_second // BACKGROUND_SHARE, 1)
        taken = await uses.update_one({"_id": this, "background": {"$lt": left}}, {"$inc": {"background": 1}})
        return taken.matched_count == 1

    async def _store(self, moment: datetime) -> None:
        buyers, self._buyers = self._buyers, 0
        counted = {
            "$inc": {"buyers": buyers},
            "$setOnInsert": {"background": 0, "expires_at": moment + KEPT},
        }
        uses = StripeUse.get_pymongo_collection()
        try:
            await uses.update_one({"_id": _key(moment)}, counted, upsert=True)
        except DuplicateKeyError:  # another process has inserted it between the search and the insert
            await uses.update_one({"_id": _key(moment)}, counted, upsert=True)


def _key(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S")
