"""The relay publishes every event in the outboxes, also after crashes and outages."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import nats
import pytest
import pytest_asyncio
from faststream.nats import NatsBroker
from nats.js import JetStreamContext

from contracts.events import TicketCreated, TicketUpdated
from contracts.wire import now
from kit import outbox
from kit.background import running
from kit.lease import Lease
from kit.mongo import database
from kit.outbox import Outbox, PendingDocument
from ops.provision import provision
from services.tickets.documents import Ticket
from streams import cloudevents
from streams.publishers import Publishers
from streams.relay import SWEEP_CONCURRENCY, Relay
from tests.integration.streams.conftest import Nats, stored, tickets_publishers
from tests.support.polling import until

SWEEP_SECONDS = 0.2


@pytest_asyncio.fixture(autouse=True)
async def tickets(mongo: str) -> AsyncIterator[None]:
    """Open a database with an empty collection of tickets."""
    async with database(mongo, "relay", [Ticket]) as bound:
        await Ticket.get_pymongo_collection().delete_many({})
        await bound["leases"].delete_many({})
        yield
        await bound.client.drop_database("relay")


def new_ticket() -> Ticket:
    return Ticket(user_id="b" * 24, title="Low Roar", price_minor=1999)


def relay(broker: NatsBroker, sweep_seconds: float = SWEEP_SECONDS, lease: Lease | None = None) -> Relay:
    return Relay(tickets_publishers(broker), Outbox([Ticket]), sweep_seconds=sweep_seconds, lease=lease)


@pytest_asyncio.fixture
async def broker(server: Nats, js: JetStreamContext) -> AsyncIterator[NatsBroker]:
    async with NatsBroker(
        server.url, logger=None, max_reconnect_attempts=-1, reconnect_time_wait=0
    ) as broker:
        yield broker


async def outboxes() -> list[list[dict[str, Any]]]:
    return [raw["outbox"] async for raw in Ticket.get_pymongo_collection().find()]


async def test_a_write_is_published_as_a_cloudevent(broker: NatsBroker, js: JetStreamContext) -> None:
    ticket = new_ticket()
    await ticket.add()
    await relay(broker).relay_all()
    (message,) = await stored(js, "EVENTS")
    assert message.subject == "ticket.created"
    assert message.data is not None
    assert TicketCreated.model_validate_json(message.data) == ticket.event()
    headers = message.headers or {}
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-type"] == "ticket.created"
    assert headers["ce-source"] == "/services/tickets"
    assert headers["ce-subject"] == ticket.key
    assert headers["Nats-Msg-Id"] == headers["ce-id"]
    assert headers["ce-time"].endswith("Z")
    assert headers["traceparent"].startswith("00-")
    assert headers["content-type"] == "application/json"
    assert await outboxes() == [[]]


async def test_a_document_remembers_where_its_last_events_are_in_the_stream(
    broker: NatsBroker, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.outbox.MAX_SEQUENCES", 3)
    ticket: Ticket | None = new_ticket()
    assert ticket is not None
    await ticket.add()
    await js.publish("ticket.updated", b"{}")  # an event of another document
    await relay(broker).relay_all()
    task = asyncio.create_task(relay(broker, sweep_seconds=3600).run())
    await asyncio.sleep(0)
    for price in (2000, 2100, 2200):
        ticket = await ticket.save_and_publish({"price_minor": price})
        assert ticket is not None
    await until(outboxes, lambda found: found == [[]])
    task.cancel()
    assert await sequences() == [[3, 4, 5]]  # without the first, 2


async def sequences() -> list[list[int]]:
    return [raw["sequences"] async for raw in Ticket.get_pymongo_collection().find()]


async def test_a_document_remembers_an_event_once_that_two_processes_have_published(
    broker: NatsBroker, js: JetStreamContext
) -> None:
    await _publish_in_two_processes(broker)
    assert (len(await stored(js, "EVENTS")), await sequences()) == (1, [[1]])


async def test_control_without_the_guard_of_the_removal_a_document_remembers_the_event_twice(
    broker: NatsBroker, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_guard = outbox._removal

    def without_guard(document_id: Any, published: Any) -> Any:
        return {"_id": document_id}, with_guard(document_id, published)[1]

    monkeypatch.setattr(outbox, "_removal", without_guard)
    await _publish_in_two_processes(broker)
    assert (len(await stored(js, "EVENTS")), await sequences()) == (1, [[1, 1]])


async def _publish_in_two_processes(broker: NatsBroker) -> None:
    """Let a second relay sweep after the first has published an event, and before it removes the event."""
    published = Outbox([Ticket])
    first = Relay(tickets_publishers(broker), published, sweep_seconds=SWEEP_SECONDS)
    with published.watching():
        await new_ticket().add()
        written = await published.wait_for_write(SWEEP_SECONDS)
    assert written
    await first._publish_written(written)
    await relay(broker).relay_all()
    await published.remove_published()


async def test_writes_of_a_document_are_published_in_order(broker: NatsBroker, js: JetStreamContext) -> None:
    current: Ticket | None = new_ticket()
    assert current is not None
    await current.add()
    for price in (2000, 2100, 2200):
        current = await current.save_and_publish({"price_minor": price})
        assert current is not None
    await relay(broker).relay_all()
    versions = [TicketUpdated.model_validate_json(m.data or b"").version for m in await stored(js, "EVENTS")]
    assert versions == [0, 1, 2, 3]


async def test_a_write_wakes_the_relay_before_the_next_sweep(
    broker: NatsBroker, js: JetStreamContext
) -> None:
    task = asyncio.create_task(relay(broker, sweep_seconds=3600).run())
    await asyncio.sleep(0)
    await new_ticket().add()
    await until(lambda: stored(js, "EVENTS"), len)
    task.cancel()


async def test_a_new_event_does_not_wait_for_the_backlog(broker: NatsBroker, js: JetStreamContext) -> None:
    backlog = 300
    for _ in range(backlog):
        await new_ticket().add()
    async with running(relay(broker, sweep_seconds=3600).run()):
        await until(partial(number_of_events, js), lambda count: count > 0)
        new = new_ticket()
        await new.add()
        await until(partial(number_of_events, js), lambda count: count == backlog + 1)
    keys = [
        TicketCreated.model_validate_json(message.data or b"").id for message in await stored(js, "EVENTS")
    ]
    assert keys.index(new.key) < backlog / 2


async def test_a_sweep_publishes_the_oldest_events_first(broker: NatsBroker, js: JetStreamContext) -> None:
    tickets = [new_ticket() for _ in range(3 * SWEEP_CONCURRENCY)]
    for ticket in tickets:
        await ticket.add()
    for age, ticket in enumerate(tickets):  # the last one was written first
        written_at = now() - timedelta(hours=age)
        await Ticket.get_pymongo_collection().update_one(
            {"_id": ticket.id}, {"$set": {"outbox.0.time": written_at}}
        )
    await relay(broker).relay_all()
    found = [(message.headers or {})["ce-subject"] for message in await stored(js, "EVENTS")]
    for published, expected in zip(groups(found), groups([each.key for each in tickets[::-1]]), strict=True):
        assert set(published) == set(expected)


def groups(items: Sequence[str]) -> list[Sequence[str]]:
    """The items in groups, within which a sweep keeps no order."""
    return [items[begin : begin + SWEEP_CONCURRENCY] for begin in range(0, len(items), SWEEP_CONCURRENCY)]


async def test_a_sweep_pauses_as_long_as_it_works(
    broker: NatsBroker, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sleep, sweep = asyncio.sleep, asyncio.current_task()

    async def record(seconds: float) -> None:
        if asyncio.current_task() is sweep:
            pauses.append(seconds)
        await sleep(seconds)

    for _ in range(2 * SWEEP_CONCURRENCY + 1):
        await new_ticket().add()
    began = time.monotonic()
    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "sleep", record)
        await relay(broker).relay_all()
    assert len(pauses) == 3
    assert 0 < sum(pauses) <= (time.monotonic() - began) / 2


async def test_an_event_that_could_not_be_published_is_tried_again_ahead_of_the_backlog(
    broker: NatsBroker, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with without_sweeps(broker):
        ticket = await write_during_a_failure(monkeypatch)
        (message,) = await until(lambda: stored(js, "EVENTS"), len)
        assert (message.headers or {})["ce-subject"] == ticket.key


async def test_control_an_event_that_is_not_kept_waits_for_the_sweep(
    broker: NatsBroker, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MAX_KEPT", 0)
    async with without_sweeps(broker):
        await write_during_a_failure(monkeypatch)
        later = new_ticket()
        await later.add()
        (message,) = await until(lambda: stored(js, "EVENTS"), len)
        assert (message.headers or {})["ce-subject"] == later.key
    assert sorted(map(len, await outboxes())) == [0, 1]


@asynccontextmanager
async def without_sweeps(broker: NatsBroker) -> AsyncIterator[None]:
    """Run a relay while another process holds the lease of the sweep."""
    database = Ticket.get_pymongo_collection().database
    other, own = (Lease(database, "outbox", timedelta(minutes=1)) for _ in range(2))
    assert await other.hold()
    async with running(relay(broker, lease=own).run()):
        await asyncio.sleep(0)
        yield


async def write_during_a_failure(monkeypatch: pytest.MonkeyPatch) -> Ticket:
    """Write a ticket whose event can't be published, and wait until the relay has noticed."""
    monkeypatch.setattr("streams.relay.RETRY_SECONDS", 0.01)
    failed, keep = asyncio.Event(), Outbox.keep

    async def fail(*_: object, **__: object) -> int:
        raise TimeoutError

    def noticed(*arguments: Any) -> bool:
        failed.set()
        return keep(*arguments)

    ticket = new_ticket()
    with monkeypatch.context() as patched:
        patched.setattr(Publishers, "publish", fail)
        patched.setattr(Outbox, "keep", noticed)
        await ticket.add()
        await failed.wait()
    return ticket


