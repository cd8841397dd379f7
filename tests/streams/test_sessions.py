"""Every process hears who signed out, also what happened before it started or while NATS was away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import nats
import pytest
from nats.js import JetStreamContext

from contracts.events import SessionEnded
from contracts.wire import now
from services.kit.tokens import EndedSessions
from settings import Settings
from streams import sessions
from streams.bus import CATCH_UP_SECONDS, Bus
from streams.topology import provision
from tests.people import until
from tests.streams.conftest import Nats

LIFETIME = timedelta(hours=12)
FIRST, SECOND = "a" * 24, "b" * 24


async def say(js: JetStreamContext, session_id: str, ago: timedelta = timedelta()) -> None:
    event = SessionEnded(session_id=session_id, ended_at=now() - ago)
    await js.publish(event.subject, event.to_json().encode(), headers={"content-type": "application/json"})


@asynccontextmanager
async def hearing(url: str) -> AsyncIterator[EndedSessions]:
    """A process that hears of sessions that end."""
    ended = EndedSessions(LIFETIME)
    bus = Bus(Settings(nats_url=url), "auth", ended)
    await bus.start()
    keeping_up = asyncio.create_task(bus.keep_up())
    try:
        yield ended
    finally:
        keeping_up.cancel()
        await bus.stop()


async def heard(ended: EndedSessions, session_id: str) -> bool:
    return session_id in ended


async def test_a_session_that_ends_is_heard_of_at_once(server: Nats, js: JetStreamContext) -> None:
    async with hearing(server.url) as ended:
        await say(js, FIRST)
        await until(lambda: heard(ended, FIRST), bool, seconds=CATCH_UP_SECONDS / 2)


async def test_a_process_that_starts_hears_what_ended_before(server: Nats, js: JetStreamContext) -> None:
    await say(js, FIRST)
    async with hearing(server.url) as ended:
        await until(lambda: heard(ended, FIRST), bool)


async def test_a_session_that_has_expired_is_not_remembered(server: Nats, js: JetStreamContext) -> None:
    await say(js, FIRST, ago=LIFETIME + timedelta(minutes=1))
    await say(js, SECOND)
    async with hearing(server.url) as ended:
        await until(lambda: heard(ended, SECOND), bool)
        assert FIRST not in ended


@pytest.mark.parametrize(
    "ahead", [timedelta(), timedelta(minutes=5)], ids=["on time", "with a clock that is ahead"]
)
async def test_what_ended_while_the_connection_was_lost_is_caught_up_with(
    server: Nats, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    monkeypatch.setattr(sessions, "now", lambda: now() + ahead)
    async with AsyncExitStack() as process:
        async with server.running():
            connection = await nats.connect(server.url)
            await provision(connection.jetstream())
            await connection.close()
            ended = await process.enter_async_context(hearing(server.url))
        async with server.running():
            connection = await nats.connect(server.url)
            await say(connection.jetstream(), FIRST)  # nobody else may be back yet
            await until(lambda: heard(ended, FIRST), bool)
            await say(connection.jetstream(), SECOND)
            await until(lambda: heard(ended, SECOND), bool, seconds=CATCH_UP_SECONDS / 2)
            await connection.close()
            await process.aclose()
