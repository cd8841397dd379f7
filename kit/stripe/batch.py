"""Settle many payments or sales so that one failure doesn't stop the others."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from kit.errors import NotFound, Unavailable
from kit.mongo import DatabaseError
from kit.stripe.errors import OutcomeUnknown
from kit.tracing import fail_span

log = logging.getLogger(__name__)

CONCURRENCY = 8
"""Maximum number of them that are settled at the same time."""

LOOK_SECONDS = 45
"""How long a process looks at one of them at most. The claim is longer, so that nobody else looks as well."""

CLAIM = timedelta(seconds=60)
"""How long one of them is left alone by other processes. If the process dies, another one continues then."""

Item = TypeVar("Item")
Result = TypeVar("Result")


async def for_each(items: Sequence[Item], work: Callable[[Item], Awaitable[Result]]) -> list[Result]:
    """Call `work` with each item, at most `CONCURRENCY` at a time. Return the results in the items' order."""
    limit = asyncio.Semaphore(CONCURRENCY)

    async def limited(item: Item) -> Result:
        async with limit:
            return await work(item)

    return await asyncio.gather(*map(limited, items))


async def within_claim(work: Awaitable[Result]) -> Result:
    """The result of work on a claimed payment or sale.

    Raises:
        OutcomeUnknown: the work took too long, and was given up.
    """
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await work
    except TimeoutError:
        raise OutcomeUnknown from None


@contextmanager
def isolated(item: str) -> Iterator[None]:
    """Log an error of the block instead of raising it, and mark the current span as failed.

    A database error is raised: it affects all items.
    """
    try:
        yield
    except (Unavailable, NotFound) as error:
        fail_span(type(error).__name__)
        log.warning("%s isn't settled yet: %s", item, error)
    except DatabaseError:
        raise
    except Exception as error:
        fail_span(type(error).__name__)
        log.exception("%s can't be settled", item)
