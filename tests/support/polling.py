"""Wait for a state that another process or task brings about."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

TIMEOUT = 60.0
"""Seconds to wait for a change that usually takes milliseconds, on a busy machine."""

T = TypeVar("T")


async def until(
    look: Callable[[], Awaitable[T]], satisfied: Callable[[T], object] = bool, seconds: float = TIMEOUT
) -> T:
    """Call `look` until its result satisfies the condition, and return that result.

    Raises:
        AssertionError: the time is over. The message contains the last result.
    """
    deadline = time.monotonic() + seconds
    while not satisfied(seen := await look()):
        assert time.monotonic() < deadline, f"the condition is not met after {seconds} s: {seen!r}"
        await asyncio.sleep(0.02)
    return seen
