"""Work that runs in the background of a process until a block of code ends."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

log = logging.getLogger(__name__)


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` in the background until the block ends.

    If `work` ends earlier, the process is stopped. Otherwise it would answer requests and look healthy, but
    publish and receive nothing.
    """
    task = asyncio.create_task(work)
    task.add_done_callback(_end_process)
    try:
        yield
    finally:
        task.remove_done_callback(_end_process)
        await cancel(task)


async def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has ended.

    The cancellation is repeated, because asyncio.wait_for of Python 3.11, which pymongo and nats-py use,
    loses a cancellation that coincides with its result.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1)


def _end_process(task: asyncio.Task[None]) -> None:
    if task.cancelled() and task.cancelling():
        return  # cancelled on purpose, and not because a library cancelled what the task awaited
    error = None if task.cancelled() else task.exception()
    log.critical("background work ended, so this process does", exc_info=error)
    signal.raise_signal(signal.SIGTERM)
