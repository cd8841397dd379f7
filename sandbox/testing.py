"""Context managers for tests that run NATS, the database or the Stripe sandbox on a free port.

The output of a server goes to a file, so that the server can outlive the event loop in which it was started.
"""

import asyncio
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from sandbox.processes import OWNER_ONLY, ROOT, Process, mongo, nats, stripe
from sandbox.watchdog import Watchdog, end

FAST_STOP = signal.SIGTERM if "COVERAGE_PROCESS_CONFIG" in os.environ else signal.SIGKILL
"""The signal that ends a process whose data is not needed any more.

Under `just coverage` it is SIGTERM, so that the process can write its measurements first.
"""

_PORTS = random.SystemRandom()
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_given: set[int] = set()

ENDS_WITHIN = 60.0
"""Seconds between the signal to stop and SIGKILL, enough for a busy machine."""


def free_port() -> int:
    """A free port below the range of outgoing connections, because such a connection could take the port
    before the server does. Each worker of a test run has its own set of ports."""
    while True:
        port = _PORTS.randrange(15_000 + _WORKER, 32_000, _WORKERS)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port


@asynccontextmanager
async def nats_server(store: Path, port: int = 0) -> AsyncIterator[str]:
    """Run a NATS server with JetStream and yield its URL.

    To restart a server, call this again with the same store and port.
    """
    port = port or free_port()
    async with running(nats(port, store), store.with_name(f"{store.name}.log"), signal.SIGTERM):
        yield f"nats://127.0.0.1:{port}"


@asynccontextmanager
async def mongo_server(storage: Path) -> AsyncIterator[str]:
    """Run the embedded database and yield its URL. Then kill it, because stopping it takes two seconds."""
    port = free_port()
    async with running(mongo(port, storage), storage.with_name(f"{storage.name}.log"), signal.SIGKILL):
        yield f"mongodb://127.0.0.1:{port}/?retryWrites=false"


@asynccontextmanager
async def stripe_sandbox(folder: Path) -> AsyncIterator[str]:
    """Run the Stripe sandbox with its data in `folder`, and yield its URL."""
    port = free_port()
    async with running(stripe(port, folder), folder.with_name(f"{folder.name}.log"), FAST_STOP):
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def running(process: Process, log: Path, stop: signal.Signals) -> AsyncIterator[int]:
    """Run a process and yield its process id when it is ready.

    Raises:
        RuntimeError: the process ended early, wasn't ready in time, or didn't stop in time. The message
            contains its log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output, Watchdog() as watchdog:
        child = subprocess.Popen(  # noqa: ASYNC220, S603 blocks for milliseconds only
            process.command,
            cwd=ROOT,
            env={**os.environ, **process.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=OWNER_ONLY,
        )
        watchdog.watch(child.pid)
        try:
            await _ready(process, child, log)
            yield child.pid
        finally:
            end(child.pid, stop)
            ended = await _ended(child, ENDS_WITHIN)
            end(child.pid, signal.SIGKILL)
            child.wait()
            watchdog.forget(child.pid)
        if not ended:
            raise RuntimeError(f"{process.name} didn't stop in time\n{_text(log)}")


def without_kill_timeout(process: Process) -> Process:
    """Let granian wait for its worker instead of killing it, to test whether the worker stops by itself.

    With any time limit, granian may report that it kills a worker which has just ended.
    """
    environment = {k: v for k, v in process.environment.items() if k != "GRANIAN_WORKERS_KILL_TIMEOUT"}
    return replace(process, environment=environment)


async def _ready(process: Process, child: subprocess.Popen[bytes], log: Path) -> None:
    assert process.ready is not None, f"{process.name} is a command that ends"
    deadline, pauses = time.monotonic() + process.ready_within, _pauses()
    while missing := await process.ready():
        if child.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.name} didn't start: {missing}\n{_text(log)}")
        await asyncio.sleep(next(pauses))


async def _ended(child: subprocess.Popen[bytes], within: float) -> bool:
    deadline = time.monotonic() + within
    while child.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 Popen has no event
        await asyncio.sleep(0.005)
    return child.poll() is not None


def _pauses() -> Iterator[float]:
    """Growing pauses between checks, in seconds, because frequent checks slow a starting process down."""
    pause = 0.005
    while True:
        yield pause
        pause = min(pause * 1.2, 0.05)


def _text(log: Path) -> str:
    return log.read_text(errors="replace")
