"""Runs the process runner, as a process, on stand-ins."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypedDict

from sandbox import runner
from sandbox.processes import ROOT, Process, listening
from sandbox.testing import free_port
from sandbox.up import up
from tests.people import PATIENCE


class StandIn(TypedDict, total=False):
    name: str
    command: list[str]
    port: int
    chatter: str
    ready_within: float


def server(name: str, *habits: str) -> StandIn:
    port = free_port()
    script = str(Path(__file__).with_name("stand_in.py"))
    return {"name": name, "command": [sys.executable, script, str(port), *habits], "port": port}


def command(name: str, code: str) -> StandIn:
    """A command that has to end."""
    return {"name": name, "command": [sys.executable, "-c", code]}


class Running:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def until(self, text: str) -> str:
        """The first new line that contains the text."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while line := (await self.process.stdout.readline()).decode():
                self.lines.append(line.rstrip("\n"))
                if text in line:
                    return line.rstrip("\n")
        raise AssertionError("\n".join([f"{text!r} was never said:", *self.lines]))

    async def ended(self) -> int:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            self.lines += (await self.process.stdout.read()).decode().splitlines()
            return await self.process.wait()

    @property
    def pids(self) -> list[int]:
        return [int(pid) for pid in re.findall(r"\| pid (\d+)", "\n".join(self.lines))]


@asynccontextmanager
async def running(
    data_dir: Path, *groups: list[StandIn], stop_within: float = runner.STOP_WITHIN
) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.runner.stacks", str(data_dir), json.dumps(groups), str(stop_within)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    run = Running(process)
    try:
        yield run
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await run.ended()


def die(stand_in: StandIn) -> None:
    with socket.create_connection(("127.0.0.1", stand_in["port"])) as connection:
        connection.sendall(b"die")


def alive(pid: int) -> bool:
    """A process that has ended counts as gone even if nobody asked for its exit code."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(") ")[2][0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


async def until_gone(pids: list[int]) -> None:
    async with asyncio.timeout(PATIENCE):
        while any(alive(pid) for pid in pids):  # noqa: ASYNC110 they aren't our children
            await asyncio.sleep(0.01)


def _process(stand_in: StandIn) -> Process:
    port = stand_in.get("port")
    return Process(
        name=stand_in["name"],
        command=tuple(stand_in["command"]),
        ready=listening(port) if port else None,
        port=port,
        port_setting=f"{stand_in['name'].upper()}_PORT",
        environment={"PYTHONUNBUFFERED": "1"},
        chatter=stand_in.get("chatter"),
        ready_within=stand_in.get("ready_within", 30),
    )


if __name__ == "__main__":
    stack: list[list[StandIn]] = json.loads(sys.argv[2])
    runner.STOP_WITHIN = float(sys.argv[3])
    processes = [[_process(stand_in) for stand_in in group] for group in stack]
    sys.exit(up(processes, Path(sys.argv[1]), "http://localhost:3500"))
