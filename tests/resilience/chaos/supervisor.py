"""Restart a process whenever it ends, as supervisors do in production."""

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from sandbox.processes import ROOT, Process
from sandbox.watchdog import Watchdog, end

YOUNG_SECONDS = 20.0
"""A service that can't reach its database at the start ends within this time."""
RESTART_SECONDS = 0.3
"""Pause between the end of a process and its next start, as with any supervisor."""


class NotRunning(Exception):
    """The process has just ended, and is about to be restarted."""


class Supervised:
    """A process that is restarted whenever it ends, until `leave` is called."""

    def __init__(self, process: Process, log: Path, watchdog: Watchdog) -> None:
        self.process = process
        self.pid = 0
        self.deaths = 0
        self.failed_starts = 0
        """How often the process ended by itself soon after its start, because a dependency was down."""
        self.own_deaths = 0
        """How often the process ended by itself later. No fault should cause that."""
        self._was_ended = False
        """Whether the current process was sent a signal to end."""
        self._log = log
        self._watchdog = watchdog
        self._leaves = False
        self._task = asyncio.create_task(self._supervise())

    def send(self, how: signal.Signals) -> None:
        """Send a signal to the process and its children.

        Raises:
            NotRunning
        """
        if not self.pid:
            raise NotRunning(self.process.name)
        self._was_ended = self._was_ended or how in (signal.SIGKILL, signal.SIGTERM)
        end(self.pid, how)

    async def leave(self, how: signal.Signals) -> None:
        """Stop the process without a restart, and wait until it has ended. Kill it after ten seconds."""
        self._leaves = True
        with suppress(NotRunning):
            self.send(signal.SIGCONT)
            self.send(how)
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.shield(self._task)
        with suppress(NotRunning):
            self.send(signal.SIGKILL)
        await self._task

    async def _supervise(self) -> None:
        while not self._leaves:
            with self._log.open("ab") as output:
                child = await asyncio.create_subprocess_exec(
                    *self.process.command,
                    cwd=ROOT,
                    env={**os.environ, **self.process.environment},
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            self.pid, self._was_ended = child.pid, False
            began = time.monotonic()
            self._watchdog.watch(child.pid)
            await child.wait()
            if not self._was_ended:
                is_young = time.monotonic() - began < YOUNG_SECONDS
                self.failed_starts += is_young
                self.own_deaths += not is_young
            end(child.pid, signal.SIGKILL)  # its children
            self._watchdog.forget(child.pid)
            self.pid = 0
            self.deaths += 1
            if not self._leaves:
                await asyncio.sleep(RESTART_SECONDS)
