"""Work that a process repeats until it stops."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from kit.mongo import is_outage

log = logging.getLogger(__name__)

LAST_RUN_SECONDS = 0.5
"""How long a run may go on after the cancellation. A database connection that is being opened when its task
is cancelled is never closed."""


async def every(
    seconds: float, work: Callable[[], Awaitable[object]], wake: asyncio.Event | None = None
) -> None:
    """Run `work` now, then every `seconds` and whenever `wake` is set, until cancelled.

    A failed run is logged and doesn't end the repetition. Setting `wake` during a run causes another run.
    """
    wake = wake or asyncio.Event()
    name = getattr(work, "__qualname__", repr(work))
    while True:
        wake.clear()
        try:
            await _to_its_end(work)
        except Exception as error:
            if is_outage(error):
                log.warning("%s failed, the database is unavailable: %s", name, error)
            else:
                log.exception("%s failed", name)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await wake.wait()


async def _to_its_end(work: Callable[[], Awaitable[object]]) -> None:
    run = asyncio.ensure_future(work())
    try:
        await asyncio.shield(run)
    except asyncio.CancelledError:
        try:
            await asyncio.wait({run}, timeout=LAST_RUN_SECONDS)
        finally:
            run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        raise
