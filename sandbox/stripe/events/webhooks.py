"""Telling the shop of events: https://docs.stripe.com/webhooks

What is to be delivered is written in the transaction of the event, so no crash loses any; what was
delivered just before a crash may be delivered again.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import random
import time
from contextlib import suppress
from dataclasses import dataclass

import aiohttp

from sandbox.stripe.events.log import Delivery, EventLog
from sandbox.stripe.rendering import event
from sandbox.stripe.store import Ledger, Store

log = logging.getLogger(__name__)

AT_ONCE = 4
TIMEOUT_SECONDS = 10
MOST_TRIES = 15
LONGEST_DELAY = 300.0
LONGEST_PAUSE = 15.0
"""Seconds between two looks at an endpoint that can't be reached at all."""


@dataclass(frozen=True)
class Endpoint:
    url: str
    secret: str
    """What deliveries are signed with."""


def sign(body: bytes, secret: str, timestamp: int) -> str:
    """The Stripe-Signature header: https://docs.stripe.com/webhooks#verify-manually"""
    signed = hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256)
    return f"t={timestamp},v1={signed.hexdigest()}"


def delay(tries: int, *, longest: float = LONGEST_DELAY) -> float:
    """Seconds to wait after so many failures: about 1, 2, 4 and so on."""
    return float(min(2 ** min(tries - 1, 30), longest)) * random.uniform(0.75, 1.25)  # noqa: S311 spreads load


def _plan(
    ledger: Ledger, outcomes: list[tuple[Delivery, bool]], busy: set[int], room: int
) -> tuple[list[Delivery], float | None]:
    """Keep what came of the last deliveries.

    Gives those to try now, and the seconds until there may be more; None: until something happens.
    """
    events, now = EventLog(ledger.connection), time.time()
    for delivery, told in outcomes:
        tries = delivery.tries + 1
        if told or tries >= MOST_TRIES:
            events.done(delivery.number)
        else:
            events.again(delivery.number, tries, now + delay(tries))
    if room <= 0:
        return [], None
    found = events.due(now, room + len(busy))
    due = [delivery for delivery in found if delivery.number not in busy][:room]
    later = None if len(due) == room else events.next_due(now)
    return due, None if later is None else max(later - now, 0.01)


class Webhooks:
    """Delivers a few at once. While nothing can be reached, one at a time is tried, and ever less often."""

    def __init__(self, store: Store, endpoint: Endpoint) -> None:
        self._store = store
        self._endpoint = endpoint
        self._awake = asyncio.Event()
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._outcomes: list[tuple[Delivery, bool]] = []
        self._unreached = 0
        """How often in a row there was no connection."""
        self._paused_until = 0.0

    def wake(self) -> None:
        """There may be something to deliver."""
        self._awake.set()

    async def deliver(self) -> None:
        """Runs until it's cancelled."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            try:
                while True:
                    await self._turn(http)
            finally:
                for task in self._under_way.values():
                    task.cancel()
                await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def _turn(self, http: aiohttp.ClientSession) -> None:
        self._awake.clear()
        outcomes, self._outcomes = self._outcomes, []
        for delivery, _ in outcomes:
            self._under_way.pop(delivery.number, None)
        busy, room = set(self._under_way), self._room()
        try:
            due, wait = await self._store.run(lambda ledger: _plan(ledger, outcomes, busy, room))
        except Exception:
            log.exception("webhooks can't be looked up")
            self._outcomes = outcomes + self._outcomes
            due, wait = [], 1.0
        for delivery in due:
            task = asyncio.create_task(self._attempt(http, delivery))
            self._under_way[delivery.number] = task
        pause = self._paused_until - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)  # and new events change nothing
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._awake.wait()

    def _room(self) -> int:
        """How many more may be tried now."""
        if time.monotonic() < self._paused_until:
            return 0
        return (1 if self._unreached else AT_ONCE) - len(self._under_way)

    async def _attempt(self, http: aiohttp.ClientSession, delivery: Delivery) -> None:
        told = False
        try:
            told = await self._post(http, delivery)
            self._unreached = 0
        except aiohttp.ClientConnectorError as error:
            self._unreachable(error)
        except (aiohttp.ClientError, TimeoutError):
            self._unreached = 0
        except Exception:
            log.exception("a webhook couldn't be sent")
        if not told and delivery.tries + 1 >= MOST_TRIES:
            log.warning("webhook %s (%s) is given up", delivery.event.id, delivery.event.type)
        self._outcomes.append((delivery, told))
        self.wake()

    async def _post(self, http: aiohttp.ClientSession, delivery: Delivery) -> bool:
        body = json.dumps(event(delivery.event), ensure_ascii=False).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(body, self._endpoint.secret, int(time.time())),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        async with http.post(self._endpoint.url, data=body, headers=headers, allow_redirects=False) as answer:
            return 200 <= answer.status < 300

    def _unreachable(self, error: Exception) -> None:
        if not self._unreached:
            log.warning("webhooks wait: %s", error)
        if time.monotonic() < self._paused_until:
            return  # another one, tried at the same time, has said so
        self._unreached += 1
        self._paused_until = time.monotonic() + delay(self._unreached, longest=LONGEST_PAUSE)
