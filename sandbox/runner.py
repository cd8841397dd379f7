"""Runs groups of processes as one: ready in order, stopped in reverse order, and all end when one does."""

import asyncio
import signal
from collections.abc import Callable, Sequence

from sandbox.child import Child, Failed
from sandbox.log import Log
from sandbox.processes import Process
from sandbox.watchdog import Watchdog

POLL = 0.05
STOP_WITHIN = 4.5
"""Seconds for everything, so that Ctrl-C is done within five."""


class Stopped(Exception):
    """Somebody asked for the end."""


class Runner:
    def __init__(self, groups: Sequence[Sequence[Process]], log: Log, watchdog: Watchdog) -> None:
        self._groups = [group for group in groups if group]
        self._started: list[list[Child]] = []
        self._log = log
        self._watchdog = watchdog

    async def run(self, announce: Callable[[], None], stop: asyncio.Event) -> None:
        """Calls `announce` when all are ready, returns after `stop`; raises Failed if a process did."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_raise_at(stop))
                for group in self._groups:
                    self._started.append([])
                    starting = [tasks.create_task(self._start(process, tasks)) for process in group]
                    await asyncio.wait(starting)
                announce()
        except ExceptionGroup as ended:
            if not isinstance(ended.exceptions[0], Stopped):
                raise ended.exceptions[0] from None
        finally:
            await self._stop()

    async def _start(self, process: Process, tasks: asyncio.TaskGroup) -> None:
        child = Child(process, self._log, self._watchdog)
        await child.start()
        self._started[-1].append(child)
        watching = tasks.create_task(_fail_at_end(child))
        missing: str | None = "it hasn't ended"
        try:
            async with asyncio.timeout(process.ready_within):
                if process.ready is None:
                    await asyncio.wait([watching])
                    return
                while missing := await process.ready():  # noqa: ASYNC110 nothing announces it
                    await asyncio.sleep(POLL)
        except TimeoutError:
            reason = f"wasn't ready within {process.ready_within:g} s: {missing}"
            raise Failed(process.name, reason, child.lines) from None

    async def _stop(self) -> None:
        """Each group has its share of the time, and what those before it left of theirs."""
        started = asyncio.get_running_loop().time()
        share = STOP_WITHIN / max(len(self._started), 1)
        for turn, children in enumerate(reversed(self._started), 1):
            await asyncio.gather(*(child.stop(started + share * turn) for child in children))


async def _raise_at(stop: asyncio.Event) -> None:
    await stop.wait()
    raise Stopped


async def _fail_at_end(child: Child) -> None:
    code = await child.ended()
    if code < 0:
        raise Failed(child.process.name, f"was ended by {signal.Signals(-code).name}", child.lines)
    if code > 0 or child.process.ready is not None:
        raise Failed(child.process.name, f"ended with code {code}", child.lines)
