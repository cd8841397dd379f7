"""Runs groups of processes: starts them in order, and stops all in reverse order when one ends."""

import asyncio
import signal
from collections.abc import Callable, Sequence

from sandbox.child import Child, Failed
from sandbox.log import Log
from sandbox.processes import Process
from sandbox.watchdog import Watchdog

POLL_INTERVAL = 0.05
STOP_WITHIN = 4.5
"""Maximum number of seconds for stopping all processes, so that Ctrl-C takes less than five seconds."""


class Stopped(Exception):
    """The user asked to stop."""


class Runner:
    def __init__(self, groups: Sequence[Sequence[Process]], log: Log, watchdog: Watchdog) -> None:
        self._groups = [group for group in groups if group]
        self._started: list[list[Child]] = []
        self._log = log
        self._watchdog = watchdog

    async def run(self, announce: Callable[[], None], stop: asyncio.Event) -> None:
        """Run until `stop` is set, and call `announce` when all processes are ready.

        Raises:
            Failed: a process has ended or wasn't ready in time.
        """
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
        missing: str | None = "the command hasn't ended"
        try:
            async with asyncio.timeout(process.ready_within):
                if process.ready is None:
                    await asyncio.wait([watching])
                    return
                while missing := await process.ready():  # noqa: ASYNC110 there is no event
                    await asyncio.sleep(POLL_INTERVAL)
        except TimeoutError:
            reason = f"wasn't ready within {process.ready_within:g} s: {missing}"
            raise Failed(process.name, reason, child.lines) from None

    async def _stop(self) -> None:
        """Stop the groups in reverse order. Each has an equal share of STOP_WITHIN, plus any unused time."""
        started = asyncio.get_running_loop().time()
        share = STOP_WITHIN / max(len(self._started), 1)
        for number, children in enumerate(reversed(self._started), 1):
            await asyncio.gather(*(child.stop(started + share * number) for child in children))


async def _raise_at(stop: asyncio.Event) -> None:
    await stop.wait()
    raise Stopped


async def _fail_at_end(child: Child) -> None:
    code = await child.ended()
    if code < 0:
        raise Failed(child.process.name, f"was ended by {signal.Signals(-code).name}", child.lines)
    if code > 0 or child.process.ready is not None:
        raise Failed(child.process.name, f"ended with code {code}", child.lines)
