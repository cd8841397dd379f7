"""Runs groups of processes: starts them in order, and stops all in reverse order when one ends."""

import asyncio
import signal
from collections.abc import Callable, Sequence

from sandbox.child import Child, Failed
from sandbox.log import Log
from sandbox.processes import Process, Ready
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
                    commands = [tasks.create_task(self._run(each, tasks)) for each in group if not each.ready]
                    servers = [
                        tasks.create_task(self._start(each, each.ready, commands, tasks))
                        for each in group
                        if each.ready
                    ]
                    await asyncio.wait([*commands, *servers])
                announce()
        except ExceptionGroup as ended:
            if not isinstance(ended.exceptions[0], Stopped):
                raise ended.exceptions[0] from None
        finally:
            await self._stop()

    async def _run(self, process: Process, tasks: asyncio.TaskGroup) -> None:
        """Run a command to its end, however long it takes: it may build an index."""
        _, watching = await self._child(process, tasks)
        await asyncio.wait([watching])

    async def _start(
        self, process: Process, ready: Ready, commands: Sequence[asyncio.Task[None]], tasks: asyncio.TaskGroup
    ) -> None:
        """Start a process and wait until it is ready, which may depend on the commands of its group."""
        child, _ = await self._child(process, tasks)
        missing: str | None = None
        try:
            async with asyncio.timeout(process.ready_within) as limit:
                while missing := await ready():
                    if not all(command.done() for command in commands):
                        limit.reschedule(asyncio.get_running_loop().time() + process.ready_within)
                    await asyncio.sleep(POLL_INTERVAL)
        except TimeoutError:
            reason = f"wasn't ready within {process.ready_within:g} s: {missing}"
            raise Failed(process.name, reason, child.lines) from None

    async def _child(self, process: Process, tasks: asyncio.TaskGroup) -> tuple[Child, asyncio.Task[None]]:
        """Start a process, and the task that waits for its end."""
        child = Child(process, self._log, self._watchdog)
        await child.start()
        self._started[-1].append(child)
        return child, tasks.create_task(_fail_at_end(child))

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
