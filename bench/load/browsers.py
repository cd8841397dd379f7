"""Many browsers with open pages. They receive signals, and fetch changed cards as the page's script does."""

import asyncio
import json
import random
import re
import time
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, NamedTuple

import nats
from nats.aio.msg import Msg

from bench.load.http import Client, Server, SignalStream, open_stream
from bench.load.plans import Browsers, Watched

BATCH_DELAY = 0.05, 0.25
"""Minimum and maximum seconds for which the script collects changes before it fetches them."""
RETRY_DELAY = 2.0, 3.0
"""Minimum and maximum seconds after which the script repeats a failed request."""
CHECK_SECONDS, CHECKS = 0.5, 8
"""After the last change, updates are awaited for four seconds."""
CONCURRENT_OPENINGS = 8

_CHANGE = re.compile(rb"Change (\d+) of ticket (\d+)")


class Sighting(NamedTuple):
    """A change that a screen shows."""

    moment: float
    """On the monotonic clock."""
    ticket: int
    change: int


class Browser:
    """Watches all tickets of the plan, and records when it sees which change of which ticket."""

    def __init__(self, number: int, plan: Browsers, client: Client) -> None:
        self.signals: dict[int, float] = {}
        """When the signal of each event arrived, by the event's sequence number."""
        self.seen: list[Sighting] = []
        self.fetches = self.refused = 0
        self._plan = plan
        self._client = client
        self._changed: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._address = f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"
        self._stream: SignalStream | None = None

    async def open(self) -> None:
        """Open the stream. Each browser has its own address, because streams per address are limited."""
        topics = "&".join(f"ticket={ticket}" for ticket in self._plan.tickets)
        server = self._client.server
        request = server.head(
            "GET", f"/live?{topics}", Accept="text/event-stream", X_Forwarded_For=self._address
        )
        self._stream = await open_stream(server, request, self._receive)

    def _receive(self, name: bytes, about: bytes, number: int | None) -> None:
        if name == b"ticket":
            if number is not None:
                self.signals[number] = time.time()
            self._fetch_later({about.decode()})
        elif name == b"resync":
            self._fetch_later(set(self._plan.tickets))

    def _fetch_later(self, tickets: set[str]) -> None:
        if not self._plan.fetches:
            return
        if not self._changed:
            delay = random.uniform(*BATCH_DELAY)  # noqa: S311 - as in the page's script
            asyncio.get_running_loop().call_later(delay, self._fetch_changed)
        self._changed |= tickets

    def _fetch_changed(self) -> None:
        tickets, self._changed = self._changed, set()
        self._start(self._fetch_cards(tickets))

    async def _fetch_cards(self, tickets: set[str]) -> None:
        several = "&".join(f"id={ticket}" for ticket in tickets)
        if len(tickets) == 1 or not await self._fetch(f"/cards?{several}"):
            await asyncio.gather(*map(self._fetch_card, tickets))

    async def _fetch_card(self, ticket: str) -> None:
        if not await self._fetch(f"/tickets/{ticket}/card"):
            await asyncio.sleep(random.uniform(*RETRY_DELAY))  # noqa: S311 - as in the page's script
            self._start(self._fetch_card(ticket))

    async def _fetch(self, path: str) -> bool:
        """Fetch cards and look at them. Return whether there was a response."""
        self.fetches += 1
        response = await self._client.request(
            self._client.server.head("GET", path, HX_Request="true", HX_Request_Type="partial")
        )
        now = time.monotonic()
        self.seen += [
            Sighting(now, int(ticket), int(change)) for change, ticket in _CHANGE.findall(response.body)
        ]
        is_refused = response.status == 0 or response.status >= 500
        self.refused += is_refused
        return not is_refused

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        for task in self._tasks:
            task.cancel()


class Crowd:
    """All browsers, and the seller whose changes they see."""

    def __init__(self, plan: Browsers) -> None:
        self._plan = plan
        self._client = Client(Server.of(plan.url))
        self._browsers: list[Browser] = []
        self._stored: dict[int, float] = {}
        """When each event was stored in the stream, by its sequence number."""
        self._sent: dict[int, float] = {}
        """When each accepted change was sent."""
        self._refused = 0

    async def prepare(self) -> None:
        """Open all streams."""
        self._bus = await nats.connect(self._plan.nats)
        await self._bus.subscribe("live.ticket.updated", cb=self._store)
        self._browsers = [Browser(number, self._plan, self._client) for number in range(self._plan.browsers)]
        few = asyncio.Semaphore(CONCURRENT_OPENINGS)

        async def open_one(browser: Browser) -> None:
            async with few:
                await browser.open()

        await asyncio.gather(*map(open_one, self._browsers))

    async def _store(self, message: Msg) -> None:
        headers = message.headers or {}
        if json.loads(message.data)["id"] in self._plan.tickets:
            self._stored[int(headers["Nats-Sequence"])] = timestamp(headers["Nats-Time-Stamp"])

    async def run(self) -> Watched:
        """Change the tickets at a constant rate."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as changes:
            for number in range(1, round(self._plan.rate * self._plan.seconds) + 1):
                due = began + number / self._plan.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                changes.create_task(self._change(number, due))
        result = self._result()
        for _ in range(CHECKS):
            await asyncio.sleep(CHECK_SECONDS)
            if not (result := self._result()).is_incomplete:
                break
        return result

    async def _change(self, number: int, due: float) -> None:
        ticket = number % len(self._plan.tickets)
        title = f"Change {number} of ticket {ticket}"
        body = json.dumps({"title": title, "price": 20}).encode()
        path = f"/api/tickets/{self._plan.tickets[ticket]}"
        response = await self._client.request(
            self._client.server.post("PUT", path, body, Cookie=self._plan.seller)
        )
        if response.status == 200:
            self._sent[number] = due
        else:
            self._refused += 1

    def _result(self) -> Watched:
        signals, updates = list[float](), list[float]()
        for browser in self._browsers:
            signals += [
                (browser.signals[number] - stored) * 1000
                for number, stored in self._stored.items()
                if number in browser.signals
            ]
            updates += delays(browser.seen, self._sent, len(self._plan.tickets))
        browsers = len(self._browsers)
        return Watched(
            signals=signals,
            missing_signals=browsers * len(self._stored) - len(signals),
            updates=updates,
            missing_updates=browsers * len(self._sent) - len(updates) if self._plan.fetches else 0,
            refused_changes=self._refused,
            refused_fetches=sum(browser.refused for browser in self._browsers),
            fetches=sum(browser.fetches for browser in self._browsers),
        )

    async def close(self) -> None:
        for browser in self._browsers:
            browser.close()
        self._client.close()
        await self._bus.close()


def delays(seen: list[Sighting], sent: dict[int, float], tickets: int) -> list[float]:
    """Milliseconds from each change to the first time at which the screen showed it or a later one."""
    shown, delays = dict[int, int](), list[float]()
    for moment, ticket, change in seen:
        last = shown.get(ticket, 0)
        if change > last:
            shown[ticket] = change
            first = last + tickets if last else ticket or tickets
            delays += [
                (moment - sent[number]) * 1000
                for number in range(first, change + 1, tickets)
                if number in sent
            ]
    return delays


def timestamp(text: str) -> float:
    """Seconds since 1970. NATS writes nanoseconds, without final zeros, which Python can't parse."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{seconds}+00:00").timestamp() + float(f"0.{fraction or 0}")
