"""Every process knows which sessions have ended, even before its start or during an outage of NATS."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import nats
import pytest
from nats.js import JetStreamContext
from pydantic import SecretStr

from contracts.events import SessionEnded
from contracts.wire import now
from kit import sessions
from kit.background import running
from kit.sessions import CATCH_UP_SECONDS, EndedSessions
from ops.provision import provision
from settings import Settings
from streams.bus import Bus
from streams.delivery import Listener
from tests.integration.streams.conftest import Nats
from tests.support.polling import until

LIFETIME = timedelta(hours=12)
FIRST, SECOND = "a" * 24, "b" * 24


async def publish_session_ended(js: JetStreamContext, session_id: str, ago: timedelta = timedelta()) -> None:
    event = SessionEnded(session_id=session_id, ended_at=now() - ago)
    await js.publish(event.subject, event.to_json().encode(), headers={"content-type": "application/json"})


@asynccontextmanager
async def running_process(url: str) -> AsyncIterator[EndedSessions]:
    """Run a process that receives the events of ended sessions, and yield the sessions that it knows."""
    ended = EndedSessions(LIFETIME)
    bus = Bus(Settings(nats_url=SecretStr(url)), Listener("auth"), ended)
    async with running(bus.run()):
        await bus.started.wait()
        yield ended
    await bus.stop()


async def is_known(ended: EndedSessions, session_id: str) -> bool:
    return session_id in ended


async def test_a_process_is_informed_of_the_end_of_a_session_at_once(
    server: Nats, js: JetStreamContext
) -> None:
    async with running_process(server.url) as ended:
        await publish_session_ended(js, FIRST)
        await until(lambda: is_known(ended, FIRST), bool, seconds=CATCH_UP_SECONDS / 2)


async def test_a_process_knows_sessions_that_ended_before_its_start(
    server: Nats, js: JetStreamContext
) -> None:
    await publish_session_ended(js, FIRST)
    async with running_process(server.url) as ended:
        await until(lambda: is_known(ended, FIRST), bool)


async def test_a_process_does_not_keep_an_ended_session_whose_tokens_have_expired(
    server: Nats, js: JetStreamContext
) -> None:
    await publish_session_ended(js, FIRST, ago=LIFETIME + timedelta(minutes=1))
    await publish_session_ended(js, SECOND)
    async with running_process(server.url) as ended:
        await until(lambda: is_known(ended, SECOND), bool)
        assert FIRST not in ended


@pytest.mark.parametrize(
    "ahead", [timedelta(), timedelta(minutes=5)], ids=["correct clock", "clock 5 minutes ahead"]
)
async def test_after_an_outage_a_process_knows_sessions_that_ended_during_the_outage(
    server: Nats, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    monkeypatch.setattr(sessions, "now", lambda: now() + ahead)
    async with AsyncExitStack() as process:
        async with server.running():
            connection = await nats.connect(server.url)
            await provision(connection.jetstream())
            await connection.close()
            ended = await process.enter_async_context(running_process(server.url))
        async with server.running():
            connection = await nats.connect(server.url)
            await publish_session_ended(connection.jetstream(), FIRST)  # the process may not be connected yet
            await until(lambda: is_known(ended, FIRST), bool)
            await publish_session_ended(connection.jetstream(), SECOND)
            await until(lambda: is_known(ended, SECOND), bool, seconds=CATCH_UP_SECONDS / 2)
            await connection.close()
            await process.aclose()
