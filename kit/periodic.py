"""Work that a process repeats until it stops."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from kit.mongo import is_outage

log = logging.getLogger(__name__)


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
            await work()
        except Exception as error:
            if is_outage(error):
                log.warning("%s failed, the database is unavailable: %s", name, error)
            else:
                log.exception("%s failed", name)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await wake.wait()
