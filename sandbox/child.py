"""One running process: its output, its end, and the end of all that it started."""

import asyncio
import os
import signal
from collections import deque
from typing import Self

from sandbox.log import Log
from sandbox.processes import ROOT, Process
from sandbox.watchdog import Watchdog, end

LONGEST_LINE = 64 * 1024
KEPT_LINES = 20


class Failed(Exception):
    """A process that ended or wasn't ready in time. Reads as it is shown, its last lines included."""

    def __init__(self, name: str, reason: str, lines: deque[str] | None = None) -> None:
        told = [f"{name} {reason}", *(f"  {name} | {line}" for line in lines or ())]
        super().__init__("\n".join(told))


class Child:
    """Leads a process group of its own, so that a signal reaches its children too."""

    def __init__(self, process: Process, log: Log, watchdog: Watchdog) -> None:
        self.process = process
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._log = log
        self._watchdog = watchdog
        self._gone = False

    async def start(self) -> Self:
        # A pipe of our own: waiting for the process then doesn't wait for grandchildren that hold it open.
        read, write = os.pipe()
        try:
            self._handle = await asyncio.create_subprocess_exec(
                *self.process.command,
                cwd=ROOT,
                env={**os.environ, **self.process.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except BaseException as error:
            os.close(read)
            if isinstance(error, FileNotFoundError):
                raise Failed(self.process.name, f"can't start: {error}. Run `just setup`.") from None
            raise
        finally:
            os.close(write)
        self._watchdog.watch(self._handle.pid)
        self._output = asyncio.create_task(self._pass_on(read))
        return self

    async def ended(self) -> int:
        """Its exit code, negative for a signal, once it and its group are gone and its output is read."""
        code = await self._handle.wait()
        if not self._gone:
            self._gone = True
            end(self._handle.pid, signal.SIGKILL)  # what it left behind
            self._watchdog.forget(self._handle.pid)
        await asyncio.wait([self._output], timeout=0.5)
        self._output.cancel()
        return code

    async def stop(self, deadline: float) -> None:
        """Asks, and at the deadline (of the loop's clock) kills."""
        if not self._gone:
            end(self._handle.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout_at(deadline):
                await self._handle.wait()
        except TimeoutError:
            self._log.line(self.process.name, "didn't stop in time and was killed")
            end(self._handle.pid, signal.SIGKILL)
        await self.ended()

    async def _pass_on(self, pipe: int) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb")
        )
        try:
            rest = b""
            while chunk := await reader.read(LONGEST_LINE):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > LONGEST_LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._say(line)
            if rest:
                self._say(rest)
        finally:
            transport.close()

    def _say(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        self.lines.append(text)
        if self.process.chatter is None or self.process.chatter not in text:
            self._log.line(self.process.name, text)
