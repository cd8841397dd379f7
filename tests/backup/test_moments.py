"""What is saved while others write is of one time, and the events that led to it are with it."""

from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from nats.js.api import RawStreamMsg
from pymongo import AsyncMongoClient

from services.kit.dumps import Moment, databases
from services.kit.mongo import database
from services.tickets.documents import Ticket
from streams.backup import DATABASES, since, snapshots
from streams.backup.folder import checked
from streams.backup.restore import restore
from streams.backup.save import save
from streams.topology import EVENTS
from tests.backup.conftest import Stored
from tests.streams.conftest import stored as messages

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def written(stored: Stored) -> None:
    """One more document in each of two databases."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(stored.settings.database)
    async with client:
        for name in ("orders", "payments"):
            await client[name]["things"].insert_one({})


async def sizes(stored: Stored, moment: Moment, folder: Path) -> list[int]:
    """Of how many documents were seen of the first database, and of the second after one more was written."""
    first = await moment.dump("orders", folder)
    await written(stored)
    second = await moment.dump("payments", folder)
    return [first["things"], second["things"]]


async def test_databases_are_read_as_they_were_at_one_moment(stored: Stored, tmp_path: Path) -> None:
    await written(stored)
    async with databases(stored.settings.database, DATABASES) as stock, stock.at_one_moment() as moment:
        await written(stored)  # the moment is over before anything of it was looked at
        assert await sizes(stored, moment, tmp_path) == [1, 1]


async def test_without_a_moment_they_arent(stored: Stored, tmp_path: Path) -> None:
    """The control."""
    await written(stored)
    async with databases(stored.settings.database, DATABASES) as stock:
        assert await sizes(stored, stock.at_rest(), tmp_path) == [1, 2]


async def test_events_between_the_two_snapshots_are_kept_as_far_as_their_owner_got(
    stored: Stored, others: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = await stored.offer()
    snapshot_of = snapshots.save

    async def then_things_go_on(connection: object, stream: str, folder: Path) -> int:
        last = await snapshot_of(stored.connection, stream, folder)
        if stream == EVENTS:
            async with database(stored.settings.database, "tickets", [Ticket]):
                assert await ticket.publish({"title": "Reached"})
            await stored.say(ticket, version=1, title="Reached")
            await stored.say(ticket, version=2, title="Not reached yet")
            await stored.js.publish("ticket.updated", b"{]")
        return last

    monkeypatch.setattr(snapshots, "save", then_things_go_on)
    monkeypatch.setattr("streams.backup.save.running", AsyncMock(return_value=["tickets"]))
    manifest = await save(stored.settings, stored.connection, tmp_path / "backup")
    assert (manifest.at_rest, manifest.events_since, manifest.streams[EVENTS]) == (False, 2, 1)
    assert checked(tmp_path / "backup") == manifest
    await restore(others.settings, others.connection, tmp_path / "backup")
    said = await messages(others.js, EVENTS)
    ids = [(message.headers or {}).get("Nats-Msg-Id") for message in said]
    assert ids == [f"{ticket.key}-0", f"{ticket.key}-1", None]
    assert said[2].data == b"{]"


async def test_what_the_snapshot_has_isnt_published_again(stored: Stored, tmp_path: Path) -> None:
    """The server may put more into a snapshot than it said at its beginning."""
    await stored.offer()
    async with databases(stored.settings.database, DATABASES) as stock:
        assert await since.save(stored.js, 0, stock.at_rest(), tmp_path) == 1
    assert await since.restore(stored.js, tmp_path) == 0
    assert len(await messages(stored.js, EVENTS)) == 1


@pytest.mark.parametrize(
    "body", [b"{]", b"", b"[]", b"7", b"\xff", b'{"id": "1"}', b'{"id": 1, "version": "x"}']
)
async def test_poison_is_history_too(body: bytes, stored: Stored) -> None:
    async with databases(stored.settings.database, DATABASES) as stock:
        message = RawStreamMsg(subject="order.created", data=body)
        assert await since._is_known(message, stock.at_rest())
