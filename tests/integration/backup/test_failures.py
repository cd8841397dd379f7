"""A backup or a restore either completes or fails, and partial data is never used."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from kit.indexes import missing
from kit.mongo import HalfRestored, database
from kit.nats import EVENTS
from ops.backup import BackupError, mongo_dump, running_services, stream_snapshots
from ops.backup.mongo_dump import Databases
from ops.backup.restore import restore
from ops.backup.save import save
from ops.migrate import create_indexes
from services.tickets.documents import Ticket
from streams.processes import PROCESSES
from tests.integration.backup.conftest import Servers
from tests.support.polling import until


async def titles(servers: Servers) -> list[str]:
    async with database(servers.settings.database, "tickets", [Ticket]):
        return sorted([ticket.title async for ticket in Ticket.find({})])


async def save_backup(servers: Servers, folder: Path) -> Path:
    await save(servers.settings, folder)
    return folder


async def restore_backup(servers: Servers, folder: Path, *, replace: bool = True) -> None:
    await restore(servers.settings, folder, replace=replace)


async def test_a_backup_is_restored_with_its_indexes_on_empty_servers(
    servers: Servers, other_servers: Servers, tmp_path: Path
) -> None:
    await servers.add_ticket("Low Roar")
    async with database(servers.settings.database, "tickets", [Ticket]) as tickets:
        await create_indexes(tickets, [Ticket])
        await tickets["tickets"].create_index("title", name="made_by_an_operator")
    folder = await save_backup(servers, tmp_path / "backup")
    await restore_backup(other_servers, folder, replace=False)
    assert await titles(other_servers) == ["Low Roar"]
    assert (await other_servers.js.stream_info(EVENTS)).state.messages == 1
    async with database(other_servers.settings.database, "tickets", [Ticket]) as tickets:
        restored_indexes = await tickets["tickets"].index_information()
    async with database(servers.settings.database, "tickets", [Ticket]) as tickets:
        assert restored_indexes == await tickets["tickets"].index_information()


async def test_a_restore_creates_the_indexes_that_the_version_of_the_backup_did_not_need(
    servers: Servers, tmp_path: Path
) -> None:
    await servers.add_ticket()
    folder = await save_backup(servers, tmp_path / "backup")
    await restore_backup(servers, folder)
    for service in PROCESSES:
        async with database(servers.settings.database, service.name, []) as stored:
            assert await missing(stored, service.documents) == []


async def test_a_restore_overwrites_newer_data_only_with_replace(servers: Servers, tmp_path: Path) -> None:
    await servers.add_ticket("Low Roar")
    folder = await save_backup(servers, tmp_path / "backup")
    await servers.add_ticket("Later")
    with pytest.raises(BackupError, match="data in tickets, EVENTS: give --replace"):
        await restore_backup(servers, folder, replace=False)
    assert await titles(servers) == ["Later", "Low Roar"]
    await restore_backup(servers, folder)
    assert await titles(servers) == ["Low Roar"]
    assert (await servers.js.stream_info(EVENTS)).state.messages == 1


async def test_a_damaged_backup_is_refused_before_any_change(servers: Servers, tmp_path: Path) -> None:
    await servers.add_ticket("Low Roar")
    folder = await save_backup(servers, tmp_path / "backup")
    await servers.add_ticket("Later")
    file = folder / "databases/tickets/tickets.bson"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BackupError, match=r"tickets\.bson has changed .* Nothing was changed"):
        await restore_backup(servers, folder)
    assert await titles(servers) == ["Later", "Low Roar"]
    assert (await servers.js.stream_info(EVENTS)).state.messages == 2


async def test_a_failed_backup_leaves_no_folder(servers: Servers, tmp_path: Path) -> None:
    await servers.js.delete_stream("DEAD")
    with pytest.raises(BackupError, match="stream not found"):
        await save(servers.settings, tmp_path / "backup")
    assert not list(tmp_path.glob("backup*"))


async def test_an_interrupted_restore_blocks_services_and_backups_until_it_is_repeated(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await servers.add_ticket("Low Roar")
    folder = await save_backup(servers, tmp_path / "backup")
    original = Databases.restore

    async def fail_at_orders(self: Databases, name: str, files: Path) -> mongo_dump.Counts:
        if name == "orders":
            raise BackupError("the database is down")
        return await original(self, name, files)

    with monkeypatch.context() as patch:
        patch.setattr(Databases, "restore", fail_at_orders)
        with pytest.raises(BackupError, match="is down"):
            await restore_backup(servers, folder)

    with pytest.raises(HalfRestored, match="database tickets is half restored"):
        await titles(servers)  # opens the database like a service that starts
    with pytest.raises(BackupError, match="A restore didn't end"):
        await save(servers.settings, tmp_path / "another")
    with pytest.raises(BackupError, match="An earlier restore didn't end"):
        await restore_backup(servers, folder, replace=False)
    await restore_backup(servers, folder)
    assert await titles(servers) == ["Low Roar"]
    await save_backup(servers, tmp_path / "another")


async def test_a_stream_whose_restore_fails_is_removed(servers: Servers, tmp_path: Path) -> None:
    for _ in range(40):  # the server stores some of them before it reaches the damaged part
        await servers.js.publish("ticket.created", os.urandom(100_000))
    folder = await save_backup(servers, tmp_path / "backup") / "streams" / EVENTS
    data = (folder / stream_snapshots.DATA).read_bytes()
    (folder / stream_snapshots.DATA).write_bytes(data[: len(data) // 2])
    with pytest.raises(BackupError, match="NATS refuses: restore failed"):
        await stream_snapshots.restore(servers.connection, EVENTS, folder, 1)
    assert EVENTS not in [stream.config.name for stream in await servers.js.streams_info()]


async def test_a_restore_is_refused_while_a_service_runs(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await servers.add_ticket("Low Roar")
    folder = await save_backup(servers, tmp_path / "backup")
    await servers.add_ticket("Later")
    pull = await servers.connection.subscribe(inbox := servers.connection.new_inbox())
    request = json.dumps({"batch": 1, "expires": 60_000_000_000}).encode()
    subject = f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.orders-ticket-updated"
    await servers.connection.publish(subject, request, reply=inbox)
    await until(
        lambda: servers.js.consumer_info(EVENTS, "orders-ticket-updated"), lambda info: info.num_waiting
    )
    with monkeypatch.context() as patch:
        patch.setattr(running_services, "PULLS_END_SECONDS", 0.1)
        with pytest.raises(BackupError, match="Stop these services first: orders"):
            await restore_backup(servers, folder)
    assert await titles(servers) == ["Later", "Low Roar"]
    await pull.unsubscribe()
    await restore_backup(servers, folder)
    assert await titles(servers) == ["Low Roar"]


async def test_an_interrupted_stream_snapshot_is_an_error(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NATS ends every snapshot with an empty message, which has a status header only after a failure."""

    async def abort_snapshot(connection: Client, subject: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Status": "408", "Description": "No Flow Response"}
        await connection.publish(body["deliver_subject"], b"", headers=headers)
        return {"config": {}, "state": {"last_seq": 1}}

    monkeypatch.setattr(stream_snapshots, "_ask", abort_snapshot)
    with pytest.raises(BackupError, match="aborted the snapshot of EVENTS: 408"):
        await stream_snapshots.save(servers.connection, EVENTS, tmp_path)
