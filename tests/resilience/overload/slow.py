"""Clients that occupy connections: they send a head or a body byte by byte, or never read their answers.

A client that is disconnected connects again at once, so their number stays the same.
"""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.support.polling import until

SECONDS_PER_BYTE = 1.0
RECONNECT_SECONDS = 0.2
UNREAD = 120
"""The number of answers that a client requests and never reads. They don't fit into the socket buffers."""
TINY_BUFFER = 4_096


@dataclass
class Slow:
    """Counts the connections of all slow clients."""

    open: int = 0
    """The current number of open connections."""
    most: int = 0
    """The maximum number of connections that were open at the same time."""
    cut_off: int = 0
    """How often the server closed a connection."""

    def opened(self) -> None:
        self.open += 1
        self.most = max(self.most, self.open)

    async def now_open(self) -> int:
        return self.open


Behavior = Callable[[asyncio.StreamWriter, str], Awaitable[None]]


async def sends_head_slowly(writer: asyncio.StreamWriter, _: str) -> None:
    await _send_slowly(writer, b"GET / HTTP/1.1\r\nHost: stagedoor\r\nX-Slow: " + b"x" * 1_000)


async def sends_body_slowly(writer: asyncio.StreamWriter, _: str) -> None:
    writer.write(
        b"POST /api/orders HTTP/1.1\r\nHost: stagedoor\r\nContent-Type: application/json\r\n"
        b"Content-Length: 10000\r\n\r\n"
    )
    await _send_slowly(writer, b'{"ticketId": "' + b"x" * 1_000)


async def sends_no_chunk(writer: asyncio.StreamWriter, _: str) -> None:
    writer.write(b"POST /signin HTTP/1.1\r\nHost: stagedoor\r\nContent-Length: 0\r\n")
    writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
    await writer.drain()
    await asyncio.Event().wait()


async def never_reads(writer: asyncio.StreamWriter, large: str) -> None:
    writer.write(f"GET {large} HTTP/1.1\r\nHost: stagedoor\r\n\r\n".encode() * UNREAD)
    await writer.drain()
    await asyncio.Event().wait()


BEHAVIORS: tuple[Behavior, ...] = (sends_head_slowly, sends_body_slowly, never_reads, sends_no_chunk)


async def _send_slowly(writer: asyncio.StreamWriter, text: bytes) -> None:
    for byte in text:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(SECONDS_PER_BYTE)


@asynccontextmanager
async def slow_clients(web: str, how_many: int, large: str) -> AsyncIterator[Slow]:
    """Connect `how_many` slow clients before the block begins.

    Args:
        large: the path of a large file that some of them request and never read.
    """
    slow = Slow()
    tasks = [
        asyncio.create_task(_keep_connecting(slow, web, BEHAVIORS[number % len(BEHAVIORS)], large))
        for number in range(how_many)
    ]
    try:
        await until(
            slow.now_open, lambda count: count > how_many * 0.95, seconds=60
        )  # at any time, a few of them are reconnecting
        yield slow
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_connecting(slow: Slow, web: str, behavior: Behavior, large: str) -> None:
    while True:
        with suppress(OSError):
            await _connect(slow, web, behavior, large)
        await asyncio.sleep(RECONNECT_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - spreads the load


async def _connect(slow: Slow, web: str, behavior: Behavior, large: str) -> None:
    """Connect and behave slowly until the server closes the connection."""
    server = urlsplit(web)
    plain = socket.socket()
    plain.setblocking(False)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TINY_BUFFER)
    try:
        await asyncio.get_running_loop().sock_connect(plain, (server.hostname, server.port))
        reader, writer = await asyncio.open_connection(sock=plain, limit=TINY_BUFFER)
    except BaseException:
        plain.close()
        raise
    slow.opened()
    acting = asyncio.create_task(_act(behavior, writer, large))
    closing = asyncio.create_task(_closed(reader, behavior is never_reads))
    try:
        await asyncio.wait({acting, closing}, return_when=asyncio.FIRST_COMPLETED)
        slow.cut_off += 1
    finally:
        slow.open -= 1
        for task in (acting, closing):
            task.cancel()
        await asyncio.gather(acting, closing, return_exceptions=True)
        writer.transport.abort()


async def _act(behavior: Behavior, writer: asyncio.StreamWriter, large: str) -> None:
    with suppress(OSError):
        await behavior(writer, large)


async def _closed(reader: asyncio.StreamReader, is_never_read: bool) -> None:
    with suppress(OSError):
        if is_never_read:
            await asyncio.Event().wait()
        while await reader.read(1_024):
            pass
