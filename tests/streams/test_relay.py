"""Every event that was written is published, whatever stops in between."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
import pytest_asyncio
from faststream.nats import NatsBroker
from nats.js import JetStreamContext

from contracts.events import TicketCreated, TicketUpdated
from services.kit.mongo import database
from services.kit.outbox import Outbox, WaitingDocument
from services.tickets.documents import Ticket
from streams import cloudevents
from streams.relay import Relay
from streams.topology import provision
from tests.people import until
from tests.streams.conftest import Nats, stored

SWEEP_SECONDS = 0.2


@pytest_asyncio.fixture(autouse=True)
async def tickets(mongo: str) -> AsyncIterator[None]:
    """An empty collection of tickets."""
    async with database(mongo, "relay", [Ticket]) as bound:
        await Ticket.get_pymongo_collection().delete_many({})
        yield
        await bound.client.drop_database("relay")


def ticket() -> Ticket:
    return Ticket(user_id="b" * 24, title="Low Roar", price_minor=1999)


def relay(broker: NatsBroker, sweep_seconds: float = SWEEP_SECONDS) -> Relay:
    return Relay(broker, Outbox([Ticket]), source="tickets", sweep_seconds=sweep_seconds)


@pytest_asyncio.fixture
async def broker(server: Nats, js: JetStreamContext) -> AsyncIterator[NatsBroker]:
    async with NatsBroker(
        server.url, logger=None, max_reconnect_attempts=-1, reconnect_time_wait=0
    ) as broker:
        yield broker


async def outboxes() -> list[list[dict[str, Any]]]:
    return [raw["outbox"] async for raw in Ticket.get_pymongo_collection().find()]


async def test_a_write_is_published_as_a_cloudevent(broker: NatsBroker, js: JetStreamContext) -> None:
    offered = ticket()
    await offered.add()
    await relay(broker).relay_all()
    (message,) = await stored(js, "EVENTS")
    assert message.subject == "ticket.created"
    assert message.data is not None
    assert TicketCreated.model_validate_json(message.data) == offered.event()
    headers = message.headers or {}
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-type"] == "ticket.created"
    assert headers["ce-source"] == "/services/tickets"
    assert headers["ce-subject"] == offered.key
    assert headers["Nats-Msg-Id"] == headers["ce-id"]
    assert headers["ce-time"].endswith("Z")
    assert headers["traceparent"].startswith("00-")
    assert headers["content-type"] == "application/json"
    assert await outboxes() == [[]]


async def test_writes_of_a_document_are_published_in_order(broker: NatsBroker, js: JetStreamContext) -> None:
    current: Ticket | None = ticket()
    assert current is not None
    await current.add()
    for price in (2000, 2100, 2200):
        current = await current.publish({"price_minor": price})
        assert current is not None
    await relay(broker).relay_all()
    versions = [TicketUpdated.model_validate_json(m.data or b"").version for m in await stored(js, "EVENTS")]
    assert versions == [0, 1, 2, 3]


async def test_a_write_wakes_the_relay_before_it_sweeps(broker: NatsBroker, js: JetStreamContext) -> None:
    task = asyncio.create_task(relay(broker, sweep_seconds=3600).run())
    await asyncio.sleep(0)
    await ticket().add()
    await until(lambda: stored(js, "EVENTS"), len)
    task.cancel()


async def test_what_another_process_left_behind_is_swept_up(broker: NatsBroker, js: JetStreamContext) -> None:
    running = relay(broker)
    Ticket.wake_relay = staticmethod(lambda: None)  # the writer was in a process that died
    task = asyncio.create_task(running.run())
    await ticket().add()
    await until(lambda: stored(js, "EVENTS"), len)
    await until(outboxes, lambda found: found == [[]])
    task.cancel()


async def test_a_crash_between_publishing_and_clearing_publishes_nothing_twice(
    broker: NatsBroker, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ticket().add()
    await _crash_before_clearing(broker, monkeypatch)
    assert (len(await stored(js, "EVENTS")), [len(box) for box in await outboxes()]) == (1, [1])
    await relay(broker).relay_all()
    assert (len(await stored(js, "EVENTS")), await outboxes()) == (1, [[]])


async def test_without_its_id_the_event_would_be_there_twice(
    broker: NatsBroker, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test before."""
    named = cloudevents.headers

    def nameless(**of: Any) -> dict[str, str]:
        return {name: value for name, value in named(**of).items() if name != "Nats-Msg-Id"}

    monkeypatch.setattr(cloudevents, "headers", nameless)
    await ticket().add()
    await _crash_before_clearing(broker, monkeypatch)
    await relay(broker).relay_all()
    assert len(await stored(js, "EVENTS")) == 2


