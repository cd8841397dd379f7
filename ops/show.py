"""Show what an operator asks for: the timeline of one order, or a list."""

from collections.abc import AsyncIterator

from ops.lookup import find
from ops.sources import opened
from ops.timeline import timeline
from settings import Settings


async def show(settings: Settings, what: str) -> AsyncIterator[str]:
    """The lines of the timeline, or one line for each order and ticket.

    Raises:
        NotFound, Unclear, Unreachable
    """
    async with opened(settings) as sources:
        found = await find(sources, what)
        if found.order is None:
            yield found.summary
            for line in found.lines:
                yield line
            return
        for line in (await timeline(sources, found.order)).lines():
            yield line
