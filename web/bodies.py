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
LARGE_AT_ONCE = 8
"""Bodies that aren't small, in memory at the same time."""
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

    def __init__(self, *, seconds: float = SECONDS, large_at_once: int = LARGE_AT_ONCE) -> None:
        self._seconds = seconds
        self._room_for_large = large_at_once

    @asynccontextmanager
    async def arrived(self, receive: Receive, length: int | None) -> AsyncIterator[bytes]:
        """The body, which counts as in memory until the block ends.

        Raises:
            BodyRefused: it is too large, comes too slowly or as one too many large ones, or breaks off.
        """
        body = bytearray()
        is_large, more = False, length != 0
        started = asyncio.get_running_loop().time()
        try:
            while more:
                within = self._seconds + len(body) / BYTES_A_SECOND
                more = await _next(receive, body, started + within)
                if max(len(body), length or 0) > SMALL and not is_large:
                    is_large = self._takes_a_large_one()
            yield bytes(body)
        finally:
            self._room_for_large += is_large

    def _takes_a_large_one(self) -> bool:
        if self._room_for_large == 0:
            raise BodyRefused(503)
        self._room_for_large -= 1
        return True


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