async def _crash_before_clearing(broker: NatsBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    async def crash(*_: object) -> None:
        raise ConnectionAbortedError

    with monkeypatch.context() as patched:
        patched.setattr(WaitingDocument, "delivered", crash)
        with pytest.raises(ConnectionAbortedError):
            await relay(broker).relay_all()


async def test_what_is_written_while_nats_is_away_arrives_when_it_is_back(server: Nats) -> None:
    async with server.running():
        connection = await nats.connect(server.url)
        await provision(connection.jetstream())
        await connection.close()
        broker = NatsBroker(server.url, logger=None, max_reconnect_attempts=-1, reconnect_time_wait=0)
        await broker.connect()
    task = asyncio.create_task(relay(broker).run())
    await ticket().add()
    async with server.running():
        connection = await nats.connect(server.url)
        await until(lambda: stored(connection.jetstream(), "EVENTS"), len)
        await until(outboxes, lambda found: found == [[]])
        task.cancel()
        await broker.stop()
        await connection.close()


async def entry_like_that_of(offered: Ticket, **changes: Any) -> dict[str, Any]:
    found = await Ticket.get_pymongo_collection().find_one({"_id": offered.id})
    assert found is not None
    return {**found["outbox"][0], "id": "spoilt", **changes}


@pytest.mark.parametrize(
    "spoilt",
    [
        {"body": "x" * 2_000_000},
        {"body": None},
        {"time": "noon"},
        "no entry at all",
    ],
    ids=["too large", "no text", "no time", "nothing"],
)
async def test_an_event_that_cannot_be_published_keeps_no_other_waiting(
    broker: NatsBroker, js: JetStreamContext, caplog: pytest.LogCaptureFixture, spoilt: Any
) -> None:
    bad, good = ticket(), ticket()
    for offered in (bad, good):
        await offered.add()
    entry = await entry_like_that_of(bad, **spoilt) if isinstance(spoilt, dict) else {"id": spoilt}
    await Ticket.get_pymongo_collection().update_one(
        {"_id": bad.id}, {"$push": {"outbox": {"$each": [entry], "$position": 0}}}
    )
    task = asyncio.create_task(relay(broker).run())
    found = await until(lambda: stored(js, "EVENTS"), lambda found: len(found) == 2)
    assert {(message.headers or {})["ce-subject"] for message in found} == {bad.key, good.key}
    later = ticket()
    await later.add()
    await until(lambda: stored(js, "EVENTS"), lambda found: len(found) == 3)
    assert not task.done()
    assert sorted(map(len, await until(outboxes, lambda boxes: sum(map(len, boxes)) == 1))) == [0, 0, 1]
    assert caplog.text
    task.cancel()


@pytest.mark.parametrize(
    "spoilt", [{"body": None}, {"body": "x" * 2_000_000}], ids=["unreadable", "too large"]
)
async def test_more_events_that_cannot_be_published_than_are_read_at_once_keep_no_other_waiting(
    broker: NatsBroker, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch, spoilt: dict[str, Any]
) -> None:
    monkeypatch.setattr("services.kit.outbox.BATCH", 2)
    for _ in range(3):
        bad = ticket()
        await bad.add()
        entry = await entry_like_that_of(bad, id="!", **spoilt)  # found before all others
        await Ticket.get_pymongo_collection().update_one({"_id": bad.id}, {"$set": {"outbox": [entry]}})
    good = [ticket() for _ in range(5)]
    for offered in good:
        await offered.add()
    await relay(broker).relay_all()
    found = await stored(js, "EVENTS")
    assert {(message.headers or {})["ce-subject"] for message in found} == {offered.key for offered in good}
    assert sorted(map(len, await outboxes())) == [0] * 5 + [1] * 3


async def test_a_failure_that_nobody_thought_of_ends_no_relay(
    broker: NatsBroker, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = asyncio.Event()

    async def fails(*_: object) -> None:
        tried.set()
        raise LookupError("nobody thought of it")

    await ticket().add()
    with monkeypatch.context() as patched:
        patched.setattr(WaitingDocument, "delivered", fails)
        task = asyncio.create_task(relay(broker).run())
        await tried.wait()
    await until(outboxes, lambda found: found == [[]])
    task.cancel()


async def test_a_state_can_be_published_again_for_a_new_listener(
    broker: NatsBroker, js: JetStreamContext
) -> None:
    offered = ticket()
    await offered.add()
    await relay(broker).relay_all()
    await Ticket.republish(offered.id)
    await relay(broker).relay_all()
    first, again = await stored(js, "EVENTS")
    assert first.data == again.data
