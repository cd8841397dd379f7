"""Watches the processes from outside: whether they answer health checks, and how much memory they take."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.overload.meter import quantile

LOOK_SECONDS = 0.2
ANSWER_SECONDS = 5.0
"""Within which an orchestrator wants its answer; compose.yaml does."""
PATHS = ("/health/live", "/health/ready")


@dataclass
class Watch:
    seconds: list[float] = field(default_factory=list)
    """Of each health check that was answered with 200."""
    missed: list[str] = field(default_factory=list)
    """The others."""
    memory: dict[str, int] = field(default_factory=dict)
    """The most megabytes (PSS) of each process with its children."""

    def told(self) -> str:
        return (
            f"{len(self.seconds)} health checks answered, half within {quantile(self.seconds, 0.5):.3f} s,"
            f" 95 of 100 within {quantile(self.seconds, 0.95):.3f} s, all within"
            f" {max(self.seconds, default=0):.3f} s; {len(self.missed)} missed"
        )


@asynccontextmanager
async def watching(addresses: Mapping[str, str], folder: Path) -> AsyncIterator[Watch]:
    """Ask every process again and again within the block, each on connections of its own.

    Args:
        addresses: of the processes, by name.
        folder: the data folder, by which they are recognised.
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
        tasks.append(asyncio.create_task(_weigh(watch, folder)))
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


async def _weigh(watch: Watch, folder: Path) -> None:
    while True:
        for name, megabytes in (await asyncio.to_thread(weights, folder)).items():
            watch.memory[name] = max(megabytes, watch.memory.get(name, 0))
        await asyncio.sleep(5 * LOOK_SECONDS)


def weights(folder: Path) -> dict[str, int]:
    """Megabytes by process: its share of what several have (PSS), and its children's."""
    found: dict[str, int] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if f"DATA_DIR={folder}".encode() not in (process / "environ").read_bytes().split(b"\0"):
                continue
            lines = (process / "smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended, or is somebody else's
            continue
        kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        name = _name_of(command)
        found[name] = found.get(name, 0) + kilobytes // 1024
    return found


def _name_of(command: bytes) -> str:
    parts = command.decode(errors="replace").split("\0")
    app = next((part for part in parts if part.endswith(":app")), "")
    if app:
        return app.removesuffix(":app").removesuffix(".app").rpartition(".")[2]
    return next((Path(part).name for part in parts if "nats-server" in part or "secantus" in part), "another")
