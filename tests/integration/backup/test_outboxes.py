"""After a restore no event is published twice, although the restored stream has lost the message ids."""

from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from nats.js.api import Header
from pymongo import AsyncMongoClient

from kit.mongo import database
from kit.nats import EVENTS
from kit.outbox import Outbox
from ops.backup.restore import restore
from ops.backup.save import save
from services.tickets.documents import Ticket
from tests.integration.backup.conftest import Servers
from tests.integration.streams.conftest import stored as messages


async def outbox_ids(servers: Servers) -> list[str]:
    """The ids of all outbox messages of the tickets service."""
    async with database(servers.settings.database, "tickets", [Ticket]):
        batches = [batch async for batch in Outbox([Ticket]).pending()]
    return sorted(message.id for batch in batches for document in batch for message in document.events)


async def publish(servers: Servers, message_id: str) -> bool:
    """Publish an event as the relay does. Return False if the stream drops the event as a duplicate."""
    receipt = await servers.js.publish("ticket.created", b"{}", headers={Header.MSG_ID: message_id})
    return not receipt.duplicate


async def add_unpublished_ticket(servers: Servers, title: str) -> str:
    """Store a ticket without publishing its outbox message, and return the id of the message."""
    before = await outbox_ids(servers)
    async with database(servers.settings.database, "tickets", [Ticket]):
        await Ticket(title=title, price_minor=1999, user_id="b" * 24).add()
    (added,) = set(await outbox_ids(servers)) - set(before)
    return added


async def test_a_restore_removes_outbox_messages_that_the_stream_contains(
    servers: Servers, other_servers: Servers, tmp_path: Path
) -> None:
    published, unpublished = (
        await add_unpublished_ticket(servers, "Published"),
        await add_unpublished_ticket(servers, "Unpublished"),
    )
    assert await publish(servers, published)
    await save(servers.settings, tmp_path / "backup")
    await restore(other_servers.settings, tmp_path / "backup")
    assert await outbox_ids(other_servers) == [unpublished]
    ids = [(message.headers or {})[Header.MSG_ID] for message in await messages(other_servers.js, EVENTS)]
    assert ids == [published]


async def test_control_without_the_removal_the_stream_stores_an_event_twice(
    servers: Servers, other_servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this test fails, NATS keeps message ids through a restore, and `remove_published` can be deleted."""
    published = await add_unpublished_ticket(servers, "Published")
    assert await publish(servers, published)
    assert not await publish(servers, published)
    await save(servers.settings, tmp_path / "backup")
    monkeypatch.setattr("ops.backup.restore.remove_published", AsyncMock())
    await restore(other_servers.settings, tmp_path / "backup")
    assert await outbox_ids(other_servers) == [published]
    assert await publish(other_servers, published)
    assert len(await messages(other_servers.js, EVENTS)) == 2


async def test_a_restore_keeps_malformed_outbox_messages(
    servers: Servers, other_servers: Servers, tmp_path: Path
) -> None:
    published = await add_unpublished_ticket(servers, "Published")
    assert await publish(servers, published)
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(servers.settings.database)
    async with client:
        malformed = [{"id": "malformed"}, "text"]
        await client["tickets"]["tickets"].update_one({}, {"$push": {"outbox": {"$each": malformed}}})
    await save(servers.settings, tmp_path / "backup")
    await restore(other_servers.settings, tmp_path / "backup")
    client = AsyncMongoClient(other_servers.settings.database)
    async with client:
        (ticket,) = [each async for each in client["tickets"]["tickets"].find({})]
    assert ticket["outbox"] == malformed
