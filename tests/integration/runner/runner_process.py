"""Starts the runner in a separate process, with dummy servers instead of the real processes."""

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
from tests.support.polling import TIMEOUT


class DummyProcess(TypedDict, total=False):
    name: str
    command: list[str]
    port: int
    chatter: str
    ready_within: float


def server(name: str, *options: str) -> DummyProcess:
    port = free_port()
    script = str(Path(__file__).with_name("dummy_server.py"))
    return {"name": name, "command": [sys.executable, script, str(port), *options], "port": port}


def command(name: str, code: str) -> DummyProcess:
    """A command that runs this Python code. The next group starts only after the command has ended."""
    return {"name": name, "command": [sys.executable, "-c", code]}


class Runner:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def wait_for_output(self, text: str) -> str:
        """Read output until a line contains the text, and return that line."""
        assert self.process.stdout is not None
        async with asyncio.timeout(TIMEOUT):
            while line := (await self.process.stdout.readline()).decode():
                self.lines.append(line.rstrip("\n"))
                if text in line:
                    return line.rstrip("\n")
        raise AssertionError("\n".join([f"{text!r} is missing in the output:", *self.lines]))

    async def wait(self) -> int:
        """Wait until the runner has ended, and return its exit code."""
        assert self.process.stdout is not None
        async with asyncio.timeout(TIMEOUT):
            self.lines += (await self.process.stdout.read()).decode().splitlines()
            return await self.process.wait()

    @property
    def pids(self) -> list[int]:
        """The process ids that the dummy servers have printed so far."""
        return [int(pid) for pid in re.findall(r"\| pid (\d+)", "\n".join(self.lines))]


@asynccontextmanager
async def running(
    data_dir: Path, *groups: list[DummyProcess], stop_within: float = runner.STOP_WITHIN
) -> AsyncIterator[Runner]:
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "tests.integration.runner.runner_process",
            str(data_dir),
            json.dumps(groups),
            str(stop_within),
        ),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    run = Runner(process)
    try:
        yield run
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await run.wait()


def crash(dummy: DummyProcess) -> None:
    with socket.create_connection(("127.0.0.1", dummy["port"])) as connection:
        connection.sendall(b"crash")


def is_running(pid: int) -> bool:
    """Whether a process is running. A zombie process doesn't count."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(") ")[2][0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


async def wait_until_ended(pids: list[int]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while any(is_running(pid) for pid in pids):  # noqa: ASYNC110 only a parent can wait for its child
            await asyncio.sleep(0.01)


def _process(dummy: DummyProcess) -> Process:
    port = dummy.get("port")
    return Process(
        name=dummy["name"],
        command=tuple(dummy["command"]),
        ready=listening(port) if port else None,
        port=port,
        port_setting=f"{dummy['name'].upper()}_PORT",
        environment={"PYTHONUNBUFFERED": "1"},
        chatter=dummy.get("chatter"),
        ready_within=dummy.get("ready_within", 30),
    )


if __name__ == "__main__":
    stack: list[list[DummyProcess]] = json.loads(sys.argv[2])
    runner.STOP_WITHIN = float(sys.argv[3])
    processes = [[_process(dummy) for dummy in group] for group in stack]
    sys.exit(up(processes, Path(sys.argv[1]), "http://localhost:3500"))
