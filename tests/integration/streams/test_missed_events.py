"""A service publishes again what a consumer of its events has missed: once, and not in a loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from faststream.nats import NatsBroker
from nats.js import JetStreamContext
from prometheus_client import REGISTRY
from pydantic import SecretStr

from contracts.events import AlertMatched, TicketCreated, TicketUpdated
from kit.lease import Lease
from kit.mongo import Database, database
from kit.outbox import Outbox
from ops.provision import provision
from services.orders import actions
from services.orders.documents import TicketReplica
from services.tickets.documents import Ticket
from settings import Settings
from streams import missed_events
from streams.delivery import Listener
from streams.missed_events import Gap, MissedEvents, Progress, View
from streams.processes import CONSUMERS
from streams.relay import Relay
from tests.integration.streams.conftest import Nats, tickets_publishers
from tests.support.polling import until
from tests.support.service import serving

CREATED, UPDATED = "orders-ticket-created", "orders-ticket-updated"
SUBJECTS = [TicketCreated.subject, TicketUpdated.subject]
MAX_BYTES = 10_000


@pytest_asyncio.fixture(autouse=True)
async def tickets(mongo: str) -> AsyncIterator[Database]:
    """The empty database of tickets, and one of orders with replicas of tickets."""
    async with (
        database(mongo, "missed_tickets", [Ticket]) as owner,
        database(mongo, "missed_orders", [TicketReplica]) as follower,
    ):
        for used in (owner, follower):
            for name in ("tickets", "consumers", "leases"):
                await used[name].delete_many({})
        yield owner
        for used in (owner, follower):
            await used.client.drop_database(used.name)


@pytest_asyncio.fixture
async def broker(server: Nats, js: JetStreamContext) -> AsyncIterator[NatsBroker]:
    """The connection of the tickets service to a stream that keeps few events, which only orders receives."""
    await provision(js, limits={"EVENTS": {"max_bytes": MAX_BYTES}})
    for name in set(of_tickets()) - {CREATED, UPDATED}:
        await js.delete_consumer("EVENTS", name)
    async with NatsBroker(server.url, logger=None) as broker:
        yield broker


def of_tickets() -> list[str]:
    """The names of all consumers of events of tickets."""
    return consumers_of(*SUBJECTS)


def consumers_of(*subjects: str) -> list[str]:
    return sorted(consumer.name for consumer in CONSUMERS if consumer.subject in subjects)


@pytest.fixture
def owner(tickets: Database) -> MissedEvents:
    return process_of(tickets)


def process_of(database: Database) -> MissedEvents:
    """What another process of the tickets service looks with."""
    return MissedEvents(database, [Ticket], SUBJECTS, Lease(database, "missed", timedelta(minutes=1)))


async def new_ticket() -> Ticket:
    ticket = Ticket(user_id="b" * 24, title="Low Roar", price_minor=1999)
    await ticket.add()
    return ticket


async def publish(broker: NatsBroker) -> None:
    """Sweep the outboxes of tickets."""
    await Relay(tickets_publishers(broker), Outbox([Ticket]), sweep_seconds=3600).relay_all()


@asynccontextmanager
async def orders(server: Nats, js: JetStreamContext) -> AsyncIterator[None]:
    """The orders service receives events of tickets until the block ends."""
    listener = Listener("orders")
    for event in (TicketCreated, TicketUpdated):
        listener.on(event)(actions.follow_ticket)
    broker = NatsBroker(server.url, logger=None, apply_types=False)
    broker.include_router(listener.router(lanes=1))
    await broker.start()
    await until(lambda: waiting(js), all)
    yield
    await broker.stop()
    await until(lambda: waiting(js), lambda found: not any(found))


async def waiting(js: JetStreamContext) -> list[int]:
    """How many requests for messages wait at each consumer, and 0 unless it has handled all messages."""
    found = [await js.consumer_info("EVENTS", name) for name in (CREATED, UPDATED)]
    return [0 if info.num_pending or info.num_ack_pending else info.num_waiting or 0 for info in found]


async def fill(js: JetStreamContext) -> None:
    """Let the stream discard everything else, and no more than that."""
    first = (await js.stream_info("EVENTS")).state.last_seq + 1
    while (await js.stream_info("EVENTS")).state.first_seq < first:
        await js.publish("session.ended", b"x" * 100)


async def outboxes() -> list[int]:
    """The number of messages in each outbox."""
    return [len(raw["outbox"]) async for raw in Ticket.get_pymongo_collection().find()]


async def known_prices() -> list[int]:
    """The prices of tickets that orders knows."""
    return [replica.price_minor async for replica in TicketReplica.find_all()]


def alerts() -> float:
    return REGISTRY.get_sample_value("stagedoor_alerts_total", {"kind": "discarded"}) or 0


async def miss_a_change(
    server: Nats, js: JetStreamContext, broker: NatsBroker, owner: MissedEvents, tickets: int = 1
) -> None:
    """Tickets are created and received. While orders is away, they change, and the stream discards that."""
    created = [await new_ticket() for _ in range(tickets)]
    await publish(broker)
    async with orders(server, js):
        pass
    await owner.look(js)
    for ticket in created:
        await ticket.save_and_publish({"price_minor": 2500})
    await publish(broker)
    await owner.look(js)
    await fill(js)


async def test_a_consumer_that_missed_events_gets_the_current_state_when_it_is_back(
    server: Nats, js: JetStreamContext, broker: NatsBroker, owner: MissedEvents
) -> None:
    before = alerts()
    await miss_a_change(server, js, broker, owner)
    assert alerts() == before
    for _ in range(2):
        await owner.look(js)
        assert alerts() == before + 1
        assert await outboxes() == [0], "nothing is published while the consumer is away"
    async with orders(server, js):
        assert await known_prices() == [1999]
        await owner.look(js)
        await publish(broker)
        await until(known_prices, lambda prices: prices == [2500])
        await owner.look(js)
    assert await outboxes() == [0]
    assert alerts() == before + 1


async def test_the_owner_notices_and_repairs_a_purge_although_it_moves_the_position_of_the_consumer(
    server: Nats, js: JetStreamContext, broker: NatsBroker, owner: MissedEvents
) -> None:
    before = alerts()
    ticket = await new_ticket()
    await publish(broker)
    await owner.look(js)
    await js.purge_stream("EVENTS")
    await owner.look(js)
    assert alerts() > before
    async with orders(server, js):
        assert await known_prices() == []
        await owner.look(js)
        await publish(broker)
        await until(known_prices, lambda prices: prices == [ticket.price_minor])


async def test_control_without_the_repair_the_consumer_keeps_the_old_state(
    server: Nats, js: JetStreamContext, broker: NatsBroker, owner: MissedEvents
) -> None:
    await miss_a_change(server, js, broker, owner)
    async with orders(server, js):
        await publish(broker)
        await until(lambda: waiting(js), all)
    assert await known_prices() == [1999]


async def test_a_gap_is_found_even_if_the_consumer_is_back_before_anybody_looks(
    server: Nats, js: JetStreamContext, broker: NatsBroker, tickets: Database, owner: MissedEvents
) -> None:
    await miss_a_change(server, js, broker, owner)
    await new_ticket()
    await publish(broker)
    async with orders(server, js):
        assert await known_prices() == [1999, 1999]
        await tickets["leases"].delete_many({})  # the process that looked before has died
        await process_of(tickets).look(js)
        await publish(broker)
        await until(known_prices, lambda prices: prices == [2500, 1999])


async def test_a_new_consumer_gets_what_was_discarded_before_it_existed(
    server: Nats, js: JetStreamContext, broker: NatsBroker, owner: MissedEvents
) -> None:
    for name in (CREATED, UPDATED):
        await js.delete_consumer("EVENTS", name)
    await new_ticket()
    await publish(broker)
    await fill(js)
    await provision(js, limits={"EVENTS": {"max_bytes": MAX_BYTES}})
    async with orders(server, js):
        assert await known_prices() == []
        await owner.look(js)
        await publish(broker)
        await until(known_prices, lambda prices: prices == [1999])


async def test_only_what_the_consumer_missed_is_published_again(
    server: Nats, js: JetStreamContext, broker: NatsBroker, owner: MissedEvents
) -> None:
    await new_ticket()  # is received
    await miss_a_change(server, js, broker, owner)
    still_there = await new_ticket()
    await publish(broker)
    await still_there.save_and_publish({"price_minor": 3000})  # will be published anyway
    async with orders(server, js):
        await owner.look(js)
    assert await outboxes() == [0, 1, 1]


async def test_two_processes_publish_once(
    server: Nats, js: JetStreamContext, broker: NatsBroker, tickets: Database, owner: MissedEvents
) -> None:
    await miss_a_change(server, js, broker, owner)
    async with orders(server, js):
        await asyncio.gather(owner.look(js), process_of(tickets).look(js))
        assert await outboxes() == [1]


async def test_control_without_the_lease_two_processes_publish_twice(
    server: Nats,
    js: JetStreamContext,
    broker: NatsBroker,
    tickets: Database,
    owner: MissedEvents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await miss_a_change(server, js, broker, owner)
    both = asyncio.Barrier(2)
    republish = Ticket.republish

    async def at_the_same_time(document_id: object) -> bool:
        async with asyncio.timeout(10):
            await both.wait()
        return await republish(document_id)

    async def hold(_: Lease) -> bool:
        return True

    monkeypatch.setattr(Ticket, "republish", at_the_same_time)
    monkeypatch.setattr(Lease, "hold", hold)
    monkeypatch.setattr(missed_events, "FIRST_DELAY", timedelta(hours=1))  # let the second consumer wait
    async with orders(server, js):
        await asyncio.gather(owner.look(js), process_of(tickets).look(js))
        assert await outboxes() == [2]


async def test_a_repair_that_was_interrupted_is_completed_and_repeats_nothing(
    server: Nats,
    js: JetStreamContext,
    broker: NatsBroker,
    tickets: Database,
    owner: MissedEvents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await miss_a_change(server, js, broker, owner, tickets=3)
    republish = Ticket.republish

    async def crash_after_the_second(document_id: object) -> bool:
        if sum(await outboxes()) == 2:
            raise ConnectionAbortedError
        return await republish(document_id)

    async with orders(server, js):
        with monkeypatch.context() as patched:
            patched.setattr(Ticket, "republish", crash_after_the_second)
            with pytest.raises(ConnectionAbortedError):
                await owner.look(js)
        assert sorted(await outboxes()) == [0, 1, 1]
        await tickets["leases"].delete_many({})
        await process_of(tickets).look(js)
        assert await outboxes() == [1, 1, 1]


async def test_the_next_gap_waits_so_that_a_small_stream_causes_no_loop(
    server: Nats,
    js: JetStreamContext,
    broker: NatsBroker,
    owner: MissedEvents,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await miss_a_change(server, js, broker, owner)
    async with orders(server, js):
        await owner.look(js)
    await publish(broker)
    await owner.look(js)
    await fill(js)  # discards what was published again
    async with orders(server, js):
        for _ in range(3):
            await owner.look(js)
            assert await outboxes() == [0]
        assert "published again once, when the consumer has received the rest, but not before" in caplog.text
        monkeypatch.setattr(missed_events, "FIRST_DELAY", timedelta())
        await owner.look(js)
        assert await outboxes() == [1]


async def test_each_owner_looks_after_the_consumers_of_its_events(
    mongo: str, server: Nats, js: JetStreamContext, tmp_path: Path
) -> None:
    settings = Settings(
        _env_file=None, data_dir=tmp_path, mongo_url=SecretStr(mongo), nats_url=SecretStr(server.url)
    )
    async with serving("tickets", settings) as served:

        async def looked_after() -> list[str]:
            return sorted([raw["_id"] async for raw in served.database["consumers"].find()])

        expected = sorted([*of_tickets(), *consumers_of(AlertMatched.subject)])
        assert await until(looked_after, lambda names: len(names) >= len(expected)) == expected


def view(first: int, last: int, acknowledged: int, *, is_idle: bool = False, is_new: bool = False) -> View:
    return View(first=first, last=last, acknowledged=acknowledged, is_idle=is_idle, is_new=is_new)


@pytest.mark.parametrize(
    ("progress", "seen", "expected"),
    [
        (Progress(position=5), view(6, 20, 5), Progress(position=5)),
        (Progress(position=5), view(7, 20, 5), Progress(position=6, gap=Gap(after=5, before=7))),
        (Progress(position=5), view(4, 20, 9), Progress(position=9)),
        (Progress(position=5), view(4, 20, 9, is_idle=True), Progress(position=20)),
        (Progress(position=5), view(10, 20, 15), Progress(position=15, gap=Gap(after=5, before=10))),
        (
            Progress(position=9, gap=Gap(after=5, before=10)),
            view(13, 20, 5),
            Progress(position=12, gap=Gap(after=5, before=13)),
        ),
        (
            Progress(position=50, gap=Gap(after=5, before=10)),
            view(1, 20, 0, is_idle=True),
            Progress(position=20),
        ),
    ],
    ids=["complete", "gap", "received", "idle", "gap, and back", "larger gap", "a new stream"],
)
def test_a_gap_is_what_the_stream_discarded_after_the_known_position(
    progress: Progress, seen: View, expected: Progress
) -> None:
    assert progress.follow(seen) == expected


@pytest.mark.parametrize(
    ("seen", "gap"),
    [
        (view(10, 20, 3, is_idle=True), None),
        (view(10, 20, 3), Gap(after=3, before=10)),
        (view(10, 20, 9, is_new=True), Gap(after=0, before=10)),
        (view(1, 0, 0, is_idle=True, is_new=True), None),
    ],
    ids=["of a rare subject", "behind", "new", "new, and nothing is missing"],
)
def test_a_consumer_without_a_known_position_has_a_gap_only_if_it_is_new_or_behind(
    seen: View, gap: Gap | None
) -> None:
    assert Progress.first(seen).follow(seen).gap == gap


def test_the_time_between_repairs_grows_to_a_day_and_starts_anew_after_two_quiet_days() -> None:
    moment, progress = datetime(2026, 12, 1, tzinfo=UTC), Progress(position=0)
    assert progress.next_repair is None
    delays = []
    for _ in range(13):
        progress = progress.repaired(moment, documents=1)
        assert progress.next_repair is not None
        delays.append((progress.next_repair - moment).total_seconds() / 60)
        moment = progress.next_repair
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440]
    assert progress.repaired(moment, documents=0).repairs == 13
    assert progress.repaired(moment + timedelta(days=3), documents=1).repairs == 1
