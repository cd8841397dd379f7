"""Clients that hold on to connections: they drip a head, drip a body, or never read their answers.

Whoever is cut off comes again at once, so there are always as many as were asked for.
"""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.people import until

DRIP_SECONDS = 1.0
BACK_SECONDS = 0.2
UNREAD = 60
"""Answers that one client asks for and never reads: more than the sockets between hold."""
TINY_BUFFER = 4_096


@dataclass
class Slow:
    """Counts what they saw."""

    open: int = 0
    """Connections, now."""
    most: int = 0
    cut_off: int = 0
    """Times that the server closed one."""

    def opened(self) -> None:
        self.open += 1
        self.most = max(self.most, self.open)

    async def now_open(self) -> int:
        return self.open


Manner = Callable[[asyncio.StreamWriter, str], Awaitable[None]]


async def drips_a_head(writer: asyncio.StreamWriter, _: str) -> None:
    await _drip(writer, b"GET / HTTP/1.1\r\nHost: stagedoor\r\nX-Slow: " + b"x" * 1_000)


async def drips_a_body(writer: asyncio.StreamWriter, _: str) -> None:
    writer.write(
        b"POST /api/orders HTTP/1.1\r\nHost: stagedoor\r\nContent-Type: application/json\r\n"
        b"Content-Length: 10000\r\n\r\n"
    )
    await _drip(writer, b'{"ticketId": "' + b"x" * 1_000)


async def sends_no_chunk(writer: asyncio.StreamWriter, _: str) -> None:
    writer.write(b"POST /signin HTTP/1.1\r\nHost: stagedoor\r\nContent-Length: 0\r\n")
    writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
    await writer.drain()
    await asyncio.Event().wait()


async def never_reads(writer: asyncio.StreamWriter, large: str) -> None:
    writer.write(f"GET {large} HTTP/1.1\r\nHost: stagedoor\r\n\r\n".encode() * UNREAD)
    await writer.drain()
    await asyncio.Event().wait()


MANNERS: tuple[Manner, ...] = (drips_a_head, drips_a_body, never_reads, sends_no_chunk)


async def _drip(writer: asyncio.StreamWriter, text: bytes) -> None:
    for byte in text:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(DRIP_SECONDS)


@asynccontextmanager
async def slow_clients(web: str, how_many: int, large: str) -> AsyncIterator[Slow]:
    """So many at once, all connected when the block begins.

    Args:
        large: the path of something large, which some of them ask for and never read.
    """
    slow = Slow()
    tasks = [
        asyncio.create_task(_keep_coming(slow, web, MANNERS[number % len(MANNERS)], large))
        for number in range(how_many)
    ]
    try:
        await until(
            slow.now_open, lambda count: count > how_many * 0.95, seconds=60
        )  # some were just cut off
        yield slow
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_coming(slow: Slow, web: str, manner: Manner, large: str) -> None:
    while True:
        with suppress(OSError):
            await _come(slow, web, manner, large)
        await asyncio.sleep(BACK_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - not all at once


async def _come(slow: Slow, web: str, manner: Manner, large: str) -> None:
    """Connect and be slow, until the server closes the connection."""
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
    acting = asyncio.create_task(_act(manner, writer, large))
    closing = asyncio.create_task(_closed(reader, manner is never_reads))
    try:
        await asyncio.wait({acting, closing}, return_when=asyncio.FIRST_COMPLETED)
        slow.cut_off += 1
    finally:
        slow.open -= 1
        for task in (acting, closing):
            task.cancel()
        await asyncio.gather(acting, closing, return_exceptions=True)
        writer.transport.abort()


async def _act(manner: Manner, writer: asyncio.StreamWriter, large: str) -> None:
    with suppress(OSError):
        await manner(writer, large)


async def _closed(reader: asyncio.StreamReader, is_never_read: bool) -> None:
    with suppress(OSError):
        if is_never_read:
            await asyncio.Event().wait()
        while await reader.read(1_024):
            pass
