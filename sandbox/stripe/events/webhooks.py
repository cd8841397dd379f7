"""Delivers events to the shop: https://docs.stripe.com/webhooks

A delivery is stored in the transaction of its event, so that a crash loses no delivery. A webhook that was
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
from sandbox.stripe.faults import Faults
from sandbox.stripe.rendering import event
from sandbox.stripe.store import Ledger, Store

log = logging.getLogger(__name__)

MAX_CONCURRENCY = 4
TIMEOUT_SECONDS = 10
MAX_TRIES = 15
MAX_DELAY = 300.0
MAX_PAUSE = 15.0
"""Maximum number of seconds between two attempts to reach an endpoint that is down."""


@dataclass(frozen=True)
class Endpoint:
    url: str
    secret: str
    """The key of the signatures."""
    name: str = "payments"
    """Under this name, its deliveries are stored."""
    topics: tuple[str, ...] = ("charge", "checkout", "payment_intent", "refund")
    """It gets the events whose types begin with one of these words."""

    def wants(self, event_type: str) -> bool:
        return event_type.partition(".")[0] in self.topics


CONNECT_TOPICS = ("account", "payout", "transfer")
"""The topics of an endpoint that follows connected accounts and the money on its way to them."""


def sign(body: bytes, secret: str, timestamp: int) -> str:
    """The Stripe-Signature header: https://docs.stripe.com/webhooks#verify-manually"""
    signed = hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256)
    return f"t={timestamp},v1={signed.hexdigest()}"


def delay(tries: int, *, longest: float = MAX_DELAY) -> float:
    """Seconds to wait after the given number of failures: about 1, 2, 4 and so on."""
    return float(min(2 ** min(tries - 1, 30), longest)) * random.uniform(0.75, 1.25)  # noqa: S311 spreads load


def _plan(
    ledger: Ledger, endpoint: str, outcomes: list[tuple[Delivery, bool]], busy: set[int], limit: int
) -> tuple[list[Delivery], float | None]:
    """Save the outcomes of earlier deliveries and choose the next ones, up to `limit`.

    Returns the deliveries to attempt now, and the seconds until the next one is due, if that is known.
    """
    events, now = EventLog(ledger.connection), time.time()
    for delivery, succeeded in outcomes:
        tries = delivery.tries + 1
        if succeeded or tries >= MAX_TRIES:
            events.done(endpoint, delivery.number)
        else:
            events.retry(endpoint, delivery.number, tries, now + delay(tries))
    if limit <= 0:
        return [], None
    found = events.due(endpoint, now, limit + len(busy))
    due = [delivery for delivery in found if delivery.number not in busy][:limit]
    later = None if len(due) == limit else events.next_due(endpoint, now)
    return due, None if later is None else max(later - now, 0.01)


class Webhooks:
    """Delivers a few webhooks concurrently, or one at a time, with backoff, while the endpoint is down."""

    def __init__(self, store: Store, endpoint: Endpoint, faults: Faults) -> None:
        self.endpoint = endpoint
        self._store = store
        self._faults = faults
        self._awake = asyncio.Event()
        self._in_flight: dict[int, asyncio.Task[None]] = {}
        self._outcomes: list[tuple[Delivery, bool]] = []
        self._connection_failures = 0
        """The number of consecutive failures to connect."""
        self._paused_until = 0.0

    def wake(self) -> None:
        """Look for new deliveries at once."""
        self._awake.set()

    async def deliver(self) -> None:
        """Deliver webhooks until cancelled."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            try:
                while True:
                    await self._turn(http)
            finally:
                for task in self._in_flight.values():
                    task.cancel()
                await asyncio.gather(*self._in_flight.values(), return_exceptions=True)

    async def _turn(self, http: aiohttp.ClientSession) -> None:
        self._awake.clear()
        outcomes, self._outcomes = self._outcomes, []
        for delivery, _ in outcomes:
            self._in_flight.pop(delivery.number, None)
        busy, limit, endpoint = set(self._in_flight), self._free(), self.endpoint.name
        try:
            due, wait = await self._store.run(lambda ledger: _plan(ledger, endpoint, outcomes, busy, limit))
        except Exception:
            log.exception("reading webhooks from the store failed")
            self._outcomes = outcomes + self._outcomes
            due, wait = [], 1.0
        for delivery in due:
            task = asyncio.create_task(self._attempt(http, delivery))
            self._in_flight[delivery.number] = task
        pause = self._paused_until - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)  # new events don't shorten the pause
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._awake.wait()

    def _free(self) -> int:
        """The number of deliveries that may start now."""
        if time.monotonic() < self._paused_until:
            return 0
        return (1 if self._connection_failures else MAX_CONCURRENCY) - len(self._in_flight)

    async def _attempt(self, http: aiohttp.ClientSession, delivery: Delivery) -> None:
        succeeded = False
        try:
            succeeded = await self._deliver(http, delivery)
            self._connection_failures = 0
        except aiohttp.ClientConnectorError as error:
            self._unreachable(error)
        except (aiohttp.ClientError, TimeoutError):
            self._connection_failures = 0
        except Exception:
            log.exception("sending a webhook failed")
        if not succeeded and delivery.tries + 1 >= MAX_TRIES:
            log.warning("giving up on webhook %s (%s)", delivery.event.id, delivery.event.type)
        self._outcomes.append((delivery, succeeded))
        self.wake()

    async def _deliver(self, http: aiohttp.ClientSession, delivery: Delivery) -> bool:
        """Deliver with the injected faults, and return whether no further attempt is necessary."""
        match self._faults.of_webhook():
            case "webhook_lost":
                return True
            case "webhook_late":
                return False
            case "webhook_repeated":
                await self._post(http, delivery)
        return await self._post(http, delivery)

    async def _post(self, http: aiohttp.ClientSession, delivery: Delivery) -> bool:
        body = json.dumps(event(delivery.event), ensure_ascii=False).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(body, self.endpoint.secret, int(time.time())),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        async with http.post(self.endpoint.url, data=body, headers=headers, allow_redirects=False) as answer:
            return 200 <= answer.status < 300

    def _unreachable(self, error: Exception) -> None:
        if not self._connection_failures:
            log.warning("webhooks are paused: %s", error)
        if time.monotonic() < self._paused_until:
            return  # a concurrent delivery has started the pause
        self._connection_failures += 1
        self._paused_until = time.monotonic() + delay(self._connection_failures, longest=MAX_PAUSE)
