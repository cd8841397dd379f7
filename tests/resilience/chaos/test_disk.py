"""Servers on a full disk lose no acknowledged data, and work again after the disk is freed."""

import errno
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import nats
import nats.errors
import pytest
from nats.js import JetStreamContext
from nats.js.api import PubAck
from pydantic import SecretStr
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from contracts.wire import now
from kit.mongo import is_outage
from ops.provision import provision
from sandbox import processes
from sandbox.testing import free_port, running
from settings import Settings
from tests.resilience.chaos.disk import Disk, small_disk, why_impossible
from tests.support.polling import TIMEOUT, until
from tests.support.service import Served, messages, new_id, serving

KILOBYTE = b"x" * 1000


Test = Callable[[Path], Awaitable[None]]


def on_a_small_disk(test: Callable[[Disk, Path], Awaitable[None]]) -> Test:
    """Run a test on a small disk. Where that is impossible, as in many containers, test the error message."""

    async def run(tmp_path: Path) -> None:
        if why_impossible() is None:
            async with small_disk(tmp_path / "disk", megabytes=32) as disk:
                await test(disk, tmp_path)
        else:
            with pytest.raises(RuntimeError, match=r"needs Linux, unshare and nsenter .* user namespaces"):
                await small_disk(tmp_path / "disk", megabytes=32).__aenter__()

    return run


@on_a_small_disk
async def test_a_disk_is_full_to_the_last_byte_until_it_is_freed(disk: Disk, tmp_path: Path) -> None:
    (disk.contents / "before").write_bytes(b"!")
    disk.fill()
    (disk.contents / "empty").touch()
    for more in "empty", "before":
        with pytest.raises(OSError, match="No space left") as refused:
            (disk.contents / more).write_bytes(bytes(5_000))
        assert refused.value.errno == errno.ENOSPC
    disk.free()
    disk.free()
    (disk.contents / "empty").write_bytes(bytes(5_000))
    assert list((tmp_path / "disk").iterdir()) == [], "only the server sees the disk"


async def test_the_reason_why_a_machine_cannot_make_a_small_disk_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "needs Linux" in (why_impossible() or "")
    with pytest.raises(RuntimeError, match="needs Linux"):
        async with small_disk(tmp_path / "disk", megabytes=1):
            pass


class Bus:
    """A NATS server on the disk, with its streams."""

    def __init__(self, disk: Disk, log: Path) -> None:
        self.log = log
        self._port = free_port()
        self._server = disk.under(processes.nats(self._port, disk.folder / "nats"))
        self._keys = count()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[JetStreamContext]:
        """Start the server, and kill it at the end of the block."""
        async with running(self._server, self.log, signal.SIGKILL):
            connection = await nats.connect(f"nats://127.0.0.1:{self._port}")
            await provision(connection.jetstream())
            yield connection.jetstream(timeout=TIMEOUT)
            await connection.close()

    async def takes(self, js: JetStreamContext, subject: str, *, within: float = 1) -> PubAck | None:
        """Publish a message. Return its acknowledgement, or None if there is none after `within` seconds."""
        headers = {"Nats-Msg-Id": str(next(self._keys))}
        with suppress(nats.errors.TimeoutError):
            return await js.publish(subject, KILOBYTE, timeout=within, headers=headers)
        return None

    def refused(self, stream: str) -> bool:
        return f"failed to store a msg on stream '$G > {stream}'" in self.log.read_text()


@on_a_small_disk
async def test_nats_on_a_full_disk_does_not_lose_acknowledged_messages(disk: Disk, tmp_path: Path) -> None:
    bus = Bus(disk, tmp_path / "log")
    acknowledged: list[int] = []

    async def publish(js: JetStreamContext, *, within: float = 1) -> bool:
        ack = await bus.takes(js, "ticket.created", within=within)
        acknowledged.extend([ack.seq] if ack else [])
        return ack is not None

    async with bus.running() as js:
        for _ in range(10):
            await publish(js, within=TIMEOUT)
        disk.fill()
        await until(lambda: publish(js), lambda taken: not taken and bus.refused("EVENTS"))
        disk.free()
        assert not await publish(js), "NATS has to be started again"
    async with bus.running() as js:
        assert await publish(js, within=TIMEOUT)
        for sequence in acknowledged:
            assert (await js.get_msg("EVENTS", sequence)).data == KILOBYTE
    assert len(acknowledged) == len(set(acknowledged)) > 10


