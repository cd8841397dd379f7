"""Timers in JetStream fire once, even if the NATS server is killed and restarted."""

import signal
from collections.abc import AsyncIterator
from datetime import timedelta

import nats
import pytest_asyncio
from faststream.nats import NatsBroker
from nats.js import JetStreamContext

from contracts.events import ExpirationComplete
from contracts.wire import now
from ops.provision import provision
from sandbox.processes import nats as nats_process
from sandbox.testing import running
from streams.timers import JetStreamTimers
from tests.integration.streams.conftest import Nats, expiration_timers, stored
from tests.support.polling import until

ORDER = "a" * 24
DELAYS = (0.2, 1.0, 5.0, 25.0)
"""Seconds until a timer is due. If the machine is too slow for a delay, the test tries the next one."""


def timer_due_in(seconds: float, order: str = ORDER) -> ExpirationComplete:
    return ExpirationComplete(order_id=order, expires_at=now() + timedelta(seconds=seconds))


@pytest_asyncio.fixture
async def timers(server: Nats, js: JetStreamContext) -> AsyncIterator[JetStreamTimers]:
    async with NatsBroker(server.url, logger=None) as broker:
        yield expiration_timers(broker)


async def fired_timers(js: JetStreamContext) -> list[ExpirationComplete]:
    """The events of the timers that have fired."""
    return [
        ExpirationComplete.model_validate_json(message.data or b"")
        for message in await stored(js, "TIMERS")
        if message.subject and message.subject.startswith("timers.due.")
    ]


async def pending_timers(js: JetStreamContext) -> int:
    info = await js.stream_info("TIMERS", subjects_filter="timers.set.>")
    return len(info.state.subjects or {})


async def test_a_timer_fires_when_it_is_due(timers: JetStreamTimers, js: JetStreamContext) -> None:
    event = timer_due_in(0.3)
    await timers.set(event)
    assert await fired_timers(js) == [] or now() >= event.expires_at
    assert await until(lambda: fired_timers(js), len) == [event]
    assert now() >= event.expires_at


async def test_a_timer_in_the_past_fires_at_once(timers: JetStreamTimers, js: JetStreamContext) -> None:
    event = timer_due_in(-60)
    await timers.set(event)
    assert await until(lambda: fired_timers(js), len) == [event]


async def test_a_cleared_timer_never_fires(timers: JetStreamTimers, js: JetStreamContext) -> None:
    for seconds in DELAYS:
        await js.purge_stream("TIMERS")
        cleared, later = timer_due_in(seconds), timer_due_in(2 * seconds, order="b" * 24)
        await timers.set(cleared)
        await timers.set(later)
        await timers.clear(ORDER)
        if now() < cleared.expires_at:
            break
    assert await until(lambda: fired_timers(js), len) == [later]


async def test_an_earlier_deadline_does_not_replace_the_later_timer_of_the_order(
    timers: JetStreamTimers, js: JetStreamContext
) -> None:
    early, late = timer_due_in(0.2), timer_due_in(0.6)
    await timers.set(late)
    await timers.set(early)
    both = await until(lambda: fired_timers(js), lambda timers: len(timers) == 2)
    assert sorted(both, key=lambda event: event.expires_at) == [early, late]


async def test_a_timer_that_is_set_twice_fires_once(timers: JetStreamTimers, js: JetStreamContext) -> None:
    for seconds in DELAYS:
        await js.purge_stream("TIMERS")
        event, later = timer_due_in(seconds), timer_due_in(2 * seconds, order="b" * 24)
        for each in (event, event, later):
            await timers.set(each)
        if now() < event.expires_at:
            break
    await until(lambda: fired_timers(js), lambda timers: later in timers)
    assert (await fired_timers(js)).count(event) == 1
    assert await pending_timers(js) == 0


async def test_a_timer_that_fires_twice_is_announced_once(
    timers: JetStreamTimers, js: JetStreamContext
) -> None:
    event = timer_due_in(0)
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
            event = timer_due_in(0.5)
            await expiration_timers(broker).set(event)
    async with running(process, log, signal.SIGKILL):
        connection = await nats.connect(server.url)
        assert await until(lambda: fired_timers(connection.jetstream()), len) == [event]
        await connection.close()
