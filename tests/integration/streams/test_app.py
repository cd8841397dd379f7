"""Background work of a process: its cancellation, its failures, and large batches in the relay."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock, Mock, call

import nats.errors
import pytest
from faststream.nats import NatsBroker
from nats.js import JetStreamContext

from kit.background import running
from kit.mongo import database
from kit.outbox import Outbox
from kit.sessions import EndedSessions
from services.tickets.documents import Ticket
from settings import Settings
from streams.bus import Bus
from streams.delivery import Listener
from streams.relay import Relay
from tests.integration.streams.conftest import Nats, stored, tickets_publishers
from tests.support.polling import TIMEOUT


async def test_background_work_is_cancelled_at_the_end_of_its_block() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with running(work()):
        await started.wait()
    assert ended.is_set()


async def test_background_work_ends_even_if_a_library_swallows_the_first_cancellation() -> None:
    started, swallowed, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.set()  # as asyncio.wait_for may do before Python 3.12
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with asyncio.timeout(TIMEOUT):
        async with running(work()):
            await started.wait()
    assert swallowed.is_set()
    assert ended.is_set()


async def await_cancelled_future() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def fail() -> None:
    raise LookupError


async def return_normally() -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize("work", [fail, return_normally, await_cancelled_future])
async def test_a_process_stops_when_its_background_work_fails_or_returns(
    work: Callable[[], Coroutine[Any, Any, None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    signals: list[int] = []
    ended = asyncio.Event()

    def record_signal(number: int) -> None:
        signals.append(number)
        ended.set()

    monkeypatch.setattr(signal, "raise_signal", record_signal)
    async with running(work()), asyncio.timeout(TIMEOUT):
        await ended.wait()
    assert signals == [signal.SIGTERM]


async def test_one_run_of_the_relay_publishes_more_events_than_fit_into_one_batch(
    server: Nats, js: JetStreamContext, mongo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.outbox.BATCH_SIZE", 2)
    async with database(mongo, "batches", [Ticket]) as bound, NatsBroker(server.url, logger=None) as broker:
        await bound.client.drop_database("batches")
        for number in range(5):
            await Ticket(user_id="b" * 24, title=f"Row {number}", price_minor=1999).add()
        await Relay(tickets_publishers(broker), Outbox([Ticket]), sweep_seconds=3600).relay_all()
        assert [raw["outbox"] async for raw in Ticket.get_pymongo_collection().find()] == [[]] * 5
        await bound.client.drop_database("batches")
    assert len(await stored(js, "EVENTS")) == 5


async def test_an_error_before_the_first_connection_to_nats_is_only_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Before the first connection, the error handler has no connection whose state it could check."""
    bus = Bus(Settings(), Listener("auth"), EndedSessions(timedelta(hours=1)))
    await bus._on_error(nats.errors.NoServersError())
    assert "NoServersError" in caplog.text


async def test_feeds_catch_up_after_the_client_has_dropped_a_message() -> None:
    bus, feed = (
        Bus(
            Settings(), Listener("auth", live={"ticket.*": "Test feeds."}), EndedSessions(timedelta(hours=1))
        ),
        Mock(),
    )
    bus.feed(feed, "ticket.*", AsyncMock())
    await bus._on_error(nats.errors.SlowConsumerError("live.ticket.updated", "", 1, Mock()))
    assert feed.method_calls == [call.disconnected(), call.connected()]
