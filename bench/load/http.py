"""A minimal HTTP/1.1 client that takes little CPU, because it shares the machine with what is measured."""

import asyncio
import re
from collections.abc import Callable
from typing import NamedTuple, Self, cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_SIGNAL = re.compile(rb"(?:id: (\d+)\n)?event: (\w+)\ndata: (.*)\n\n")

WITHOUT_BODY = {204, 304}


class Response(NamedTuple):
    status: int
    """0 if the connection broke."""
    body: bytes


BROKEN = Response(0, b"")


class Server(NamedTuple):
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self:
        host, _, port = url.partition("//")[2].rstrip("/").partition(":")
        return cls(host.replace("localhost", "127.0.0.1"), int(port))

    def head(self, method: str, path: str, **headers: str) -> bytes:
        """The head of a request. Underscores in the names of headers stand for hyphens."""
        fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        return f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n{fields}\r\n".encode()

    def post(self, method: str, path: str, body: bytes, **headers: str) -> bytes:
        """A request with a JSON body."""
        length = str(len(body))
        return (
            self.head(method, path, Content_Type="application/json", Content_Length=length, **headers) + body
        )


class _Exchange(asyncio.Protocol):
    """One connection. Its responses need a Content-Length, which all but streams have."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._response: asyncio.Future[Response] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of another class

    def send(self, request: bytes) -> asyncio.Future[Response]:
        self._response = asyncio.get_running_loop().create_future()
        if self.is_closed:
            self._response.set_result(BROKEN)
        else:
            assert self._transport is not None
            self._transport.write(request)
        return self._response

    @property
    def is_closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        status = int(self._buffer[9:12])
        length = _LENGTH.search(self._buffer, 0, end + 2)
        if length is None and status not in WITHOUT_BODY:
            self.close()  # the end of the body is unknown
            return
        size = int(length[1]) if length and status not in WITHOUT_BODY else 0
        if len(self._buffer) >= end + 4 + size:
            body = bytes(self._buffer[end + 4 : end + 4 + size])
            self._buffer.clear()
            self._finish(Response(status, body))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._finish(BROKEN)

    def _finish(self, response: Response) -> None:
        if self._response is not None and not self._response.done():
            self._response.set_result(response)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Client:
    """Sends requests concurrently, each on an idle connection or a new one."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._idle: list[_Exchange] = []

    async def request(self, request: bytes) -> Response:
        """Send a request. An idle connection may just have been closed; the request is then sent again."""
        while self._idle:
            exchange = self._idle.pop()
            if not exchange.is_closed:
                response = await self._on(exchange, request)
                if response.status:
                    return response
        try:
            _, exchange = await asyncio.get_running_loop().create_connection(_Exchange, *self.server)
        except OSError:
            return BROKEN
        return await self._on(exchange, request)

    async def _on(self, exchange: _Exchange, request: bytes) -> Response:
        response = await exchange.send(request)
        if response.status:
            self._idle.append(exchange)
        return response

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


class SignalStream(asyncio.Protocol):
    """A stream of server-sent events.

    Args:
        receive: called with the event's name, its data, and its id if it has one.
    """

    def __init__(self, request: bytes, receive: Callable[[bytes, bytes, int | None], None]) -> None:
        self.opened: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._request = request
        self._receive = receive
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.opened.done():
            self.opened.set_result(self._buffer[9:12] == b"200")
        end = 0
        for found in _SIGNAL.finditer(self._buffer):
            end = found.end()
            number, name, about = found.groups()
            self._receive(name, about, int(number) if number else None)
        self._buffer = self._buffer[end:]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_result(False)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def open_stream(
    server: Server, request: bytes, receive: Callable[[bytes, bytes, int | None], None]
) -> SignalStream:
    """Open a stream. Repeat the request while the server refuses it."""
    while True:
        _, stream = await asyncio.get_running_loop().create_connection(
            lambda: SignalStream(request, receive), *server
        )
        if await stream.opened:
            return stream
        stream.close()
        await asyncio.sleep(0.2)
