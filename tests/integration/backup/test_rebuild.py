"""`ops rebuild` restores replicas from the stream, or from the owning service if the stream has no event."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from bson import ObjectId
from faststream.nats import NatsBroker
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection

from kit.nats import EVENTS
from kit.outbox import Outbox
from ops import rebuild
from services.orders.documents import TicketReplica
from services.tickets.documents import Ticket
from streams.relay import Relay
from tests.integration.backup.conftest import Servers
from tests.integration.streams.conftest import tickets_publishers
from tests.support.operate import CommandResult, operate


@asynccontextmanager
async def ticket_replicas(servers: Servers) -> AsyncIterator[AsyncCollection[dict[str, Any]]]:
    async with AsyncMongoClient[dict[str, Any]](servers.settings.database, tz_aware=True) as client:
        yield client["orders"]["tickets"]


async def rebuild_orders(servers: Servers) -> dict[str, int]:
    counts: Counter[str] = await rebuild.rebuild(servers.settings, "orders")
    return {outcome: count for outcome, count in counts.items() if count}


async def test_a_rebuild_restores_deleted_and_changed_replicas_and_removes_those_without_a_ticket(
    servers: Servers,
) -> None:
    deleted, changed, ahead, unchanged = [
        await servers.add_ticket(f"Low Roar {number}") for number in range(4)
    ]
    await servers.publish_event(deleted, version=1, title="Reykjavik")
    assert await rebuild_orders(servers) == {"written": 4}
    async with ticket_replicas(servers) as collection:
        expected = [copy async for copy in collection.find().sort("_id")]
        await collection.delete_one({"_id": deleted.id})
        await collection.update_one({"_id": changed.id}, {"$set": {"price_minor": 1}})
        await collection.update_one({"_id": ahead.id}, {"$set": {"version": 9, "status": "withdrawn"}})
        await collection.insert_one({**expected[3], "_id": ObjectId()})  # a replica without a ticket
        assert await rebuild_orders(servers) == {"written": 3, "right": 1, "removed": 1}
        assert [copy async for copy in collection.find().sort("_id")] == expected
    assert expected[0]["title"] == "Reykjavik"
    assert unchanged.id in [copy["_id"] for copy in expected]
    assert await rebuild_orders(servers) == {"right": 4}


async def test_a_rebuild_does_not_overwrite_a_newer_event_that_the_service_receives_meanwhile(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = await servers.add_ticket()
    correct_replica = rebuild.correct_replica

    async def receive_and_correct(*arguments: Any) -> Any:
        """Publish and apply a newer event after the rebuild has read the stream and before it writes."""
        await servers.publish_event(ticket, version=1, title="Reykjavik")
        await TicketReplica.follow(
            ticket.key,
            1,
            {"title": "Reykjavik", "price_minor": 1999, "user_id": "b" * 24, "status": "available"},
        )
        return await correct_replica(*arguments)

    monkeypatch.setattr(rebuild, "correct_replica", receive_and_correct)
    assert await rebuild_orders(servers) == {"right": 1}
    async with ticket_replicas(servers) as collection:
        replica = await collection.find_one({"_id": ticket.id})
    assert replica is not None
    assert (replica["version"], replica["title"]) == (1, "Reykjavik")


@asynccontextmanager
async def tickets_relay(servers: Servers) -> AsyncIterator[None]:
    """Run the relay of the tickets service, which publishes events from the outbox."""
    broker = NatsBroker(servers.settings.bus, logger=None)
    await broker.start()
    relay = Relay(tickets_publishers(broker), Outbox([Ticket]), sweep_seconds=0.1)

    async def run() -> None:
        while True:
            with suppress(AttributeError, RuntimeError):  # the rebuild has not opened the database yet
                await relay.run()
            await asyncio.sleep(0.05)

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        await broker.stop()


async def test_a_rebuild_lets_the_owner_republish_an_entity_whose_event_the_stream_has_deleted(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await servers.add_ticket("Old")
    await servers.js.purge_stream(EVENTS)
    with monkeypatch.context() as patch:
        patch.setattr(rebuild, "RELAY_SECONDS", 0)
        assert await rebuild_orders(servers) == {"missing": 1}
    async with tickets_relay(servers):
        assert await rebuild_orders(servers) == {"written": 1}
    async with ticket_replicas(servers) as collection:
        assert [copy["title"] async for copy in collection.find()] == ["Old"]


async def test_a_rebuild_keeps_the_replica_of_an_entity_whose_event_the_stream_has_deleted(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await servers.add_ticket("Old")
    await rebuild_orders(servers)
    await servers.js.purge_stream(EVENTS)
    monkeypatch.setattr(rebuild, "RELAY_SECONDS", 0)
    assert await rebuild_orders(servers) == {"missing": 1}
    async with ticket_replicas(servers) as collection:
        assert [copy["title"] async for copy in collection.find()] == ["Old"]


async def test_a_rebuild_skips_a_poison_message(servers: Servers) -> None:
    await servers.js.publish("ticket.created", b"{]")
    await servers.add_ticket()
    assert await rebuild_orders(servers) == {"written": 1}


async def test_the_rebuild_command_reports_how_many_replicas_it_changed(servers: Servers) -> None:
    await servers.add_ticket()
    environment = {"NATS_URL": servers.settings.bus[0], "MONGO_URL": servers.settings.database}
    ran = await operate("rebuild", "orders", environment=environment)
    assert ran == CommandResult(
        0, "Replicas of tickets in orders: 0 were right, 1 were rewritten and 0 were removed.\n", ""
    )
