"""What a process does in the background: it gets all of it done, and ends when it is told to."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import nats.errors
import pytest
from faststream.nats import NatsBroker
from nats.js import JetStreamContext

from services.kit.mongo import database
from services.kit.outbox import Outbox
from services.kit.tokens import EndedSessions
from services.tickets.documents import Ticket
from settings import Settings
from streams.app import running
from streams.bus import Bus
from streams.relay import Relay
from tests.people import PATIENCE
from tests.streams.conftest import Nats, stored


async def test_background_work_ends_with_its_block() -> None:
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


async def test_background_work_that_a_library_kept_from_being_cancelled_once_ends_all_the_same() -> None:
    started, kept, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            kept.set()  # as asyncio.wait_for of Python 3.11, which pymongo uses, if its result comes then
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with asyncio.timeout(PATIENCE):
        async with running(work()):
            await started.wait()
    assert kept.is_set()
    assert ended.is_set()


async def lost_future() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def failure() -> None:
    raise LookupError


async def success() -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize("work", [failure, success, lost_future])
async def test_a_process_whose_background_work_ends_by_itself_ends_too(
    work: Callable[[], Coroutine[Any, Any, None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[int] = []
    ended = asyncio.Event()

    def remember(number: int) -> None:
        raised.append(number)
        ended.set()

    monkeypatch.setattr(signal, "raise_signal", remember)
    async with running(work()), asyncio.timeout(PATIENCE):
        await ended.wait()
    assert raised == [signal.SIGTERM]


async def test_more_events_than_are_read_at_once_are_published_in_one_go(
    server: Nats, js: JetStreamContext, mongo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.kit.outbox.BATCH", 2)
    async with database(mongo, "batches", [Ticket]) as bound, NatsBroker(server.url, logger=None) as broker:
        await bound.client.drop_database("batches")
        for number in range(5):
            await Ticket(user_id="b" * 24, title=f"Row {number}", price_minor=1999).add()
        await Relay(broker, Outbox([Ticket]), source="tickets", sweep_seconds=3600).relay_all()
        assert [raw["outbox"] async for raw in Ticket.get_pymongo_collection().find()] == [[]] * 5
        await bound.client.drop_database("batches")
    assert len(await stored(js, "EVENTS")) == 5


async def test_a_mistake_that_nats_reports_before_the_first_connection_is_only_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At that time there is no connection yet that could be asked whether it stands."""
    bus = Bus(Settings(), "auth", EndedSessions(timedelta(hours=1)))
    await bus._on_error(nats.errors.NoServersError())
    assert "NoServersError" in caplog.text
