"""Reads and guarded writes are single commands whose filters contain no `$and` or `$or`.

The embedded database reads the whole collection for other commands.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

import kit.mongo
from contracts.api import TicketBody
from contracts.wire import now
from kit import rate_limits
from kit.images.results import Rendered
from kit.rate_limits import limit
from services.orders import actions as orders_actions
from services.orders.actions import Terms
from services.orders.documents import TicketReplica
from services.tickets import actions as tickets_actions
from services.tickets import pictures, sales
from services.tickets.documents import DEMAND, SUMMARIZED, Ticket
from services.tickets.shows.popularity import refresh
from tests.support.owners import FakeOwner
from tests.support.service import Served, SettingsWith, new_id, serving

SELLER, BUYER = new_id(), new_id()


class Commands(CommandListener):
    """The commands that the database client has sent since `clear` was called."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name not in ("endSessions", "hello", "getMore"):
            self.sent.append(dict(event.command))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Do nothing, because `started` has recorded the command."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Do nothing, because `started` has recorded the command."""

    def clear(self) -> None:
        self.sent = []

    @property
    def names(self) -> list[str]:
        return [next(iter(command)) for command in self.sent]

    @property
    def filters(self) -> list[dict[str, Any]]:
        """The filters of all finds, updates and deletions."""
        return [
            part
            for command in self.sent
            for part in [
                *([command["filter"]] if "filter" in command else []),
                *(one["q"] for kind in ("updates", "deletes") for one in command.get(kind, [])),
            ]
        ]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    commands = Commands()
    monkeypatch.setattr(kit.mongo, "AsyncMongoClient", partial(AsyncMongoClient, event_listeners=[commands]))
    return commands


async def rest(*_: object) -> None:
    """Replaces a sweep."""


@pytest_asyncio.fixture(loop_scope="session")
async def tickets(
    commands: Commands, settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Served]:
    """The service without its sweeps, whose commands would be among the recorded ones."""
    for sweep in (
        "pictures.sweep",
        "shows.merging.sweep",
        "alerts.waves.Waves.sweep",
        "alerts.waves.purge",
        "shows.popularity.refresh",
        "files.retention.sweep",
        "files.vault.Vault.check",
    ):
        monkeypatch.setattr(f"services.tickets.{sweep}", rest)
    async with serving("tickets", settings_with()) as served:
        yield served


@pytest_asyncio.fixture(loop_scope="session")
async def orders(
    commands: Commands, settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Served]:
    monkeypatch.setattr("services.orders.evidence.storing.sweep", rest)
    async with serving("orders", settings_with()) as served:
        yield served


def is_flat(filter_: dict[str, Any]) -> bool:
    return not any(name.startswith("$") for name in filter_)


async def list_ticket(title: str = "Hamlet") -> Ticket:
    return await tickets_actions.offer(SELLER, TicketBody.model_validate({"title": title, "price": 10}))


async def test_a_change_sends_a_find_and_one_guarded_update(tickets: Served, commands: Commands) -> None:
    ticket = await list_ticket()
    commands.clear()
    await tickets_actions.withdraw(ticket.key, SELLER)
    assert commands.names == ["find", "update"]
    assert commands.filters == [{"_id": ticket.id}, {"_id": ticket.id, "version": 0}]


async def test_a_private_change_sends_one_guarded_update(tickets: Served, commands: Commands) -> None:
    ticket = await list_ticket()
    commands.clear()
    assert await ticket.save_private({"idempotency_key": "a"}, idempotency_key=None)
    assert commands.names == ["update"]
    assert commands.filters == [{"_id": ticket.id, "version": 0, "idempotency_key": None}]


async def test_updating_a_replica_sends_one_upsert(orders: Served, commands: Commands) -> None:
    key, state = new_id(), {"title": "Hamlet", "price_minor": 1, "user_id": SELLER, "status": "available"}
    commands.clear()
    await TicketReplica.follow(key, 3, state)
    assert commands.names == ["update"]
    assert commands.filters == [{"_id": ObjectId(key), "version": {"$lt": 3}}]
    assert commands.sent[0]["updates"][0]["upsert"] is True


async def test_counting_a_request_sends_one_upsert(
    orders: Served, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = now()
    monkeypatch.setattr(rate_limits, "now", lambda: time)
    commands.clear()
    await limit("reserve", BUYER, 5)
    assert commands.names == ["update"]
    assert commands.sent[0]["updates"][0]["upsert"] is True
    assert all(map(is_flat, commands.filters))


async def test_a_reservation_of_a_new_ticket_sends_an_insert_between_two_finds(
    orders: Served, commands: Commands
) -> None:
    key, state = new_id(), {"title": "Hamlet", "price_minor": 1, "user_id": SELLER, "status": "available"}
    await TicketReplica.follow(key, 0, state)
    commands.clear()
    await orders_actions.reserve(key, new_id(), Terms(timedelta(minutes=15), max_live=5), FakeOwner())
    # The last one looks whether the account was deleted meanwhile.
    assert commands.names == ["find", "insert", "find"]


async def test_a_reservation_of_a_ticket_that_was_held_sends_three_finds_with_flat_filters_and_one_insert(
    orders: Served, commands: Commands
) -> None:
    key, state = new_id(), {"title": "Hamlet", "price_minor": 1, "user_id": SELLER, "status": "available"}
    await TicketReplica.follow(key, 2, state)
    commands.clear()
    await orders_actions.reserve(key, new_id(), Terms(timedelta(minutes=15), max_live=5), FakeOwner())
    assert commands.names == ["find", "find", "insert", "find"]
    assert all(map(is_flat, commands.filters))
    assert commands.sent[1].get("projection") == dict.fromkeys(
        ("hold", "user_id", "network", "wide_network", "live", "ended_at"), 1
    )


async def test_reading_a_picture_loads_only_the_requested_size(tickets: Served, commands: Commands) -> None:
    await pictures.store(Rendered(small=b"small", large=b"large"))
    commands.clear()
    name = Rendered(small=b"small", large=b"large").name
    assert await pictures.read(name, "large") == b"large"
    assert commands.names == ["find"]
    assert commands.sent[0]["projection"] == {"large": 1}


@pytest.mark.parametrize("read", [sales.count_sales, sales.summary])
async def test_the_database_adds_up_a_sellers_tickets_from_one_index(
    tickets: Served, commands: Commands, read: Callable[[str], Awaitable[object]]
) -> None:
    await list_ticket()
    commands.clear()
    await read(SELLER)
    assert commands.names == ["aggregate"]
    match, group, *_ = commands.sent[0]["pipeline"]
    fields = {*match["$match"], *re.findall(r"'\$([a-z]\w+)'", str(group["$group"]))} - {"sum"}
    assert fields <= set(SUMMARIZED)


async def test_the_demand_for_events_is_counted_from_an_index_alone(
    tickets: Served, commands: Commands
) -> None:
    await list_ticket()
    commands.clear()
    await refresh(tickets.app.state.catalogue)
    assert commands.names == ["aggregate", "aggregate"]
    for match, group, *_ in (command["pipeline"] for command in commands.sent):
        assert is_flat(match["$match"])
        assert {*match["$match"], group["$group"]["_id"].removeprefix("$")} == set(DEMAND)
    assert [command["pipeline"][0]["$match"]["status"] for command in commands.sent] == ["sold", "reserved"]
