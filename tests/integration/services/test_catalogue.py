"""The search contains this process's own writes, the events of others, and what a sweep finds."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from pymongo.asynchronous.cursor import AsyncCursor

from contracts.api import Ticket as TicketView
from contracts.api import TicketBody
from contracts.events import OrderCancelled, OrderCreated, OrderedTicket
from contracts.money import from_minor_units
from contracts.wire import now
from kit.background import running
from kit.errors import Unavailable
from services.tickets import actions, catalogue
from services.tickets.catalogue import Catalogue
from services.tickets.documents import Ticket
from services.tickets.query import Query
from services.tickets.search_index import SearchIndex, TooSlow
from tests.support.polling import until
from tests.support.service import Served, SettingsWith, new_id, serving

SELLER = new_id()


async def no_position() -> int | None:
    return None


@pytest_asyncio.fixture(loop_scope="session")
async def other(tickets: Served) -> Catalogue:
    """The catalogue of another process, which isn't informed of writes in this one."""
    other = Catalogue(no_position)
    await other.sweep()
    return other


async def offer(title: str, **fields: Any) -> Ticket:
    return await actions.offer(SELLER, TicketBody.model_validate({"title": title, "price": 10, **fields}))


async def rename(ticket: Ticket, title: str) -> Ticket:
    return await actions.edit(ticket.key, SELLER, TicketBody.model_validate({"title": title, "price": 1}))


async def seen(of: Catalogue) -> list[str]:
    def all_titles(index: SearchIndex) -> list[str]:
        hits, _ = index.find(Query(), "newest", None, 1000, now())
        return [TicketView.model_validate_json(hit.body).title for hit in reversed(hits)]

    return await of.search(all_titles, now())


async def listed(tickets: Served) -> list[str]:
    answer = await tickets.ask("GET", "/api/tickets")
    assert answer.status_code == 200, answer.text
    return [ticket["title"] for ticket in answer.json()]


def order_fields(ticket: Ticket) -> dict[str, Any]:
    return {
        "id": new_id(),
        "user_id": new_id(),
        "expires_at": now(),
        "hold": 1,
        "ticket": OrderedTicket(
            id=ticket.key, title=ticket.title, price=from_minor_units(ticket.price_minor)
        ),
    }


async def test_a_process_lists_its_own_writes_at_once(tickets: Served) -> None:
    ticket = await offer("Hamlet")
    assert await listed(tickets) == ["Hamlet"]
    renamed = await rename(ticket, "Lear")
    assert await listed(tickets) == ["Lear"]
    order = order_fields(renamed)
    await actions.follow_order(OrderCreated(version=0, status="created", **order))
    assert await listed(tickets) == []
    await actions.follow_order(OrderCancelled(version=1, status="cancelled", **order))
    assert await listed(tickets) == ["Lear"]
    await actions.withdraw(ticket.key, SELLER)
    assert await listed(tickets) == []


async def test_listeners_are_called_with_each_published_ticket_until_their_block_ends(
    tickets: Served,
) -> None:
    first: list[Ticket] = []
    second: list[Ticket] = []
    with Ticket.on_write(first.append):
        with Ticket.on_write(second.append):
            ticket = await offer("Hamlet")
        renamed = await ticket.save_and_publish({"title": "Lear"})
        assert await ticket.save_and_publish({"title": "Othello"}) is None  # an outdated version
    assert renamed is not None
    assert await renamed.save_and_publish({"title": "Macbeth"})
    assert ([each.title for each in first], [each.title for each in second]) == (
        ["Hamlet", "Lear"],
        ["Hamlet"],
    )


