"""A TCP proxy between two processes, with network faults on demand.

The proxy copies bytes of any protocol: NATS, MongoDB or HTTP. Unlike a real network, it accepts a connection
before it has connected to the target.
"""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto

from sandbox.testing import free_port

CHUNK = 16 * 1024
CHUNKS = 64
"""Maximum number of chunks in the buffer of one direction, a megabyte. When the buffer is full, the sender
waits, as for a slow reader."""

CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 1.0
BACKLOG = 1024

Chunks = asyncio.Queue[tuple[float, bytes | None]]
"""Chunks in order, each with the time at which it may be delivered."""

_RESET = None
"""The chunk which means that the other end reset the connection; a regular end is b""."""


class Mode(Enum):
    """How the proxy treats the bytes of one direction."""

    PASS = auto()
    HOLD = auto()
    """Bytes are delivered when the mode changes. Senders wait while the buffer is full."""
    DROP = auto()
    """Bytes are lost, so the connection is useless afterwards."""


class Proxy:
    """The link from one process to another process, or to several instances of it.

    A proxy is in one state at a time, so `heal`, `cut`, `silence`, `slow` and `half_open` replace each other.
    """

    def __init__(self, port: int, targets: list[int]) -> None:
        self.port = port
        self.targets = targets
        """The ports of the target's instances. New connections use them in turn, except for one that refuses
        a connection: then they use the next one, as a load balancer does."""
        self.requests = self.answers = Mode.PASS
        self.changed = asyncio.Event()
        """An event that is set when the state changes. Each state has a new event."""
        self._open = True
        self._turn = 0
        self._latency, self._jitter, self._chance = 0.0, 0.0, random.Random()  # noqa: S311 no secret
        self._connections: dict[asyncio.Task[None], _Connection] = {}

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return sum(not task.cancelling() for task in self._connections)

    def add(self, port: int) -> None:
        """Add an instance of the target."""
        self.targets.append(port)

    def drain(self, port: int) -> None:
        """Remove an instance, whose connections go on."""
        self.targets.remove(port)

    def remove(self, port: int) -> None:
        """Remove an instance and reset its connections."""
        self.targets.remove(port)
        self._reset(lambda connection: connection.port == port)

    def heal(self) -> None:
        """Deliver bytes that were held, and reset connections that lost answers."""
        self._become(Mode.PASS, Mode.PASS)

    def slow(self, seconds: float, jitter: float = 0.0, chance: random.Random | None = None) -> None:
        """Delay all bytes in both directions, give or take the jitter. Their order stays the same."""
        self._become(Mode.PASS, Mode.PASS)
        self._latency, self._jitter, self._chance = seconds, jitter, chance or self._chance

    def silence(self) -> None:
        """Hold all bytes and ends of connections. New connections are still accepted."""
        self._become(Mode.HOLD, Mode.HOLD)

    def half_open(self) -> None:
        """Deliver requests, but drop all answers."""
        self._become(Mode.PASS, Mode.DROP)

    def cut(self) -> None:
        """Reset all connections. Every new connection is reset at once, too."""
        self._become(Mode.PASS, Mode.PASS)
        self._open = False
        self._reset()

    def reset(self) -> None:
        """Reset all connections. New connections work."""
        self._become(Mode.PASS, Mode.PASS)
        self._reset()

    def delay(self) -> float:
        """Seconds until bytes that are received now are delivered."""
        return max(0.0, self._latency + self._chance.uniform(-self._jitter, self._jitter))

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle a new connection."""
        if not (self._open and self.targets):
            _abort(writer)
            return
        connection = _Connection(self, reader, writer)
        task = asyncio.create_task(connection.run())
        self._connections[task] = connection
        task.add_done_callback(self._connections.pop)

    def in_turn(self) -> list[int]:
        """The ports to which a new connection is made: the first one that accepts it."""
        first = self._turn % max(1, len(self.targets))
        self._turn += 1
        return self.targets[first:] + self.targets[:first]

    async def close(self) -> None:
        """End all connections, in any state."""
        self.cut()
        if self._connections:
            await asyncio.wait(self._connections, timeout=CLOSE_SECONDS)

    def _become(self, requests: Mode, answers: Mode) -> None:
        self._open = True
        self._latency = self._jitter = 0.0
        self.requests, self.answers = requests, answers
        if answers is not Mode.DROP:
            self._reset(lambda connection: connection.lost)
        self.changed.set()
        self.changed = asyncio.Event()

    def _reset(self, which: "Callable[[_Connection], bool]" = lambda _: True) -> None:
        for task, connection in self._connections.items():
            if which(connection):
                connection.abort()
                task.cancel()


class _Connection:
    """A client's connection to the proxy, and the proxy's connection to the target."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.port = 0
        """The port of the instance, once there is a connection to it."""
        self.lost = False
        """Whether the client missed answers."""
        self._proxy, self._reader, self._writer = proxy, reader, writer
        self._ends = [writer]

    def abort(self) -> None:
        for end in self._ends:
            _abort(end)

    async def run(self) -> None:
        """Copy bytes in both directions until both ends have closed or one connection is lost."""
        try:
            await self._copy_both_ways()
        except* OSError:
            # Reset both ends. An end doesn't learn of the loss while the proxy holds or drops its direction.
            for writer in self._ends[1:]:
                await self._passing(self._requests)
                _abort(writer)
            await self._passing(self._answers)
        finally:
            self.abort()

    async def _copy_both_ways(self) -> None:
        await self._passing(self._requests)
        reader, writer = await self._connect()
        self._ends.append(writer)
        async with asyncio.TaskGroup() as tasks:
            self._copy(tasks, self._reader, writer, self._requests)
            self._copy(tasks, reader, self._writer, self._answers)
        if self.lost:
            raise ConnectionResetError
        for end in self._ends:
            end.close()
            await end.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(CONNECT_SECONDS):
            for port in self._proxy.in_turn():
                self.port = port
                with suppress(ConnectionRefusedError):
                    return await asyncio.open_connection("127.0.0.1", port)
        raise ConnectionRefusedError

    def _copy(
        self,
        tasks: asyncio.TaskGroup,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        mode: Callable[[], Mode],
    ) -> None:
        chunks: Chunks = asyncio.Queue(CHUNKS)
        tasks.create_task(self._receive(reader, chunks))
        tasks.create_task(self._deliver(chunks, writer, mode))

    async def _receive(self, reader: asyncio.StreamReader, chunks: Chunks) -> None:
        chunk: bytes | None = b"-"
        while chunk:
            try:
                chunk = await reader.read(CHUNK)
            except OSError:
                chunk = _RESET
            await chunks.put((asyncio.get_running_loop().time() + self._proxy.delay(), chunk))

    async def _deliver(self, chunks: Chunks, writer: asyncio.StreamWriter, mode: Callable[[], Mode]) -> None:
        chunk: bytes | None = b"-"
        while chunk:
            due, chunk = await chunks.get()
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            while mode() is Mode.HOLD:
                await self._proxy.changed.wait()
            if mode() is Mode.DROP:
                self.lost = True
            elif chunk is _RESET:
                raise ConnectionResetError
            elif chunk:
                writer.write(chunk)
                await writer.drain()
            else:
                writer.write_eof()

    async def _passing(self, mode: Callable[[], Mode]) -> None:
        while mode() is not Mode.PASS:
            await self._proxy.changed.wait()

    def _requests(self) -> Mode:
        return self._proxy.requests

    def _answers(self) -> Mode:
        return self._proxy.answers


def _abort(writer: asyncio.StreamWriter) -> None:
    """Reset a connection, so that the other end can't mistake it for a regular end."""
    connection: socket.socket = writer.get_extra_info("socket")
    with suppress(OSError):  # already closed
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def proxy(*targets: int, port: int = 0) -> AsyncIterator[Proxy]:
    """A healthy proxy for these ports of this machine. It listens on `port`, or on a free port."""
    started = Proxy(port or free_port(), list(targets))
    server = await asyncio.start_server(started.accept, "127.0.0.1", started.port, backlog=BACKLOG)
    try:
        yield started
    finally:
        server.close()
        await started.close()