def test_an_outbox_keeps_older_messages_before_newer_ones_and_not_more_than_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticket = new_ticket()
    older, newer = (outbox.OutboxMessage(name, "", "", now(), "", "") for name in ("older", "newer"))
    kept = Outbox([Ticket])
    assert kept.keep([PendingDocument(Ticket, ticket.id, [newer])])
    assert kept.keep([PendingDocument(Ticket, ticket.id, [older])])
    (document,) = asyncio.run(kept.wait_for_write())
    assert [event.id for event in document.events] == ["older", "newer"]
    monkeypatch.setattr(outbox, "MAX_KEPT", 1)
    assert not kept.keep([PendingDocument(Ticket, new_ticket().id, [newer]) for _ in range(2)])
    assert asyncio.run(kept.wait_for_write(0.01)) == ()


async def number_of_events(js: JetStreamContext) -> int:
    return (await js.stream_info("EVENTS")).state.messages


async def test_one_process_at_a_time_sweeps(broker: NatsBroker, js: JetStreamContext) -> None:
    database = Ticket.get_pymongo_collection().database
    first, second = (Lease(database, "outbox", timedelta(minutes=1)) for _ in range(2))
    await new_ticket().add()
    assert await first.hold()
    await relay(broker, lease=second).relay_all()
    assert await number_of_events(js) == 0
    await relay(broker, lease=first).relay_all()
    assert await number_of_events(js) == 1
    await new_ticket().add()
    await relay(broker, lease=second).relay_all()
    assert await number_of_events(js) == 2


