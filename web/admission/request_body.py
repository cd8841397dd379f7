"""Reads the whole body of a request before the request gets a permit, so that slow senders hold no permits.

A slow sender occupies only a connection and the memory for what it has sent, and only for a limited time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar.types import HTTPScope, Receive

from contracts.tickets import MAX_FILE_BYTES, MAX_PICTURE_BYTES
from kit.networks import Networks

FORM_FIELDS_BYTES = 750_000
MAX_BODY_BYTES = MAX_PICTURE_BYTES + FORM_FIELDS_BYTES
"""Maximum size of a body: that of a form with a picture. Each route also has its own limit."""
MAX_FILE_FORM_BYTES = MAX_FILE_BYTES + FORM_FIELDS_BYTES
"""Maximum size of a form with a file of a ticket."""
MAX_LISTING_FORM_BYTES = MAX_BODY_BYTES + MAX_FILE_BYTES
"""Maximum size of a form that lists a ticket, with its picture and its files."""
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


class _Reading:
    """A body that is being received or, when it is complete, used."""

    def __init__(self, network: str | None) -> None:
        self.network = network
        self.held = 0
        """Bytes that count towards the memory limits."""
        self.is_complete = False
        self.is_evicted = False
        self._pause: asyncio.Timeout | None = None

    def evict(self) -> None:
        """Reject the body, even while it waits for its next part."""
        self.is_evicted, self.held = True, 0
        if self._pause is not None:
            self._pause.reschedule(0)

    async def next_part(self, receive: Receive, deadline: float | None) -> tuple[bytes, bool]:
        """The next part of the body, and whether more parts follow."""
        try:
            async with asyncio.timeout_at(deadline) as self._pause:
                message = await receive()
        except TimeoutError:
            raise BodyRejected(503 if self.is_evicted else 408) from None
        finally:
            self._pause = None
        if message["type"] == "http.disconnect":
            raise BodyRejected(400)  # the client left, or sent invalid chunks
        if self.is_evicted:
            raise BodyRejected(503)
        return message.get("body", b""), bool(message.get("more_body"))  # type: ignore[return-value]


class BodyReader:
    """Reads the bodies of all requests to a process, within common memory limits.

    When the memory is used up, the body that has waited longest for its next part is rejected. So senders
    that stop before the end of their bodies can't keep others from sending.

    Args:
        timeout: seconds until the first and between two parts of a body.
        rate: bytes per second at which a body has to arrive after the first `timeout` seconds.
        max_memory: bytes of all bodies together.
        max_memory_per_network: bytes of the bodies of one network. Each limit is off if it is 0.
    """

    def __init__(
        self,
        *,
        timeout: float = READ_TIMEOUT,
        rate: float = MIN_BYTES_PER_SECOND,
        max_memory: int = MAX_MEMORY_BYTES,
        max_memory_per_network: int = 0,
    ) -> None:
        self._timeout = timeout
        self._rate = rate
        self._max_memory = max_memory
        self._max_per_network = max_memory_per_network
        self._readings: dict[_Reading, None] = {}
        """The one that has waited longest for its next part first."""

    @asynccontextmanager
    async def read(
        self,
        receive: Receive,
        length: int | None,
        *,
        limit: int = MAX_BODY_BYTES,
        networks: Networks | None = None,
    ) -> AsyncIterator[bytes]:
        """The body of a request. Its memory counts towards the limits from its arrival until the block ends.

        Raises:
            BodyRejected: the body is too large, too slow or incomplete, or exceeds the memory limits.
        """
        reading = _Reading(networks.narrow if networks else None)
        self._readings[reading] = None
        try:
            yield await self._receive(reading, receive, length, limit)
        finally:
            del self._readings[reading]

    async def _receive(self, reading: _Reading, receive: Receive, length: int | None, limit: int) -> bytes:
        body, more = bytearray(), length != 0
        started = asyncio.get_running_loop().time()
        while more:
            part, more = await reading.next_part(receive, self._deadline(started, len(body)))
            self._readings[reading] = self._readings.pop(reading)  # move it to the end
            body += part
            if len(body) > limit:
                raise BodyRejected(413)
            if len(body) > SMALL_BODY_BYTES:
                reading.held = len(body)
                self._make_room(reading)
        reading.is_complete = True
        return bytes(body)

    def _deadline(self, started: float, received: int) -> float | None:
        if self._timeout == 0:
            return None
        next_part = asyncio.get_running_loop().time() + self._timeout
        return min(next_part, started + self._timeout + received / self._rate) if self._rate else next_part

    def _make_room(self, reading: _Reading) -> None:
        """Reject bodies until the others fit into the memory, this one if it exceeds its network's share."""
        of_network = sum(each.held for each in self._readings if each.network == reading.network)
        if reading.network is not None and 0 < self._max_per_network < of_network:
            raise BodyRejected(503)
        while 0 < self._max_memory < sum(each.held for each in self._readings):
            idle = next(each for each in self._readings if each.held and not each.is_complete)
            if idle is reading:
                raise BodyRejected(503)
            idle.evict()


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
