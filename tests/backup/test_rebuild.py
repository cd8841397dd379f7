"""Copies of what others own are built anew, whatever became of them."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from bson import ObjectId
from faststream.nats import NatsBroker
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection

from sandbox.processes import FROM_CHECKOUT
from services.kit import rebuilding
from services.kit.outbox import Outbox
from services.orders.documents import Ticket as KnownTicket
from services.tickets.documents import Ticket
from streams import rebuild
from streams.relay import Relay
from streams.topology import EVENTS
from tests.backup.conftest import Stored

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def copies(stored: Stored) -> AsyncIterator[AsyncCollection[dict[str, Any]]]:
    async with AsyncMongoClient[dict[str, Any]](stored.settings.database, tz_aware=True) as client:
        yield client["orders"]["tickets"]


async def rebuilt(stored: Stored) -> dict[str, int]:
    counts: Counter[str] = await rebuild.run(stored.settings, stored.js, "orders")
    return {outcome: count for outcome, count in counts.items() if count}


async def test_copies_that_are_gone_or_were_changed_by_hand_are_built_anew(stored: Stored) -> None:
    gone, changed, ahead, right = [await stored.offer(f"Low Roar {number}") for number in range(4)]
    await stored.say(gone, version=1, title="Reykjavik")
    assert await rebuilt(stored) == {"written": 4}
    async with copies(stored) as collection:
        whole = [copy async for copy in collection.find().sort("_id")]
        await collection.delete_one({"_id": gone.id})
        await collection.update_one({"_id": changed.id}, {"$set": {"price_minor": 1}})
        await collection.update_one({"_id": ahead.id}, {"$set": {"version": 9, "status": "withdrawn"}})
        await collection.insert_one({**whole[3], "_id": ObjectId()})  # of no ticket at all
        assert await rebuilt(stored) == {"written": 3, "right": 1, "removed": 1}
        assert [copy async for copy in collection.find().sort("_id")] == whole
    assert whole[0]["title"] == "Reykjavik"
    assert right.id in [copy["_id"] for copy in whole]
    assert await rebuilt(stored) == {"right": 4}


async def test_what_the_service_hears_meanwhile_stays(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = await stored.offer()
    put_right = rebuilding.put_right

    async def later(*what: Any) -> Any:
        """The next event is published, and heard, between the reading of the stream and the first write."""
        await stored.say(ticket, version=1, title="Reykjavik")
        await KnownTicket.follow(
            ticket.key,
            1,
            {"title": "Reykjavik", "price_minor": 1999, "user_id": "b" * 24, "status": "available"},
        )
        return await put_right(*what)

    monkeypatch.setattr(rebuilding, "put_right", later)
    assert await rebuilt(stored) == {"right": 1}
    async with copies(stored) as collection:
        known = await collection.find_one({"_id": ticket.id})
    assert known is not None
    assert (known["version"], known["title"]) == (1, "Reykjavik")


@asynccontextmanager
async def tickets_runs(stored: Stored) -> AsyncIterator[None]:
    """As far as publishing goes."""
    broker = NatsBroker(stored.settings.bus, logger=None)
    await broker.start()
    relay = Relay(broker, Outbox([Ticket]), source="tickets", sweep_seconds=0.1)

    async def run() -> None:
        while True:
            with suppress(AttributeError, RuntimeError):  # its documents aren't bound yet
                await relay.run()
            await asyncio.sleep(0.05)

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        await broker.stop()


async def test_what_is_older_than_the_stream_is_said_again_by_its_owner(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored.offer("Old")
    await stored.js.purge_stream(EVENTS)
    with monkeypatch.context() as patch:
        patch.setattr(rebuild, "RELAY_SECONDS", 0)
        assert await rebuilt(stored) == {"wait": 1}
    async with tickets_runs(stored):
        assert await rebuilt(stored) == {"written": 1}
    async with copies(stored) as collection:
        assert [copy["title"] async for copy in collection.find()] == ["Old"]


async def test_a_copy_of_something_older_than_the_stream_isnt_removed(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored.offer("Old")
    await rebuilt(stored)
    await stored.js.purge_stream(EVENTS)
    monkeypatch.setattr(rebuild, "RELAY_SECONDS", 0)
    assert await rebuilt(stored) == {"wait": 1}
    async with copies(stored) as collection:
        assert [copy["title"] async for copy in collection.find()] == ["Old"]


async def test_poison_in_the_stream_stops_nobody(stored: Stored) -> None:
    await stored.js.publish("ticket.created", b"{]")
    await stored.offer()
    assert await rebuilt(stored) == {"written": 1}


async def test_the_command_says_what_it_did(stored: Stored) -> None:
    await stored.offer()
    environment = {"NATS_URL": stored.settings.bus[0], "MONGO_URL": stored.settings.database}
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streams.rebuild", "orders"),
        env={**os.environ, **FROM_CHECKOUT, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await command.communicate()
    assert output.decode() == "Of tickets, orders had 0 right; 1 were written anew and 0 removed.\n"
    assert command.returncode == 0
