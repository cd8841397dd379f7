"""The relay publishes only what a majority has, and each event once, whatever happens to the primary."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
import pytest_asyncio
from faststream.nats import NatsBroker
from nats.js import JetStreamContext
from pymongo.errors import WTimeoutError

import kit.mongo
from contracts.events import TicketCreated
from kit.background import cancel
from kit.mongo import MAJORITY, database
from kit.outbox import Outbox
from ops.provision import provision
from services.tickets.documents import Ticket
from streams.relay import Relay
from tests.integration.streams.conftest import Nats, stored, tickets_publishers
from tests.support.polling import until
from tests.support.replica_set import ReplicaSet

NEVER = 3600.0
"""An interval of sweeps that doesn't end within a test."""


@pytest_asyncio.fixture(loop_scope="session")
async def server(tmp_path: Path) -> AsyncIterator[Nats]:
    server = Nats(tmp_path / "nats")
    async with server.running():
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def js(server: Nats) -> AsyncIterator[JetStreamContext]:
    connection = await nats.connect(server.url)
    await provision(connection.jetstream())
    yield connection.jetstream()
    await connection.close()


@asynccontextmanager
async def relay_on(members: ReplicaSet, server: Nats, **options: Any) -> AsyncIterator[Relay]:
    """A relay with an empty collection of tickets. Options replace those of the connection."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kit.mongo, "MAJORITY", {**MAJORITY, **options})
        async with (
            database(members.url, "relay", [Ticket]) as bound,
            NatsBroker(server.url, logger=None, max_reconnect_attempts=-1) as broker,
        ):
            await Ticket.get_pymongo_collection().delete_many({})
            yield Relay(tickets_publishers(broker), Outbox([Ticket]), sweep_seconds=NEVER)
            await members.replicate()
            await bound.client.drop_database("relay")


def new_ticket(title: str = "Low Roar") -> Ticket:
    return Ticket(user_id="b" * 24, title=title, price_minor=1999)


async def write_without_majority(members: ReplicaSet) -> asyncio.Task[None]:
    """Start to write a ticket that only the primary has. The task waits for the acknowledgement."""
    members.stop_replication()
    writing = asyncio.create_task(new_ticket("Lost").add())

    async def writes() -> int:
        return len(members.unreplicated)

    await until(writes)
    return writing


async def lose(members: ReplicaSet, writing: asyncio.Task[None]) -> None:
    """Let the writer die and the primary fail, so that the write is rolled back."""
    await cancel(writing)
    await members.fail_over()
    assert await tickets() == []


async def tickets() -> list[dict[str, Any]]:
    return await Ticket.get_pymongo_collection().find().to_list()


async def titles(js: JetStreamContext) -> list[str]:
    """The titles of the tickets in the stream."""
    found = await stored(js, "EVENTS")
    return [TicketCreated.model_validate_json(message.data or b"").title for message in found]


async def test_a_sweep_does_not_publish_a_write_that_is_then_rolled_back(
    members: ReplicaSet, server: Nats, js: JetStreamContext
) -> None:
    async with relay_on(members, server) as relay:
        writing = await write_without_majority(members)
        await relay.relay_all()
        await lose(members, writing)
        await new_ticket("Kept").add()
        await relay.relay_all()
        assert await titles(js) == ["Kept"]


async def test_control_with_local_reads_a_sweep_publishes_a_write_that_is_then_rolled_back(
    members: ReplicaSet, server: Nats, js: JetStreamContext
) -> None:
    async with relay_on(members, server, readConcernLevel="local") as relay:
        writing = await write_without_majority(members)
        sweep = asyncio.create_task(relay.relay_all())  # its removal of the message waits for a majority
        await until(lambda: titles(js))
        await cancel(sweep)
        await lose(members, writing)
        assert await titles(js) == ["Lost"]


async def test_a_write_is_published_from_memory_after_a_majority_has_it(
    members: ReplicaSet, server: Nats, js: JetStreamContext
) -> None:
    async with relay_on(members, server) as relay:
        await new_ticket().add()
        running = asyncio.create_task(relay.run())
        await until(lambda: titles(js), lambda found: found == ["Low Roar"])  # the only sweep has begun
        await until(tickets, lambda found: found[0]["outbox"] == [])  # and ended
        outbox = Outbox([Ticket])
        with outbox.watching():
            writing = await write_without_majority(members)
            assert await outbox.wait_for_write(0.3) == ()
            assert await titles(js) == ["Low Roar"]
            await members.replicate()
            await writing
        await until(lambda: titles(js), lambda found: found == ["Low Roar", "Lost"])
        await cancel(running)


async def test_control_with_w_1_a_write_is_published_from_memory_and_then_rolled_back(
    members: ReplicaSet, server: Nats, js: JetStreamContext
) -> None:
    async with relay_on(members, server, w=1) as relay:
        running = asyncio.create_task(relay.run())
        await asyncio.sleep(0)
        await (await write_without_majority(members))
        await until(lambda: titles(js))
        await cancel(running)
        await members.fail_over()
        assert (await tickets(), await titles(js)) == ([], ["Lost"])


async def test_an_event_whose_write_timed_out_is_published_once_after_its_replication(
    members: ReplicaSet, server: Nats, js: JetStreamContext
) -> None:
    async with relay_on(members, server, wTimeoutMS=50) as relay:
        members.stop_replication()
        with pytest.raises(WTimeoutError):
            await new_ticket().add()
        await relay.relay_all()
        assert await titles(js) == []
        await members.replicate()
        await relay.relay_all()
        await relay.relay_all()
        assert await titles(js) == ["Low Roar"]


@pytest.mark.parametrize("removal", ["replicated", "rolled back"])
async def test_an_event_whose_removal_timed_out_is_in_the_stream_once(
    members: ReplicaSet, server: Nats, js: JetStreamContext, removal: str
) -> None:
    async with relay_on(members, server, wTimeoutMS=50) as relay:
        await new_ticket().add()
        members.stop_replication()
        with pytest.raises(WTimeoutError):
            await relay.relay_all()
        await (members.replicate() if removal == "replicated" else members.fail_over())
        assert [len(ticket["outbox"]) for ticket in await tickets()] == [int(removal == "rolled back")]
        await relay.relay_all()
        assert [ticket["outbox"] for ticket in await tickets()] == [[]]
        assert await titles(js) == ["Low Roar"]


async def test_an_event_is_published_once_if_the_answer_to_its_write_is_lost(
    members: ReplicaSet, server: Nats, js: JetStreamContext
) -> None:
    async with relay_on(members, server) as relay:
        members.after_write = lambda command: "insert" in command
        await new_ticket().add()
        await relay.relay_all()
        assert (len(await tickets()), await titles(js)) == (1, ["Low Roar"])


async def test_the_relay_publishes_what_was_written_before_an_election(
    members: ReplicaSet, server: Nats, js: JetStreamContext
) -> None:
    async with relay_on(members, server) as relay:
        await new_ticket().add()
        await members.step_down()
        running = asyncio.create_task(relay.run())
        await asyncio.wait({running}, timeout=0.3)
        assert await titles(js) == []
        await members.elect()
        await until(lambda: titles(js), lambda found: found == ["Low Roar"])
        await cancel(running)
