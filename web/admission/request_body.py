"""Reads the whole body of a request before the request gets a permit, so that slow senders hold no permits.

A slow sender occupies only a connection and the memory for what it has sent, and only for a limited time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar.types import HTTPScope, Receive

from contracts.tickets import MAX_PICTURE_BYTES

FORM_FIELDS_BYTES = 750_000
MAX_BODY_BYTES = MAX_PICTURE_BYTES + FORM_FIELDS_BYTES
"""Maximum size of a body: that of a form with a picture. Each route also has its own limit."""
SMALL_BODY_BYTES = 16_384
"""Maximum size of a body that doesn't count towards `MAX_MEMORY_BYTES`: nearly all forms and API requests."""
MAX_MEMORY_BYTES = 48_000_000
"""The most memory that all larger bodies together may occupy."""
READ_TIMEOUT = 10.0
"""Seconds within which a body must arrive, unless it arrives at `MIN_BYTES_PER_SECOND`."""
MIN_BYTES_PER_SECOND = 50_000
"""Each received byte extends the timeout by the time that it takes at this rate."""
MAX_DISCARDED_BYTES = 50_000_000
DISCARD_TIMEOUT = 60.0
"""Seconds after which a rejected body is no longer read."""


class BodyRejected(Exception):
    """The body can't be accepted. `status` is the HTTP status of the response."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(status)


def declared_length(scope: HTTPScope) -> int | None:
    """The length of the body in bytes; None if it is unknown.

    Transfer-Encoding overrides Content-Length (RFC 9112, section 6.3).
    """
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers:
        return None
    length = headers.get(b"content-length", b"0")
    return int(length) if length.isdigit() else None


class BodyReader:
    """Reads the bodies of all requests to a process, within a common memory limit."""

    def __init__(self, *, timeout: float = READ_TIMEOUT, max_memory: int = MAX_MEMORY_BYTES) -> None:
        self._timeout = timeout
        self._free = max_memory

    @asynccontextmanager
    async def read(self, receive: Receive, length: int | None) -> AsyncIterator[bytes]:
        """The body of a request. Its memory counts towards the limit from its arrival until the block ends.

        Raises:
            BodyRejected: the body is too large, too slow or incomplete, or exceeds the memory limit.
        """
        body, held = bytearray(), 0
        more = length != 0
        started = asyncio.get_running_loop().time()
        try:
            while more:
                allowed = self._timeout + len(body) / MIN_BYTES_PER_SECOND
                more = await _read_chunk(receive, body, started + allowed)
                if len(body) > SMALL_BODY_BYTES:
                    self._free -= len(body) - held
                    held = len(body)
                    if self._free < 0:
                        raise BodyRejected(503)
            yield bytes(body)
        finally:
            self._free += held


async def _read_chunk(receive: Receive, body: bytearray, deadline: float) -> bool:
    """Append the next chunk to `body`. Return whether more chunks follow."""
    try:
        async with asyncio.timeout_at(deadline):
            message = await receive()
    except TimeoutError:
        raise BodyRejected(408) from None
    if message["type"] == "http.disconnect":
        raise BodyRejected(400)  # the client left, or sent invalid chunks
    body += message.get("body", b"")  # type: ignore[arg-type] # of http.request only
    if len(body) > MAX_BODY_BYTES:
        raise BodyRejected(413)
    return bool(message.get("more_body"))


async def discard(receive: Receive) -> None:
    """Receive a body, within limits, without storing it.

    This is necessary because a browser ignores a response that arrives before the browser has sent the body.
    """
    left, more = MAX_DISCARDED_BYTES, True
    try:
        async with asyncio.timeout(DISCARD_TIMEOUT):
            while more and left > 0:
                message = await receive()
                left -= len(message.get("body", b""))  # type: ignore[arg-type] # of http.request only
                more = bool(message.get("more_body"))
    except TimeoutError:
        return
