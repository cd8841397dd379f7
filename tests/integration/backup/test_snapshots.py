"""A backup during writes has one snapshot time for all databases, and contains the events up to that time."""

from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from nats.js.api import RawStreamMsg
from pymongo import AsyncMongoClient

from kit.mongo import database
from kit.nats import EVENTS
from ops.backup import stream_snapshots, trailing_events
from ops.backup.folder import checked
from ops.backup.mongo_dump import DatabaseReader, databases
from ops.backup.restore import restore
from ops.backup.save import save
from services.tickets.documents import Ticket
from streams.processes import DATABASES
from tests.integration.backup.conftest import Servers
from tests.integration.streams.conftest import stored as messages


async def insert_documents(servers: Servers) -> None:
    """Insert a document into each of two databases."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(servers.settings.database)
    async with client:
        for name in ("orders", "payments"):
            await client[name]["documents"].insert_one({})


async def count_dumped(servers: Servers, reader: DatabaseReader, folder: Path) -> list[int]:
    """Dump orders, write to both databases, dump payments. Return the number of documents in each dump."""
    first = await reader.dump("orders", folder)
    await insert_documents(servers)
    second = await reader.dump("payments", folder)
    return [first["documents"], second["documents"]]


async def test_all_databases_are_read_from_the_same_snapshot_time(servers: Servers, tmp_path: Path) -> None:
    await insert_documents(servers)
    async with databases(servers.settings.database, DATABASES) as stock, stock.snapshot() as reader:
        await insert_documents(servers)  # a write after the snapshot time, before the first read
        assert await count_dumped(servers, reader, tmp_path) == [1, 1]


async def test_control_without_a_snapshot_time_a_later_write_is_read(
    servers: Servers, tmp_path: Path
) -> None:
    await insert_documents(servers)
    async with databases(servers.settings.database, DATABASES) as stock:
        assert await count_dumped(servers, stock.reader(), tmp_path) == [1, 2]


async def test_events_between_the_stream_snapshot_and_the_database_snapshot_are_restored(
    servers: Servers, other_servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = await servers.add_ticket()
    save_stream = stream_snapshots.save

    async def save_and_write_more(connection: object, stream: str, folder: Path) -> int:
        last = await save_stream(servers.connection, stream, folder)
        if stream == EVENTS:
            async with database(servers.settings.database, "tickets", [Ticket]):
                assert await ticket.save_and_publish({"title": "Before the snapshot"})
            await servers.publish_event(ticket, version=1, title="Before the snapshot")
            await servers.publish_event(ticket, version=2, title="After the snapshot")
            await servers.js.publish("ticket.updated", b"{]")
        return last

    monkeypatch.setattr(stream_snapshots, "save", save_and_write_more)
    monkeypatch.setattr("ops.backup.save.running", AsyncMock(return_value=["tickets"]))
    manifest = await save(servers.settings, tmp_path / "backup")
    assert (manifest.at_rest, manifest.events_since, manifest.streams[EVENTS]) == (False, 2, 1)
    assert checked(tmp_path / "backup") == manifest
    await restore(other_servers.settings, tmp_path / "backup")
    published = await messages(other_servers.js, EVENTS)
    ids = [(message.headers or {}).get("Nats-Msg-Id") for message in published]
    assert ids == [f"{ticket.key}-0", f"{ticket.key}-1", None]
    assert published[2].data == b"{]"


async def test_an_event_in_the_stream_snapshot_is_not_published_again(
    servers: Servers, tmp_path: Path
) -> None:
    """A stream snapshot may contain more messages than NATS announced at its start."""
    await servers.add_ticket()
    async with databases(servers.settings.database, DATABASES) as stock:
        assert await trailing_events.save(servers.js, 0, stock.reader(), tmp_path) == 1
    assert await trailing_events.restore(servers.js, tmp_path) == 0
    assert len(await messages(servers.js, EVENTS)) == 1


@pytest.mark.parametrize(
    "body", [b"{]", b"", b"[]", b"7", b"\xff", b'{"id": "1"}', b'{"id": 1, "version": "x"}']
)
async def test_a_message_that_cannot_be_decoded_is_backed_up_too(body: bytes, servers: Servers) -> None:
    async with databases(servers.settings.database, DATABASES) as stock:
        message = RawStreamMsg(subject="order.created", data=body)
        assert await trailing_events._is_known(message, stock.reader())
