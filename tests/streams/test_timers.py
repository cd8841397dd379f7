"""Timers of JetStream fire once, also after everything died."""

import signal
from collections.abc import AsyncIterator
from datetime import timedelta

import nats
import pytest_asyncio
from faststream.nats import NatsBroker
from nats.js import JetStreamContext

from contracts.events import ExpirationComplete
from contracts.wire import now
from sandbox.processes import nats as nats_process
from sandbox.testing import running
from streams.timers import JetStreamTimers
from streams.topology import provision
from tests.people import until
from tests.streams.conftest import Nats, stored

ORDER = "a" * 24
SOON = (0.2, 1.0, 5.0, 25.0)
"""Seconds for what has to be done before a timer is due: more, if the machine wasn't quick enough."""


def due(seconds: float, order: str = ORDER) -> ExpirationComplete:
    return ExpirationComplete(order_id=order, expires_at=now() + timedelta(seconds=seconds))


@pytest_asyncio.fixture
async def timers(server: Nats, js: JetStreamContext) -> AsyncIterator[JetStreamTimers]:
    async with NatsBroker(server.url, logger=None) as broker:
        yield JetStreamTimers(broker)


async def fired(js: JetStreamContext) -> list[ExpirationComplete]:
    """What has arrived at timers.due."""
    return [
        ExpirationComplete.model_validate_json(message.data or b"")
        for message in await stored(js, "TIMERS")
        if message.subject and message.subject.startswith("timers.due.")
    ]


async def waiting(js: JetStreamContext) -> int:
    info = await js.stream_info("TIMERS", subjects_filter="timers.set.>")
    return len(info.state.subjects or {})


async def test_a_timer_fires_when_its_time_has_come(timers: JetStreamTimers, js: JetStreamContext) -> None:
    event = due(0.3)
    await timers.set(event)
    assert await fired(js) == [] or now() >= event.expires_at
    assert await until(lambda: fired(js), len) == [event]
    assert now() >= event.expires_at


async def test_a_time_that_is_past_fires_at_once(timers: JetStreamTimers, js: JetStreamContext) -> None:
    event = due(-60)
    await timers.set(event)
    assert await until(lambda: fired(js), len) == [event]


async def test_a_cleared_timer_never_fires(timers: JetStreamTimers, js: JetStreamContext) -> None:
    for seconds in SOON:
        await js.purge_stream("TIMERS")
        cleared, later = due(seconds), due(2 * seconds, order="b" * 24)
        await timers.set(cleared)
        await timers.set(later)
        await timers.clear(ORDER)
        if now() < cleared.expires_at:
            break
    assert await until(lambda: fired(js), len) == [later]


async def test_old_news_of_an_order_does_not_replace_its_later_timer(
    timers: JetStreamTimers, js: JetStreamContext
) -> None:
    early, late = due(0.2), due(0.6)
    await timers.set(late)
    await timers.set(early)
    seen = await until(lambda: fired(js), lambda seen: len(seen) == 2)
    assert sorted(seen, key=lambda event: event.expires_at) == [early, late]


async def test_setting_a_timer_twice_fires_it_once(timers: JetStreamTimers, js: JetStreamContext) -> None:
    for seconds in SOON:
        await js.purge_stream("TIMERS")
        event, witness = due(seconds), due(2 * seconds, order="b" * 24)
        for each in (event, event, witness):
            await timers.set(each)
        if now() < event.expires_at:
            break
    await until(lambda: fired(js), lambda seen: witness in seen)
    assert (await fired(js)).count(event) == 1
    assert await waiting(js) == 0


async def test_what_is_due_twice_is_announced_once(timers: JetStreamTimers, js: JetStreamContext) -> None:
    event = due(0)
    await timers.announce(event)
    await timers.announce(event)
    (message,) = await stored(js, "EVENTS")
    assert message.subject == "expiration.complete"
    assert ExpirationComplete.model_validate_json(message.data or b"") == event


async def test_a_timer_survives_the_death_of_the_server(server: Nats) -> None:
    process = nats_process(server.port, server.store)
    log = server.store.with_name("nats.log")
    async with running(process, log, signal.SIGKILL):
        connection = await nats.connect(server.url)
        await provision(connection.jetstream())
        await connection.close()
        async with NatsBroker(server.url, logger=None) as broker:
            event = due(0.5)
            await JetStreamTimers(broker).set(event)
    async with running(process, log, signal.SIGKILL):
        connection = await nats.connect(server.url)
        assert await until(lambda: fired(connection.jetstream()), len) == [event]
        await connection.close()
