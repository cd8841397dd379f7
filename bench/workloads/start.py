"""`just up` with a new data folder: the time until everything is ready, and the memory when idle."""

import asyncio
import signal
import sys
import time
from pathlib import Path

from bench.bare import NAME as BARE
from bench.bare import bare_handler
from bench.figures import Figure
from bench.suite import Suite, Workload
from sandbox.processes import Process
from sandbox.testing import running
from tests.support.processes import memory_of
from tests.support.stack import environment_of

UP = "just up, idle"
READY = "Stagedoor is ready"
SETTLE_SECONDS = 5.0
"""Time after the start until memory is measured."""


async def measure(suite: Suite) -> list[Figure]:
    ready: list[float] = []
    bare_ready: list[float] = []
    memory: list[dict[str, int]] = []
    bare_memory: list[float] = []
    for run in range(suite.effort.runs):
        folder = suite.folder / f"up-{run}"
        began = time.monotonic()
        async with bare_handler(folder / "bare"):
            bare_ready.append(time.monotonic() - began)
            bare_memory.append(float(sum(memory_of(folder / "bare").values())))
        seconds, used = await _up(folder / "data")
        ready.append(seconds)
        memory.append(used)
    return [
        Figure(
            workload=UP, name="ready after", unit="s", runs=ready, baseline=BARE, baseline_runs=bare_ready
        ),
        Figure(
            workload=UP,
            name="memory",
            unit="MB",
            runs=[float(sum(run.values())) for run in memory],
            parts={name: float(size) for name, size in memory[-1].items()},
            baseline=BARE,
            baseline_runs=bare_memory,
        ),
    ]


async def _up(folder: Path) -> tuple[float, dict[str, int]]:
    """Seconds until everything is ready, and the megabytes of each process afterwards."""
    log = folder.with_suffix(".log")

    async def ready() -> str | None:
        return None if READY in log.read_text(errors="replace") else "it hasn't said so"

    command = (sys.executable, "-m", "sandbox.up")
    up = Process("up", command, ready, environment=environment_of(folder), ready_within=180)
    began = time.monotonic()
    async with running(up, log, signal.SIGTERM):
        taken = time.monotonic() - began
        await asyncio.sleep(SETTLE_SECONDS)
        return taken, memory_of(folder)


START = {"up": Workload("just up: ready after, and idle memory", measure, needs_market=False)}
