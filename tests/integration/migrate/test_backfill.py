"""`just migrate` gives listings of earlier versions the events that they are for."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from bson import ObjectId
from pymongo.errors import AutoReconnect

import ops.backfill
import ops.migrate
import streams.tickets
from contracts.wire import now
from kit.mongo import Database, connect
from ops.migrate import NotMigrated, create_indexes, migrate
from services.tickets.documents import Ticket
from settings import Settings

START = now().replace(year=2031, microsecond=0)
WHERE: dict[str, Any] = {
    "starts_at": START,
    "venue": "Tempodrom",
    "city": "Berlin",
    "time_zone": "Europe/Berlin",
}


@pytest.fixture(autouse=True)
def one_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops.migrate, "PROCESSES", (streams.tickets.service,))


@pytest.fixture
def settings(mongo: str) -> Settings:
    return Settings.model_validate({"mongo_url": mongo})


@pytest_asyncio.fixture
async def tickets(settings: Settings) -> AsyncIterator[Database]:
    async with connect(settings.database) as client:
        await client.drop_database("tickets")
        database = client.get_database("tickets")
        await create_indexes(database, streams.tickets.service.documents)
        yield database


async def run(settings: Settings, **options: Any) -> list[str]:
    lines: list[str] = []
    await migrate(settings, lines.append, **options)
    return lines


async def lists(tickets: Database, title: str = "Nick Cave", **fields: Any) -> ObjectId:
    """Store a ticket as an earlier version did."""
    stored = {"user_id": "e" * 24, "title": title, "price_minor": 4500, "status": "available", **fields}
    values = {"version": 0, "quantity": 1, "updated_at": now(), "outbox": [], **stored}
    result = await tickets["tickets"].insert_one(values)
    key: ObjectId = result.inserted_id
    return key


async def shown(tickets: Database, key: ObjectId) -> dict[str, Any]:
    found = await tickets["tickets"].find_one({"_id": key})
    assert found is not None
    return found


async def test_listings_for_the_same_event_get_one_show_and_publish_it(
    settings: Settings, tickets: Database
) -> None:
    first = await lists(tickets, **WHERE)
    second = await lists(tickets, "NICK CAVE", status="sold", **WHERE)
    assert await run(settings) == ["looked for the events of 2 listings"]
    [show] = await tickets["shows"].find().to_list()
    for key in (first, second):
        ticket = await shown(tickets, key)
        assert (ticket["show_id"], ticket["country"], ticket["version"]) == (str(show["_id"]), "DE", 1)
        [event] = ticket["outbox"]
        assert json.loads(event["body"])["showId"] == str(show["_id"])


async def test_a_listing_without_a_date_gets_the_only_event_with_its_title_also_if_it_is_older(
    settings: Settings, tickets: Database
) -> None:
    undated, alone = await lists(tickets), await lists(tickets, "Hamlet")
    dated = await lists(tickets, **WHERE)
    await run(settings)
    assert (await shown(tickets, undated))["show_id"] == (await shown(tickets, dated))["show_id"]
    unplaced = await shown(tickets, alone)
    assert (unplaced["show_id"], unplaced["version"], unplaced["outbox"]) == (None, 0, [])


async def test_a_repeated_run_changes_nothing(settings: Settings, tickets: Database) -> None:
    keys = [await lists(tickets, **WHERE), await lists(tickets, "Hamlet")]
    await run(settings)
    before = [await shown(tickets, key) for key in keys]
    assert await run(settings) == []
    assert [await shown(tickets, key) for key in keys] == before


async def test_a_dry_run_only_counts(settings: Settings, tickets: Database) -> None:
    key = await lists(tickets, **WHERE)
    assert await run(settings, dry_run=True) == ["would look for the events of 1 listings"]
    assert "show_id" not in await shown(tickets, key)
    assert await tickets["shows"].count_documents({}) == 0


async def test_an_interrupted_run_is_continued_by_the_next(
    settings: Settings, tickets: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [await lists(tickets, **WHERE) for _ in range(5)]
    monkeypatch.setattr(ops.backfill, "BATCH_SIZE", 2)
    write, written = Ticket.write, 0

    async def write_three(ticket: Ticket, changes: Any) -> Ticket | None:
        nonlocal written
        written += 1
        if written > 3:
            raise AutoReconnect("the connection is lost")
        return await write(ticket, changes)

    with monkeypatch.context() as interrupted:
        interrupted.setattr(Ticket, "write", write_three)
        with pytest.raises(NotMigrated, match="Some listings have no event, repeat the command"):
            await run(settings)
    done = ["show_id" in await shown(tickets, key) for key in keys]
    assert done == [True, True, True, False, False]
    assert await run(settings) == ["looked for the events of 2 listings"]
    assert len({(await shown(tickets, key))["show_id"] for key in keys}) == 1


async def test_a_seller_who_edits_meanwhile_keeps_the_edit(
    settings: Settings, tickets: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await lists(tickets, **WHERE)
    first = Ticket.first
    reads = 0

    async def first_then_edited(which: dict[str, Any]) -> Ticket | None:
        nonlocal reads
        reads += 1
        if reads == 2:  # an old version writes without a show
            edit = {"$set": {"venue": "Astra"}, "$inc": {"version": 1}}
            await tickets["tickets"].update_one({"_id": key}, edit)
        return await first(which)

    monkeypatch.setattr(Ticket, "first", first_then_edited)
    await run(settings)
    ticket = await shown(tickets, key)
    edited = await tickets["shows"].find_one({"venue": "Astra"})
    assert edited is not None
    assert (ticket["venue"], ticket["show_id"]) == ("Astra", str(edited["_id"]))
