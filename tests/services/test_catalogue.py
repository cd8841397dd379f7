"""The list is read from memory, and yet shows what anybody wrote."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo.asynchronous.cursor import AsyncCursor

from contracts.api import TicketBody
from contracts.events import OrderCancelled, OrderCreated, OrderedTicket
from contracts.wire import now
from services.tickets import actions, catalogue
from services.tickets.catalogue import Catalogue
from services.tickets.documents import Ticket
from tests.services.conftest import SettingsWith
from tests.services.served import Served, new_id, serving

SELLER = new_id()


@pytest.fixture
async def copy(tickets: Served) -> Catalogue:
    """Another process's, which hears of no write."""
    copy = Catalogue()
    await copy.on_sale()
    return copy


@pytest.fixture
def never_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look reads anew."""
    monkeypatch.setattr(catalogue, "FRESH_SECONDS", 0.0)


async def offer(title: str, **fields: Any) -> Ticket:
    return await actions.offer(SELLER, TicketBody.model_validate({"title": title, "price": 10, **fields}))


async def seen(of: Catalogue) -> list[str]:
    return [entry.ticket.title for entry in (await of.on_sale()).by("id")]


async def listed(tickets: Served) -> list[str]:
    answer = await tickets.ask("GET", "/api/tickets")
    assert answer.status_code == 200, answer.text
    return [ticket["title"] for ticket in answer.json()]


def held(ticket: Ticket) -> dict[str, Any]:
    return {
        "id": new_id(),
        "user_id": new_id(),
        "expires_at": now(),
        "hold": 1,
        "ticket": OrderedTicket(id=ticket.key, title=ticket.title, price="10"),  # type: ignore[arg-type]
    }


async def test_what_a_process_writes_it_lists_at_once(tickets: Served) -> None:
    ticket = await offer("Hamlet")
    assert await listed(tickets) == ["Hamlet"]
    await actions.edit(ticket.key, SELLER, TicketBody.model_validate({"title": "Lear", "price": 1}))
    assert await listed(tickets) == ["Lear"]
    order = held(ticket)
    await actions.follow_order(OrderCreated(version=0, status="created", **order))
    assert await listed(tickets) == []
    await actions.follow_order(OrderCancelled(version=1, status="cancelled", **order))
    assert await listed(tickets) == ["Lear"]
    await actions.withdraw(ticket.key, SELLER)
    assert await listed(tickets) == []


async def test_another_process_lists_it_within_half_a_second(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(at=1000.0)
    monkeypatch.setattr(catalogue, "time", SimpleNamespace(monotonic=lambda: clock.at))
    copy = Catalogue()
    assert await seen(copy) == []
    await offer("Hamlet")
    assert await seen(copy) == []
    clock.at += 0.5
    assert await seen(copy) == ["Hamlet"]


@pytest.mark.usefixtures("never_fresh")
async def test_another_process_sees_every_change(tickets: Served, copy: Catalogue) -> None:
    ticket = await offer("Hamlet")
    assert await seen(copy) == ["Hamlet"]
    await actions.edit(ticket.key, SELLER, TicketBody.model_validate({"title": "Lear", "price": 1}))
    assert await seen(copy) == ["Lear"]
    await actions.follow_order(OrderCreated(version=0, status="created", **held(ticket)))
    assert await seen(copy) == []


@pytest.mark.usefixtures("never_fresh")
async def test_what_a_clock_that_is_slow_wrote_is_seen_too(tickets: Served, copy: Catalogue) -> None:
    ticket = await offer("Hamlet")
    assert await seen(copy) == ["Hamlet"]
    await Ticket.get_pymongo_collection().update_one(
        {"_id": ticket.id},
        {"$set": {"title": "Lear", "touched": now() - timedelta(seconds=4)}, "$inc": {"version": 1}},
    )
    assert await seen(copy) == ["Lear"]


@pytest.mark.usefixtures("never_fresh")
async def test_what_was_long_on_its_way_is_seen_when_it_looks_further_back(
    tickets: Served, copy: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = await offer("Hamlet")
    assert await seen(copy) == ["Hamlet"]
    await Ticket.get_pymongo_collection().update_one(
        {"_id": ticket.id},
        {"$set": {"title": "Lear", "touched": now() - timedelta(seconds=40)}, "$inc": {"version": 1}},
    )
    assert await seen(copy) == ["Hamlet"]
    copy._long_look_at = 0.0
    assert await seen(copy) == ["Lear"]


async def test_documents_from_before_are_listed_and_change_like_others(
    settings_with: SettingsWith,
) -> None:
    old = {
        "user_id": SELLER,
        "title": "Hamlet",
        "price_minor": 1000,
        "starts_at": None,
        "venue": None,
        "city": "Köln",
        "status": "available",
        "withdrawn": False,
        "order_id": None,
        "hold": 0,
        "order_version": -1,
        "words": ["hamlet", "koln"],
        "version": 3,
        "outbox": [],
    }
    async with serving("tickets", settings_with()) as tickets:
        key = str((await tickets.database["tickets"].insert_one(old)).inserted_id)
    async with serving("tickets", settings_with(), fresh=False) as tickets:
        (ticket,) = (await tickets.ask("GET", "/api/tickets?q=koln")).json()
        assert (ticket["id"], ticket["quantity"], ticket["timeZone"]) == (key, 1, None)
        await actions.withdraw(key, SELLER)
        assert await listed(tickets) == []


async def test_after_a_restart_the_list_is_the_same(settings_with: SettingsWith) -> None:
    async with serving("tickets", settings_with()) as tickets:
        for title in ("Hamlet", "Lear"):
            await offer(title)
        gone = await offer("gone")
        await actions.withdraw(gone.key, SELLER)
        before = (await tickets.ask("GET", "/api/tickets")).json()
    async with serving("tickets", settings_with(), fresh=False) as tickets:
        assert (await tickets.ask("GET", "/api/tickets")).json() == before


async def test_many_looks_at_once_read_once(
    tickets: Served, copy: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = _counted(monkeypatch)
    copy._fresh_until = 0.0
    await asyncio.gather(*(copy.on_sale() for _ in range(50)))
    assert len(reads) == 1


async def test_nothing_is_read_while_it_is_fresh(
    tickets: Served, copy: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "FRESH_SECONDS", 60.0)
    copy._fresh_until = 0.0
    await copy.on_sale()
    reads = _counted(monkeypatch)
    for _ in range(3):
        await copy.on_sale()
    assert reads == []


@pytest.mark.usefixtures("never_fresh")
async def test_what_is_known_already_is_not_read_again(
    tickets: Served, copy: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await offer("Hamlet")
    assert await seen(copy) == ["Hamlet"]
    reads = _counted(monkeypatch)
    assert await seen(copy) == ["Hamlet"]
    assert len(reads) == 1  # what was touched; not the tickets themselves


@pytest.mark.usefixtures("never_fresh")
async def test_many_changes_at_once_are_all_seen(tickets: Served, copy: Catalogue) -> None:
    titles = [f"t{n:02}" for n in range(catalogue.FEW + 5)]
    offers = [await offer(title) for title in titles]
    assert await seen(copy) == titles
    for ticket in offers:
        await actions.withdraw(ticket.key, SELLER)
    assert await seen(copy) == []


async def test_an_older_state_that_was_read_does_not_undo_an_own_write(tickets: Served) -> None:
    own = Catalogue()
    await own.on_sale()
    older = await offer("Hamlet")
    newer = older.model_copy(update={"version": 1, "status": "withdrawn"})
    own.wrote(newer)
    own.wrote(older)
    assert own._entries == {}
    await own._read({})  # a look that began before the write and ends after it
    assert own._entries == {}


async def test_what_has_begun_is_forgotten(
    tickets: Served, copy: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins = now() + timedelta(hours=1)
    await offer("soon", startsAt=begins.isoformat())
    copy._fresh_until = 0.0
    assert await seen(copy) == ["soon"]
    monkeypatch.setattr(catalogue, "now", lambda: begins)
    copy._fresh_until = copy._long_look_at = 0.0
    assert await seen(copy) == []


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grows with each query that is sent."""
    reads: list[None] = []
    refresh = AsyncCursor._refresh

    async def counted(cursor: AsyncCursor[Any]) -> int:
        if cursor._id is None and not cursor._killed:
            reads.append(None)
        return await refresh(cursor)

    monkeypatch.setattr(AsyncCursor, "_refresh", counted)
    return reads
