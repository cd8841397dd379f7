"""A request's body, whole before anything is done for it.

Whoever sends slowly then keeps nobody waiting but themselves: what they hold is a connection and what they
sent, and neither for long.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar.types import HTTPScope, Receive

LARGEST = 6_000_000
"""Bytes: a picture and the form around it. What is allowed at an address is checked there."""
SMALL = 16_384
"""Bytes. Every form but those with a picture, and nearly all that the API takes."""
MOST_HELD = 48_000_000
"""Bytes in memory at the same time, of bodies that aren't small."""
SECONDS = 10.0
BYTES_A_SECOND = 50_000
"""A body that is large and keeps coming at this rate gets more time."""
DROPPED_BYTES = 50_000_000
DROPPED_SECONDS = 60.0


class BodyRefused(Exception):
    """Says with which status."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(status)


def declared(scope: HTTPScope) -> int | None:
    """The length of the body in bytes; None if it isn't said. Chunks go before it (RFC 9112, section 6.3)."""
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers:
        return None
    said = headers.get(b"content-length", b"0")
    return int(said) if said.isdigit() else None


class Bodies:
    """Takes in the bodies that are sent to one process."""

    def __init__(self, *, seconds: float = SECONDS, most_held: int = MOST_HELD) -> None:
        self._seconds = seconds
        self._left = most_held

    @asynccontextmanager
    async def arrived(self, receive: Receive, length: int | None) -> AsyncIterator[bytes]:
        """The body, which counts as in memory until the block ends. What was only announced doesn't count.

        Raises:
            BodyRefused: it is too large, comes too slowly or beside too many large ones, or breaks off.
        """
        body, held = bytearray(), 0
        more = length != 0
        started = asyncio.get_running_loop().time()
        try:
            while more:
                within = self._seconds + len(body) / BYTES_A_SECOND
                more = await _next(receive, body, started + within)
                if len(body) > SMALL:
                    self._left -= len(body) - held
                    held = len(body)
                    if self._left < 0:
                        raise BodyRefused(503)
            yield bytes(body)
        finally:
            self._left += held


async def _next(receive: Receive, body: bytearray, deadline: float) -> bool:
    """Whether there is more after this."""
    try:
        async with asyncio.timeout_at(deadline):
            message = await receive()
    except TimeoutError:
        raise BodyRefused(408) from None
    if message["type"] == "http.disconnect":
        raise BodyRefused(400)  # of somebody who left, or whose chunks aren't chunks
    body += message.get("body", b"")  # type: ignore[arg-type] # of http.request only
    if len(body) > LARGEST:
        raise BodyRefused(413)
    return bool(message.get("more_body"))


async def drop(receive: Receive) -> None:
    """Read what nobody wants: browsers lose an answer that comes while they still send. Within limits."""
    left, more = DROPPED_BYTES, True
    try:
        async with asyncio.timeout(DROPPED_SECONDS):
            while more and left > 0:
                message = await receive()
                left -= len(message.get("body", b""))  # type: ignore[arg-type] # of http.request only
                more = bool(message.get("more_body"))
    except TimeoutError:
        return
