"""Watch the processes from outside: their health checks and their memory."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.resilience.overload.meter import quantile
from tests.support.processes import memory_of

LOOK_SECONDS = 0.2
ANSWER_SECONDS = 5.0
"""The time-out of an orchestrator's health check, as in compose.yaml."""
PATHS = ("/health/live", "/health/ready")


@dataclass
class Watch:
    seconds: list[float] = field(default_factory=list)
    """The duration of each health check that was answered with 200."""
    missed: list[str] = field(default_factory=list)
    """A description of each health check that failed or took too long."""
    memory: dict[str, int] = field(default_factory=dict)
    """The maximum megabytes (PSS) of each process and its children."""

    def summary(self) -> str:
        return (
            f"{len(self.seconds)} health checks answered: median {quantile(self.seconds, 0.5):.3f} s,"
            f" 95th percentile {quantile(self.seconds, 0.95):.3f} s, maximum"
            f" {max(self.seconds, default=0):.3f} s; {len(self.missed)} missed"
        )


@asynccontextmanager
async def watching(addresses: Mapping[str, str], folder: Path) -> AsyncIterator[Watch]:
    """Check every process repeatedly within the block, on new connections.

    Args:
        addresses: the addresses of the processes, by name.
        folder: the data folder, which identifies the processes.
    """
    watch = Watch()
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=timeout
    ) as http:
        tasks = [
            asyncio.create_task(_ask(http, watch, name, address + path))
            for name, address in addresses.items()
            for path in PATHS
        ]
        tasks.append(asyncio.create_task(_measure_memory(watch, folder)))
        try:
            yield watch
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _ask(http: aiohttp.ClientSession, watch: Watch, name: str, address: str) -> None:
    while True:
        began = time.monotonic()
        try:
            async with http.get(address) as answer:
                await answer.read()
                status = str(answer.status)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            status = repr(error)
        if status == "200":
            watch.seconds.append(time.monotonic() - began)
        else:
            path = address.rpartition("/")[2]
            watch.missed.append(f"{name}: {path}: {status} after {time.monotonic() - began:.1f} s")
        await asyncio.sleep(LOOK_SECONDS)


async def _measure_memory(watch: Watch, folder: Path) -> None:
    while True:
        for name, megabytes in (await asyncio.to_thread(memory_of, folder)).items():
            watch.memory[name] = max(megabytes, watch.memory.get(name, 0))
        await asyncio.sleep(5 * LOOK_SECONDS)
