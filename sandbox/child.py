"""A child process, its output, and its own child processes."""

import asyncio
import os
import signal
from collections import deque
from typing import Self

from sandbox.log import Log
from sandbox.processes import ROOT, Process
from sandbox.watchdog import Watchdog, end

MAX_LINE = 64 * 1024
KEPT_LINES = 20


class Failed(Exception):
    """A process has ended or wasn't ready in time. The message contains its last lines of output."""

    def __init__(self, name: str, reason: str, lines: deque[str] | None = None) -> None:
        super().__init__("\n".join([f"{name} {reason}", *(f"  {name} | {line}" for line in lines or ())]))


class Child:
    """A process that leads its own process group, so that signals also reach its children."""

    def __init__(self, process: Process, log: Log, watchdog: Watchdog) -> None:
        self.process = process
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._log = log
        self._watchdog = watchdog
        self._gone = False

    async def start(self) -> Self:
        # With `asyncio.subprocess.PIPE`, `wait` would also wait for grandchildren that keep the pipe open.
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
        self._output = asyncio.create_task(self._read_output(read))
        return self

    async def ended(self) -> int:
        """Wait until the process and its group have ended and its output is read.

        Returns the exit code, which is negative for a signal.
        """
        code = await self._handle.wait()
        if not self._gone:
            self._gone = True
            end(self._handle.pid, signal.SIGKILL)  # its remaining children
            self._watchdog.forget(self._handle.pid)
        await asyncio.wait([self._output], timeout=0.5)
        self._output.cancel()
        return code

    async def stop(self, deadline: float) -> None:
        """Send SIGTERM, and SIGKILL at the deadline, which is a time of the event loop's clock."""
        if not self._gone:
            end(self._handle.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout_at(deadline):
                await self._handle.wait()
        except TimeoutError:
            self._log.line(self.process.name, "didn't stop in time and was killed")
            end(self._handle.pid, signal.SIGKILL)
        await self.ended()

    async def _read_output(self, pipe: int) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb")
        )
        try:
            rest = b""
            while chunk := await reader.read(MAX_LINE):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > MAX_LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._log_line(line)
            if rest:
                self._log_line(rest)
        finally:
            transport.close()

    def _log_line(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        self.lines.append(text)
        if self.process.chatter is None or self.process.chatter not in text:
            self._log.line(self.process.name, text)
