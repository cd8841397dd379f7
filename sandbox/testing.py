"""The real servers behind Stagedoor, for tests: each on a free port, stopped at the end of the block.

Their output goes to a file beside their folder, so a server may outlive the event loop it was started in.
"""

import asyncio
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from sandbox.processes import ROOT, Process, mongo, nats, stripe
from sandbox.watchdog import Watchdog, end

_PORTS = random.SystemRandom()
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_given: set[int] = set()

ENDS_WITHIN = 60.0
"""Seconds for who is asked to end: enough for a machine that is busy."""


def free_port() -> int:
    """A port that nothing listens on, below those that the system gives to connections: one of them
    could have it before the server does. Each worker of a test run has ports of its own."""
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
    """A NATS server with JetStream; yields its address.

    The same store and port again, after the block, is the same server restarted.
    """
    port = port or free_port()
    async with running(nats(port, store), store.with_name(f"{store.name}.log"), signal.SIGTERM):
        yield f"nats://127.0.0.1:{port}"


@asynccontextmanager
async def mongo_server(storage: Path) -> AsyncIterator[str]:
    """The embedded database; yields its address. Killed at the end: stopping takes it two seconds."""
    port = free_port()
    async with running(mongo(port, storage), storage.with_name(f"{storage.name}.log"), signal.SIGKILL):
        yield f"mongodb://127.0.0.1:{port}/?retryWrites=false"


@asynccontextmanager
async def stripe_sandbox(folder: Path) -> AsyncIterator[str]:
    """The Stripe sandbox with its data under `folder`; yields its address."""
    port = free_port()
    async with running(stripe(port, folder), folder.with_name(f"{folder.name}.log"), signal.SIGKILL):
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def running(process: Process, log: Path, stop: signal.Signals) -> AsyncIterator[int]:
    """Any single process, once it is ready; yields its process id.

    Raises RuntimeError with its log when it ends early or isn't ready in time, or has to be killed though
    it was asked to end.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output, Watchdog() as watchdog:
        child = subprocess.Popen(  # noqa: ASYNC220, S603 takes milliseconds; not tied to this event loop
            process.command,
            cwd=ROOT,
            env={**os.environ, **process.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
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
            raise RuntimeError(f"{process.name} didn't end when it was asked to\n{_text(log)}")


def never_killed(process: Process) -> Process:
    """A granian that waits for its worker for good, so that one sees whether that ends by itself."""
    command = list(process.command)
    command[command.index("--workers-kill-timeout") + 1] = f"{2 * ENDS_WITHIN:g}"
    return replace(process, command=tuple(command))


async def _ready(process: Process, child: subprocess.Popen[bytes], log: Path) -> None:
    assert process.ready is not None, f"{process.name} is a command that ends"
    deadline = time.monotonic() + process.ready_within
    while missing := await process.ready():
        if child.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.name} didn't start: {missing}\n{_text(log)}")
        await asyncio.sleep(0.005)


async def _ended(child: subprocess.Popen[bytes], within: float) -> bool:
    deadline = time.monotonic() + within
    while child.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 Popen has no event
        await asyncio.sleep(0.005)
    return child.poll() is not None


def _text(log: Path) -> str:
    return log.read_text(errors="replace")
