"""Settle many payments so that one failure doesn't stop the others."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from kit.errors import NotFound, Unavailable
from kit.mongo import DatabaseError

log = logging.getLogger(__name__)

CONCURRENCY = 8
"""Maximum number of payments that are settled at the same time."""

Item = TypeVar("Item")
Result = TypeVar("Result")


async def for_each(items: Sequence[Item], work: Callable[[Item], Awaitable[Result]]) -> list[Result]:
    """Call `work` with each item, at most `CONCURRENCY` at a time. Return the results in the items' order."""
    limit = asyncio.Semaphore(CONCURRENCY)

    async def limited(item: Item) -> Result:
        async with limit:
            return await work(item)

    return await asyncio.gather(*map(limited, items))


@contextmanager
def isolated(item: str) -> Iterator[None]:
    """Log an error of the block instead of raising it. A database error is raised: it affects all items."""
    try:
        yield
    except (Unavailable, NotFound) as error:
        log.warning("%s isn't settled yet: %s", item, error)
    except DatabaseError:
        raise
    except Exception:
        log.exception("%s can't be settled", item)
