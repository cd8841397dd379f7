"""A backup is there as a whole or not at all, and is put back as a whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from services.kit import dumps
from services.kit.dumps import Databases, DumpError
from services.kit.mongo import HalfRestored, database
from services.tickets.documents import Ticket
from streams.backup import BackupError, running, snapshots
from streams.backup.restore import restore
from streams.backup.save import save
from streams.topology import EVENTS
from tests.backup.conftest import Stored
from tests.people import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def titles(stored: Stored) -> list[str]:
    async with database(stored.settings.database, "tickets", [Ticket]):
        return sorted([ticket.title async for ticket in Ticket.find({})])


async def saved(stored: Stored, folder: Path) -> Path:
    await save(stored.settings, stored.connection, folder)
    return folder


async def put_back(stored: Stored, folder: Path, *, replace: bool = True) -> None:
    await restore(stored.settings, stored.connection, folder, replace=replace)


async def test_what_was_saved_is_put_back_on_servers_that_have_nothing(
    stored: Stored, others: Stored, tmp_path: Path
) -> None:
    await stored.offer("Low Roar")
    folder = await saved(stored, tmp_path / "backup")
    await put_back(others, folder, replace=False)
    assert await titles(others) == ["Low Roar"]
    assert (await others.js.stream_info(EVENTS)).state.messages == 1
    async with database(others.settings.database, "tickets", [Ticket]) as tickets:
        there = await tickets["tickets"].index_information()
    async with database(stored.settings.database, "tickets", [Ticket]) as tickets:
        assert there == await tickets["tickets"].index_information()


async def test_what_came_after_the_backup_is_only_lost_if_one_says_so(stored: Stored, tmp_path: Path) -> None:
    await stored.offer("Low Roar")
    folder = await saved(stored, tmp_path / "backup")
    await stored.offer("Later")
    with pytest.raises(BackupError, match="something in tickets, EVENTS: give --replace"):
        await put_back(stored, folder, replace=False)
    assert await titles(stored) == ["Later", "Low Roar"]
    await put_back(stored, folder)
    assert await titles(stored) == ["Low Roar"]
    assert (await stored.js.stream_info(EVENTS)).state.messages == 1


async def test_a_damaged_backup_is_refused_before_anything_is_touched(stored: Stored, tmp_path: Path) -> None:
    await stored.offer("Low Roar")
    folder = await saved(stored, tmp_path / "backup")
    await stored.offer("Later")
    file = folder / "databases/tickets/tickets.bson"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BackupError, match=r"tickets\.bson isn't what it was .* Nothing was touched"):
        await put_back(stored, folder)
    assert await titles(stored) == ["Later", "Low Roar"]
    assert (await stored.js.stream_info(EVENTS)).state.messages == 2


async def test_a_backup_that_was_cut_short_is_none(stored: Stored, tmp_path: Path) -> None:
    await stored.js.delete_stream("DEAD")
    with pytest.raises(BackupError, match="stream not found"):
        await save(stored.settings, stored.connection, tmp_path / "backup")
    assert not list(tmp_path.glob("backup*"))


async def test_a_half_done_restore_is_taken_for_nothing_else_until_it_is_repeated(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored.offer("Low Roar")
    folder = await saved(stored, tmp_path / "backup")
    whole = Databases.restore

    async def breaks_at_orders(self: Databases, name: str, files: Path) -> dumps.Counts:
        if name == "orders":
            raise DumpError("the database went away")
        return await whole(self, name, files)

    with monkeypatch.context() as patch:
        patch.setattr(Databases, "restore", breaks_at_orders)
        with pytest.raises(DumpError, match="went away"):
            await put_back(stored, folder)

    with pytest.raises(HalfRestored, match="database tickets is half restored"):
        await titles(stored)  # as any service that starts
    with pytest.raises(BackupError, match="A restore began and didn't end"):
        await save(stored.settings, stored.connection, tmp_path / "another")
    with pytest.raises(BackupError, match="An earlier restore didn't end"):
        await put_back(stored, folder, replace=False)
    await put_back(stored, folder)
    assert await titles(stored) == ["Low Roar"]
    await saved(stored, tmp_path / "another")


async def test_a_stream_that_cant_be_restored_isnt_left_half(stored: Stored, tmp_path: Path) -> None:
    for _ in range(40):  # so many that the server has stored some when it comes to the damage
        await stored.js.publish("ticket.created", os.urandom(100_000))
    folder = await saved(stored, tmp_path / "backup") / "streams" / EVENTS
    data = (folder / snapshots.DATA).read_bytes()
    (folder / snapshots.DATA).write_bytes(data[: len(data) // 2])
    with pytest.raises(BackupError, match="NATS refuses: restore failed"):
        await snapshots.restore(stored.connection, EVENTS, folder, 1)
    assert EVENTS not in [stream.config.name for stream in await stored.js.streams_info()]


async def test_nothing_is_put_back_under_a_service_that_runs(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored.offer("Low Roar")
    folder = await saved(stored, tmp_path / "backup")
    await stored.offer("Later")
    pull = await stored.connection.subscribe(inbox := stored.connection.new_inbox())
    request = json.dumps({"batch": 1, "expires": 60_000_000_000}).encode()
    next_of = f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.orders-ticket-updated"
    await stored.connection.publish(next_of, request, reply=inbox)
    await until(
        lambda: stored.js.consumer_info(EVENTS, "orders-ticket-updated"), lambda info: info.num_waiting
    )
    with monkeypatch.context() as patch:
        patch.setattr(running, "PULLS_END_SECONDS", 0.1)
        with pytest.raises(BackupError, match="Stop the services first: orders run"):
            await put_back(stored, folder)
    assert await titles(stored) == ["Later", "Low Roar"]
    await pull.unsubscribe()
    await put_back(stored, folder)
    assert await titles(stored) == ["Low Roar"]


async def test_a_snapshot_that_breaks_off_is_an_error(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends a snapshot that it can't finish as it does a whole one, but for the status."""

    async def break_off(connection: Client, subject: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Status": "408", "Description": "No Flow Response"}
        await connection.publish(body["deliver_subject"], b"", headers=headers)
        return {"config": {}, "state": {"last_seq": 1}}

    monkeypatch.setattr(snapshots, "_ask", break_off)
    with pytest.raises(BackupError, match="broke off the snapshot of EVENTS: 408"):
        await snapshots.save(stored.connection, EVENTS, tmp_path)
