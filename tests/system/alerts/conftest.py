"""A marketplace of its own, which tests break in order to trigger alerts."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import nats
import pytest
import pytest_asyncio
from nats.js import JetStreamContext

from contracts.wire import now
from kit.mongo import Database, connect
from kit.nats import EVENTS
from settings import SERVICES, ServiceName
from streams.processes import PROCESSES
from tests.support.often import often
from tests.support.people import Person, signed_up
from tests.support.polling import TIMEOUT, until
from tests.support.prometheus import Scrape, assert_firing, scrape
from tests.support.stack import Stack, stagedoor

GAUGES_AT_REST = (
    "stagedoor_consumer_pending_messages",
    "stagedoor_consumer_unacknowledged_messages",
    "stagedoor_dead_letters_stored",
    "stagedoor_outbox_documents",
    "stagedoor_payments_undecided",
)


@dataclass
class Monitored:
    """A running marketplace, and its metrics before a test breaks something."""

    stack: Stack
    before: Scrape

    async def scrape(self) -> Scrape:
        return await _scrape(self.stack)

    async def shows(self, condition: Callable[[Scrape], object]) -> Scrape:
        """The first metrics that satisfy the condition."""
        return await until(self.scrape, condition, seconds=2 * TIMEOUT)

    def has_grown(self, name: str, **labels: str) -> Callable[[Scrape], bool]:
        """Whether a counter has grown since the test began."""
        return lambda found: found.value(name, **labels) > self.before.value(name, **labels)

    async def alerts(self, condition: Callable[[Scrape], object], *alerts: str, apart_from: str = "") -> None:
        """Wait for metrics that satisfy the condition. Then check that exactly these alerts fire.

        Args:
            apart_from: an alert that may fire too, because it depends on the speed of the machine.
        """
        await assert_firing(self.before, await self.shows(condition), *alerts, apart_from=apart_from)

    @asynccontextmanager
    async def jetstream(self) -> AsyncIterator[JetStreamContext]:
        """JetStream as operators use it."""
        connection = await nats.connect(self.stack.bus)
        try:
            yield connection.jetstream(timeout=10)
        finally:
            await connection.close()

    @asynccontextmanager
    async def paused(self, *consumers: str, stream: str = "EVENTS") -> AsyncIterator[JetStreamContext]:
        """Let the server deliver nothing to these consumers within the block."""
        async with self.jetstream() as js:
            for consumer in consumers:
                await _pause(js, f"{stream}.{consumer}", {"pause_until": _in_an_hour()})
            self.before = await self.scrape()
            try:
                yield js
            finally:
                for consumer in consumers:
                    await _pause(js, f"{stream}.{consumer}", {})

    async def gaps_are_found(self, js: JetStreamContext) -> None:
        """Wait until all owners of events have noticed what EVENTS lacks. A later look would raise an alert
        in the next test: an owner can't know whether an idle consumer has received what is gone."""
        first = (await js.stream_info(EVENTS)).state.first_seq
        async with connect(self.stack.settings.database) as client:

            async def positions() -> list[int]:
                owners = [client.get_database(service.name) for service in PROCESSES if service.repairs_gaps]
                return [each["position"] for owner in owners async for each in owner["consumers"].find()]

            await until(positions, lambda found: found and min(found) >= first - 1)

    @asynccontextmanager
    async def database(self, name: ServiceName) -> AsyncIterator[Database]:
        async with connect(self.stack.settings.database) as client:
            yield client.get_database(name)

    @asynccontextmanager
    async def faults_of_stripe(self, **faults: Any) -> AsyncIterator[None]:
        """Let requests to the Stripe sandbox fail within the block."""
        async with httpx.AsyncClient(base_url=str(self.stack.settings.stripe_base), timeout=TIMEOUT) as http:
            (await http.post("/faults", data={"rate": 1, **faults})).raise_for_status()
            try:
                yield
            finally:
                (await http.delete("/faults")).raise_for_status()


async def _pause(js: JetStreamContext, consumer: str, request: dict[str, str]) -> None:
    answer = await js._nc.request(
        f"$JS.API.CONSUMER.PAUSE.{consumer}", json.dumps(request).encode(), timeout=10
    )
    assert b'"error"' not in answer.data, answer.data


def _in_an_hour() -> str:
    return (now() + timedelta(hours=1)).isoformat()


async def _scrape(stack: Stack) -> Scrape:
    return await scrape({**{str(name): stack.settings.url_of(name) for name in SERVICES}, "web": stack.web})


def is_calm(found: Scrape) -> bool:
    """Whether nothing is left of what an earlier test has broken."""
    parts = [value for (name, _), value in found.values.items() if name in ("stagedoor_ready", "up")]
    return len(parts) > 20 and all(parts) and not any(found.value(name) for name in GAUGES_AT_REST)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def breakable(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A marketplace that stops after these tests: measuring so often, it would slow down all others."""
    folder = tmp_path_factory.mktemp("alerts") / "data"
    async with stagedoor(folder, often, variants=False) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def monitored(breakable: Stack) -> Monitored:
    return Monitored(breakable, await until(lambda: _scrape(breakable), is_calm, seconds=2 * TIMEOUT))


@pytest_asyncio.fixture(loop_scope="session")
async def people(breakable: Stack, monitored: Monitored) -> AsyncIterator[tuple[Person, Person]]:
    """A seller and a buyer."""
    async with signed_up(breakable.web, 2) as (seller, buyer):
        yield seller, buyer