@on_a_small_disk
async def test_a_timer_that_is_due_on_a_full_disk_fires_after_the_disk_is_freed(
    disk: Disk, tmp_path: Path
) -> None:
    bus = Bus(disk, tmp_path / "log")

    async def counts(js: JetStreamContext) -> dict[str, int]:
        return (await js.stream_info("TIMERS", subjects_filter="timers.due.*")).state.subjects or {}

    async def clock() -> datetime:
        return now()

    async with bus.running() as js:
        start = now()
        timers = {f"timers.due.{seconds}": start + timedelta(seconds=seconds) for seconds in range(60)}
        for subject, time in timers.items():
            schedule = {"Nats-Schedule": f"@at {time:%Y-%m-%dT%H:%M:%SZ}", "Nats-Schedule-Target": subject}
            await js.publish(subject.replace("due", "set"), headers=schedule)
        disk.fill()
        await until(
            lambda: bus.takes(js, "timers.set.more"), lambda taken: not taken and bus.refused("TIMERS")
        )
        full = now()
        subject, due = next(timer for timer in timers.items() if timer[1] > full + timedelta(seconds=1))
        await until(clock, lambda time: time > due + timedelta(seconds=1))
        assert subject not in await counts(js)
    disk.free()
    async with bus.running() as js:
        await until(lambda: counts(js), lambda subjects: subject in subjects)


@on_a_small_disk
async def test_a_service_with_a_full_database_disk_reports_it_and_keeps_acknowledged_data(
    disk: Disk, tmp_path: Path
) -> None:
    port, ann = free_port(), new_id()
    server = disk.under(processes.mongo(port, disk.folder / "mongo"))
    url = f"mongodb://127.0.0.1:{port}/?retryWrites=false"
    conf = Settings(
        _env_file=None,
        data_dir=tmp_path,
        mongo_url=SecretStr(url),
        nats_url=SecretStr(f"nats://127.0.0.1:{free_port()}"),
    )

    async def missing(tickets: Served) -> list[str]:
        answer = await tickets.ask("GET", "/health/ready")
        found: list[str] = answer.json().get("missing", [])
        return found

    async def list_ticket(tickets: Served) -> httpx.Response:
        return await tickets.ask("POST", "/api/tickets", by=ann, json={"title": "Hamlet", "price": 1})

    async with running(server, tmp_path / "log", signal.SIGKILL), serving("tickets", conf) as tickets:
        acknowledged: list[int] = []
        promised = (await list_ticket(tickets)).json()
        with pytest.raises(OperationFailure) as refused:
            await _use_up(url, disk, acknowledged)
        assert is_outage(refused.value)
        answer = await list_ticket(tickets)
        assert messages(answer, 503) == ["This is unavailable for a moment. Try again"]
        assert int(answer.headers["retry-after"]) > 0
        disk.free()
        assert "database" in await missing(tickets), "the database has to be started again"
    async with running(server, tmp_path / "log", signal.SIGKILL):
        assert await _all_there(url, acknowledged[:-1])
        async with serving("tickets", conf, fresh=False) as tickets:
            await until(lambda: missing(tickets), lambda them: "database" not in them)
            assert (await tickets.ask("GET", f"/api/tickets/{promised['id']}")).json() == promised
            assert (await list_ticket(tickets)).status_code == 201


async def _use_up(url: str, disk: Disk, acknowledged: list[int]) -> None:
    """Fill the disk, and write to the database until a write fails.

    The last acknowledged write may be lost. WiredTiger reports a successful commit even if it couldn't create
    the next file of its journal. MongoDB's own server then ends at once, but the embedded database answers
    first.
    """
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        await client["other"]["ballast"].insert_one({"_id": -1})
        for number in range(1_000):
            disk.fill()
            await client["other"]["ballast"].insert_one({"_id": number, "some": bytes(100_000)})
            acknowledged.append(number)


async def _all_there(url: str, acknowledged: list[int]) -> bool:
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        there = [each["_id"] async for each in client["other"]["ballast"].find({}, {"_id": 1})]
    return set(acknowledged) <= set(there)