async def test_events_of_another_process_are_applied_without_a_read(
    tickets: Served, other: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = await offer("Hamlet")
    renamed = await rename(offered, "Lear")
    reserved = renamed.model_copy(update={"version": 2, "status": "reserved"})
    reads = _counted(monkeypatch)
    for position, (ticket, expected) in enumerate(
        [(offered, ["Hamlet"]), (renamed, ["Lear"]), (offered, ["Lear"]), (reserved, []), (renamed, [])]
    ):
        other.follow(ticket.event(), position)
        assert await seen(other) == expected
    assert reads == []


async def test_a_sweep_finds_new_edited_and_reserved_tickets(tickets: Served, other: Catalogue) -> None:
    ticket = await offer("Hamlet")
    await other.sweep()
    assert await seen(other) == ["Hamlet"]
    renamed = await rename(ticket, "Lear")
    await other.sweep()
    assert await seen(other) == ["Lear"]
    await actions.follow_order(OrderCreated(version=0, status="created", **order_fields(renamed)))
    await other.sweep()
    assert await seen(other) == []


async def test_another_process_lists_a_new_ticket_soon_while_the_bus_is_down(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "OUTAGE_SWEEP_SECONDS", 0.05)
    async with following(Catalogue(no_position)) as other:
        assert await seen(other) == []
        await offer("Hamlet")
        await until(lambda: seen(other), lambda titles: titles == ["Hamlet"], seconds=5)


async def test_a_missed_event_is_repaired_by_the_regular_sweep(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(catalogue, "OUTAGE_SWEEP_SECONDS", 3600.0)
    other = Catalogue(a_position(7))
    other.connected()
    async with following(other):
        await until(lambda: positions(other), lambda position: position == 7, seconds=5)
        await offer("Hamlet")  # its event doesn't arrive
        await until(lambda: seen(other), lambda titles: titles == ["Hamlet"], seconds=5)


async def test_the_position_advances_with_events_only_while_none_can_be_missing(
    tickets: Served,
) -> None:
    last = 10
    ticket = await offer("Hamlet")

    async def last_position() -> int | None:
        return last

    other = Catalogue(last_position)
    other.follow(ticket.event(), 3)  # before the first sweep
    assert other.position == 0
    await other.sweep()
    assert other.position == 0  # not connected
    other.connected()
    await other.sweep()
    assert other.position == 10
    other.follow(ticket.event(), 12)
    assert other.position == 12
    other.disconnected()
    other.connected()
    other.follow(ticket.event(), 20)  # 13 to 19 may be missing
    assert other.position == 12
    last = 19
    await other.sweep()
    assert other.position == 20
    other.follow(None, 21)
    assert other.position == 21


async def test_a_disconnection_during_a_sweep_leaves_the_position_unknown(tickets: Served) -> None:
    async def disconnected() -> int | None:
        interrupted.disconnected()
        interrupted.connected()
        return 10

    interrupted = Catalogue(disconnected)
    interrupted.connected()
    await interrupted.sweep()
    assert interrupted.position == 0
    interrupted.follow((await offer("Hamlet")).event(), 11)
    assert interrupted.position == 0


async def test_a_write_by_a_process_with_a_slow_clock_is_found(tickets: Served, other: Catalogue) -> None:
    ticket = await offer("Hamlet")
    await other.sweep()
    await Ticket.get_pymongo_collection().update_one(
        {"_id": ticket.id},
        {"$set": {"title": "Lear", "updated_at": now() - timedelta(seconds=4)}, "$inc": {"version": 1}},
    )
    await other.sweep()
    assert await seen(other) == ["Lear"]


async def test_a_write_with_a_much_older_timestamp_is_found_by_the_next_sweep_with_a_long_overlap(
    tickets: Served, other: Catalogue
) -> None:
    ticket = await offer("Hamlet")
    await other.sweep()
    await Ticket.get_pymongo_collection().update_one(
        {"_id": ticket.id},
        {"$set": {"title": "Lear", "updated_at": now() - timedelta(seconds=40)}, "$inc": {"version": 1}},
    )
    await other.sweep()
    assert await seen(other) == ["Hamlet"]
    other._long_overlap_at = 0.0
    await other.sweep()
    assert await seen(other) == ["Lear"]


async def test_events_that_seemed_to_have_begun_are_listed_again_after_the_clock_is_set_back(
    tickets: Served, other: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins = now() + timedelta(hours=1)
    await offer("soon", startsAt=begins.isoformat())
    await other.sweep()
    with monkeypatch.context() as ahead:
        ahead.setattr(catalogue, "now", lambda: begins)
        await other.sweep()
        assert await other.search(lambda index: index.drop_begun(begins), begins)
    assert await seen(other) == []
    await other.sweep()
    assert await seen(other) == ["soon"]


async def test_the_list_is_the_same_after_a_restart(settings_with: SettingsWith) -> None:
    async with serving("tickets", settings_with()) as tickets:
        for title in ("Hamlet", "Lear"):
            await offer(title)
        gone = await offer("gone")
        await actions.withdraw(gone.key, SELLER)
        before = (await tickets.ask("GET", "/api/tickets")).json()
    async with serving("tickets", settings_with(), fresh=False) as tickets:
        assert (await tickets.ask("GET", "/api/tickets")).json() == before


async def test_tickets_with_known_versions_are_not_read_again(
    tickets: Served, other: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await offer("Hamlet")
    await other.sweep()
    reads = _counted(monkeypatch)
    await other.sweep()
    assert len(reads) == 1  # for the versions of updated tickets
    assert await seen(other) == ["Hamlet"]
    assert len(reads) == 1


async def test_more_changes_than_can_be_read_by_id_are_all_found(tickets: Served, other: Catalogue) -> None:
    titles = [f"t{n:02}" for n in range(catalogue.MAX_READS_BY_ID + 5)]
    offers = [await offer(title) for title in titles]
    await other.sweep()
    assert await seen(other) == titles
    for ticket in offers:
        await actions.withdraw(ticket.key, SELLER)
    await other.sweep()
    assert await seen(other) == []


async def test_reading_an_older_state_does_not_undo_a_newer_write(tickets: Served, other: Catalogue) -> None:
    older = await offer("Hamlet")
    newer = older.model_copy(update={"version": 1, "status": "withdrawn"})
    other.wrote(newer)
    other.wrote(older)
    assert await seen(other) == []
    await other._read({})  # like a read that began before the write and ends after it
    assert await seen(other) == []


async def test_a_ticket_that_cannot_be_read_does_not_hide_the_others(
    tickets: Served, other: Catalogue
) -> None:
    broken, _ = await offer("Hamlet"), await offer("Lear")
    await Ticket.get_pymongo_collection().update_one({"_id": broken.id}, {"$set": {"price_minor": "much"}})
    await other.sweep()
    assert await seen(other) == ["Lear"]


async def test_a_slow_search_continues_in_a_thread_and_writes_meanwhile_are_seen_by_the_next_one(
    tickets: Served, other: Catalogue
) -> None:
    ticket = await offer("Hamlet")
    attempts: list[str] = []
    following_searches: list[asyncio.Task[list[str]]] = []

    def slow(index: SearchIndex) -> int:
        attempts.append("attempt")
        if len(attempts) == 1:
            raise TooSlow
        following_searches.append(asyncio.run_coroutine_threadsafe(write(), loop).result())
        return index.find(Query(), "newest", None, 10, now())[1]

    async def write() -> asyncio.Task[list[str]]:
        other.wrote(ticket)
        return asyncio.create_task(seen(other))

    loop = asyncio.get_running_loop()
    assert await other.search(slow, now()) == 0
    assert await following_searches[0] == ["Hamlet"]
    assert attempts == ["attempt", "attempt"]


async def test_a_search_that_takes_long_is_interrupted_on_the_event_loop(other: Catalogue) -> None:
    numbers = """(
        WITH RECURSIVE numbers(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM numbers WHERE x < 300000)
        SELECT count(*) FROM numbers
    )"""
    threads: list[bool] = []

    def search(index: SearchIndex) -> int:
        threads.append(_is_on_loop())
        ((count,),) = index.rows(numbers, [], "*")
        return int(count)

    assert await other.search(search, now()) == 300000
    assert threads == [True, False]


async def test_a_cancelled_search_leaves_the_catalogue_usable(tickets: Served, other: Catalogue) -> None:
    def slow(index: SearchIndex) -> None:
        if _is_on_loop():
            raise TooSlow

    task = asyncio.create_task(other.search(slow, now()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    other.wrote(await offer("Hamlet"))
    assert await seen(other) == ["Hamlet"]


async def test_many_events_that_begin_together_are_removed_in_a_thread(other: Catalogue) -> None:
    begins = now() + timedelta(hours=1)
    for n in range(catalogue.MAX_BEGUN_ON_LOOP + 1):
        other.wrote(await offer(f"t{n}", startsAt=begins.isoformat()))
    threads: list[bool] = []

    def search(index: SearchIndex) -> int:
        threads.append(_is_on_loop())
        return index.find(Query(), "newest", None, 1, begins)[1]

    assert await other.search(search, begins) == 0
    assert threads == [False]


async def test_a_search_waits_for_the_catalogue_to_be_filled(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await offer("Hamlet")
    empty = Catalogue(no_position)
    early = asyncio.create_task(seen(empty))
    await asyncio.sleep(0)
    await empty.sweep()
    assert await early == ["Hamlet"]
    monkeypatch.setattr(catalogue, "LOAD_SECONDS", 0.01)
    with pytest.raises(Unavailable):
        await seen(Catalogue(no_position))


async def test_a_process_is_not_ready_before_the_search_is(
    settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_load = asyncio.Event()
    sweep = Catalogue.sweep

    async def later(self: Catalogue) -> None:
        await may_load.wait()
        await sweep(self)

    monkeypatch.setattr(Catalogue, "sweep", later)
    monkeypatch.setattr(catalogue, "LOAD_SECONDS", 0.01)
    async with serving("tickets", settings_with()) as tickets:
        answer = await tickets.ask("GET", "/health/ready")
        assert answer.status_code == 503
        assert answer.json()["missing"] == ["NATS", "search"]
        assert (await tickets.ask("GET", "/api/tickets")).status_code == 503
        may_load.set()
        await until(lambda: listed_or_none(tickets), lambda titles: titles == [], seconds=5)
        assert (await tickets.ask("GET", "/health/ready")).json()["missing"] == ["NATS"]


async def test_a_read_that_fails_at_the_start_is_repeated(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await offer("Hamlet")
    monkeypatch.setattr(catalogue, "RETRY_SECONDS", 0.01)
    read, failures = Catalogue._read, [OSError("the database is away")]

    async def fail_once(self: Catalogue, which: Any) -> None:
        if failures:
            raise failures.pop()
        await read(self, which)

    monkeypatch.setattr(Catalogue, "_read", fail_once)
    async with following(Catalogue(no_position)) as other:
        assert await seen(other) == ["Hamlet"]


def a_position(position: int) -> Callable[[], Awaitable[int | None]]:
    async def last_position() -> int | None:
        return position

    return last_position


@asynccontextmanager
async def following(of: Catalogue) -> AsyncIterator[Catalogue]:
    async with running(of.run()):
        yield of


async def positions(of: Catalogue) -> int:
    return of.position


async def listed_or_none(tickets: Served) -> list[str] | None:
    answer = await tickets.ask("GET", "/api/tickets")
    return answer.json() if answer.status_code == 200 else None


def _is_on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """A list that gets one entry for each query that is sent."""
    reads: list[None] = []
    refresh = AsyncCursor._refresh

    async def counted(cursor: AsyncCursor[Any]) -> int:
        if cursor._id is None and not cursor._killed:
            reads.append(None)
        return await refresh(cursor)

    monkeypatch.setattr(AsyncCursor, "_refresh", counted)
    return reads