async def test_the_lease_of_a_process_that_died_ends_by_itself() -> None:
    database = Ticket.get_pymongo_collection().database
    dead, other = Lease(database, "outbox", timedelta()), Lease(database, "outbox", timedelta(minutes=1))
    assert await dead.hold()
    assert await other.hold()
    assert not await dead.hold()
    await dead.release()
    assert not await dead.hold()


async def test_only_one_of_several_processes_gets_a_lease() -> None:
    database = Ticket.get_pymongo_collection().database
    leases = [Lease(database, "outbox", timedelta(minutes=1)) for _ in range(8)]
    assert sum(await asyncio.gather(*(lease.hold() for lease in leases))) == 1


async def test_a_sweep_publishes_events_that_another_process_left_in_the_outbox(
    broker: NatsBroker, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Ticket, "_written", lambda *_: None
    )  # the relay isn't woken, as if another process had written
    task = asyncio.create_task(relay(broker).run())
    await new_ticket().add()
    await until(lambda: stored(js, "EVENTS"), len)
    await until(outboxes, lambda found: found == [[]])
    task.cancel()


async def test_a_crash_between_publishing_and_clearing_does_not_publish_the_event_twice(
    broker: NatsBroker, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    await new_ticket().add()
    await _crash_before_clearing(broker, monkeypatch)
    assert (len(await stored(js, "EVENTS")), [len(box) for box in await outboxes()]) == (1, [1])
    await relay(broker).relay_all()
    assert (len(await stored(js, "EVENTS")), await outboxes()) == (1, [[]])


async def test_control_without_message_ids_a_crash_before_clearing_publishes_the_event_twice(
    broker: NatsBroker, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers_with_id = cloudevents.headers

    def headers_without_id(**fields: Any) -> dict[str, str]:
        return {name: value for name, value in headers_with_id(**fields).items() if name != "Nats-Msg-Id"}

    monkeypatch.setattr(cloudevents, "headers", headers_without_id)
    await new_ticket().add()
    await _crash_before_clearing(broker, monkeypatch)
    await relay(broker).relay_all()
    assert len(await stored(js, "EVENTS")) == 2


async def _crash_before_clearing(broker: NatsBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    async def abort(*_: object) -> None:
        raise ConnectionAbortedError

    with monkeypatch.context() as patched:
        patched.setattr(PendingDocument, "remove", abort)
        with pytest.raises(ConnectionAbortedError):
            await relay(broker).relay_all()


async def test_an_event_written_while_nats_is_down_is_published_when_nats_is_back(server: Nats) -> None:
    async with server.running():
        connection = await nats.connect(server.url)
        await provision(connection.jetstream())
        await connection.close()
        broker = NatsBroker(server.url, logger=None, max_reconnect_attempts=-1, reconnect_time_wait=0)
        await broker.connect()
    task = asyncio.create_task(relay(broker).run())
    await new_ticket().add()
    async with server.running():
        connection = await nats.connect(server.url)
        await until(lambda: stored(connection.jetstream(), "EVENTS"), len)
        await until(outboxes, lambda found: found == [[]])
        task.cancel()
        await broker.stop()
        await connection.close()


async def test_an_undeclared_event_stays_in_the_outbox_and_does_not_block_others(
    broker: NatsBroker, js: JetStreamContext, caplog: pytest.LogCaptureFixture
) -> None:
    ticket = new_ticket()
    await ticket.add()
    await ticket.save_and_publish({"price_minor": 2000})
    publishers = Publishers(broker, "tickets", [TicketUpdated])
    await Relay(publishers, Outbox([Ticket]), sweep_seconds=SWEEP_SECONDS).relay_all()
    assert [message.subject for message in await stored(js, "EVENTS")] == ["ticket.updated"]
    assert [[event["subject"] for event in box] for box in await outboxes()] == [["ticket.created"]]
    assert "UndeclaredEvent" in caplog.text
    await relay(broker).relay_all()
    assert [message.subject for message in await stored(js, "EVENTS")] == ["ticket.updated", "ticket.created"]


async def test_an_unpublishable_event_is_logged_once_and_not_in_every_sweep(
    broker: NatsBroker, js: JetStreamContext, caplog: pytest.LogCaptureFixture
) -> None:
    await new_ticket().add()
    unable_relay = Relay(Publishers(broker, "tickets", []), Outbox([Ticket]), sweep_seconds=SWEEP_SECONDS)
    for _ in range(2):
        await unable_relay.relay_all()
    assert len([record for record in caplog.records if "UndeclaredEvent" in record.getMessage()]) == 1


async def test_the_relay_forgets_an_unpublishable_event_that_left_the_outbox(
    broker: NatsBroker, js: JetStreamContext, caplog: pytest.LogCaptureFixture
) -> None:
    await new_ticket().add()
    unable_relay = Relay(Publishers(broker, "tickets", []), Outbox([Ticket]), sweep_seconds=SWEEP_SECONDS)
    await unable_relay.relay_all()
    (outbox,) = await outboxes()
    for entries in ([], outbox):
        await Ticket.get_pymongo_collection().update_one({}, {"$set": {"outbox": entries}})
        await unable_relay.relay_all()
    assert len([record for record in caplog.records if "UndeclaredEvent" in record.getMessage()]) == 2


async def invalid_entry(ticket: Ticket, **changes: Any) -> dict[str, Any]:
    found = await Ticket.get_pymongo_collection().find_one({"_id": ticket.id})
    assert found is not None
    return {**found["outbox"][0], "id": "invalid", **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"body": "x" * 2_000_000},
        {"body": None},
        {"time": "noon"},
        "no other fields",
    ],
    ids=["too large", "no body", "invalid time", "only an id"],
)
async def test_an_unpublishable_event_does_not_block_others(
    broker: NatsBroker, js: JetStreamContext, caplog: pytest.LogCaptureFixture, changes: Any
) -> None:
    invalid, valid = new_ticket(), new_ticket()
    for ticket in (invalid, valid):
        await ticket.add()
    entry = await invalid_entry(invalid, **changes) if isinstance(changes, dict) else {"id": changes}
    await Ticket.get_pymongo_collection().update_one(
        {"_id": invalid.id}, {"$push": {"outbox": {"$each": [entry], "$position": 0}}}
    )
    task = asyncio.create_task(relay(broker).run())
    found = await until(lambda: stored(js, "EVENTS"), lambda found: len(found) == 2)
    assert {(message.headers or {})["ce-subject"] for message in found} == {invalid.key, valid.key}
    later = new_ticket()
    await later.add()
    await until(lambda: stored(js, "EVENTS"), lambda found: len(found) == 3)
    assert not task.done()
    assert sorted(map(len, await until(outboxes, lambda boxes: sum(map(len, boxes)) == 1))) == [0, 0, 1]
    assert caplog.text
    task.cancel()


@pytest.mark.parametrize("changes", [{"body": None}, {"body": "x" * 2_000_000}], ids=["no body", "too large"])
async def test_more_unpublishable_events_than_one_batch_do_not_block_others(
    broker: NatsBroker, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr("kit.outbox.BATCH_SIZE", 2)
    for _ in range(3):
        invalid = new_ticket()
        await invalid.add()
        entry = await invalid_entry(invalid, id="!", **changes)  # sorts before all others
        await Ticket.get_pymongo_collection().update_one({"_id": invalid.id}, {"$set": {"outbox": [entry]}})
    valid = [new_ticket() for _ in range(5)]
    for ticket in valid:
        await ticket.add()
    await relay(broker).relay_all()
    found = await stored(js, "EVENTS")
    assert {(message.headers or {})["ce-subject"] for message in found} == {ticket.key for ticket in valid}
    assert sorted(map(len, await outboxes())) == [0] * 5 + [1] * 3


async def test_an_unexpected_error_does_not_end_the_relay(
    broker: NatsBroker, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = asyncio.Event()

    async def fail(*_: object) -> None:
        failed.set()
        raise LookupError("unexpected")

    await new_ticket().add()
    with monkeypatch.context() as patched:
        patched.setattr(PendingDocument, "remove", fail)
        task = asyncio.create_task(relay(broker).run())
        await failed.wait()
    await until(outboxes, lambda found: found == [[]])
    task.cancel()


async def test_republishing_a_document_publishes_the_same_event_again(
    broker: NatsBroker, js: JetStreamContext
) -> None:
    ticket = new_ticket()
    await ticket.add()
    await relay(broker).relay_all()
    await Ticket.republish(ticket.id)
    await relay(broker).relay_all()
    first, again = await stored(js, "EVENTS")
    assert first.data == again.data
