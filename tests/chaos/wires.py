"""A network that can be broken: a TCP proxy on the way from one process to another.

It carries bytes and knows nothing of what they mean, so it fits before the bus, the database and HTTP alike.
Both ends are on this machine; what it adds to a real network's behaviour is that a connection is accepted
here before there is one to the target.
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
"""What one direction of a connection holds at most is a megabyte; then the sender has to wait, as it would
for a slow reader."""

CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 1.0
BACKLOG = 1024

UnderWay = asyncio.Queue[tuple[float, bytes | None]]
"""When it may arrive, and what. Nothing overtakes what is before it."""

_RESET = None
"""What comes after the last bytes when the connection was reset at the other end; its plain end is b""."""


class Passage(Enum):
    """What becomes of the bytes that go in one direction."""

    PASS = auto()
    HOLD = auto()
    """They wait for better times, at either end and here."""
    DROP = auto()
    """They are lost, so the connection is of no more use after that."""


class Wire:
    """The way from one process to another, or to several copies of another.

    It is in one state at a time: each of mend, cut, silence, slow and half_open ends the one before.
    """

    def __init__(self, port: int, targets: list[int]) -> None:
        self.port = port
        self.targets = targets
        """New connections go to each in turn."""
        self.asking = self.answering = Passage.PASS
        self.changed = asyncio.Event()
        """Set once the state is another; there is a new one for each state."""
        self._open = True
        self._turn = 0
        self._latency, self._jitter, self._chance = 0.0, 0.0, random.Random()  # noqa: S311 no secret
        self._links: dict[asyncio.Task[None], _Link] = {}

    @property
    def connections(self) -> int:
        """How many are open now."""
        return sum(not task.cancelling() for task in self._links)

    def add(self, port: int) -> None:
        """Another copy of the target."""
        self.targets.append(port)

    def remove(self, port: int) -> None:
        """A copy that is no more; its connections are reset."""
        self.targets.remove(port)
        self._reset(lambda link: link.port == port)

    def mend(self) -> None:
        """A good network again. What was held arrives; connections that lost answers are reset."""
        self._become(Passage.PASS, Passage.PASS)

    def slow(self, seconds: float, jitter: float = 0.0, chance: random.Random | None = None) -> None:
        """All takes so many seconds longer each way, give or take the jitter; its order stays."""
        self._become(Passage.PASS, Passage.PASS)
        self._latency, self._jitter, self._chance = seconds, jitter, chance or self._chance

    def silence(self) -> None:
        """Nothing arrives anywhere, not even that a connection ended; new ones are accepted all the same."""
        self._become(Passage.HOLD, Passage.HOLD)

    def half_open(self) -> None:
        """What is asked arrives, and has its effect; no answer ever does."""
        self._become(Passage.PASS, Passage.DROP)

    def cut(self) -> None:
        """Connections are reset, and so are new ones at once."""
        self._become(Passage.PASS, Passage.PASS)
        self._open = False
        self._reset()

    def reset(self) -> None:
        """Connections are reset; new ones are fine."""
        self._become(Passage.PASS, Passage.PASS)
        self._reset()

    def delay(self) -> float:
        """Seconds that bytes which leave now will take."""
        return max(0.0, self._latency + self._chance.uniform(-self._jitter, self._jitter))

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A process wants to be connected to the target."""
        if not (self._open and self.targets):
            _abort(writer)
            return
        link = _Link(self, self.targets[self._turn % len(self.targets)], reader, writer)
        self._turn += 1
        task = asyncio.create_task(link.run())
        self._links[task] = link
        task.add_done_callback(self._links.pop)

    async def close(self) -> None:
        """End all connections, whatever the state."""
        self.cut()
        if self._links:
            await asyncio.wait(self._links, timeout=CLOSE_SECONDS)

    def _become(self, asking: Passage, answering: Passage) -> None:
        self._open = True
        self._latency = self._jitter = 0.0
        self.asking, self.answering = asking, answering
        if answering is not Passage.DROP:
            self._reset(lambda link: link.lost)
        self.changed.set()
        self.changed = asyncio.Event()

    def _reset(self, which: "Callable[[_Link], bool]" = lambda _: True) -> None:
        for task, link in self._links.items():
            if which(link):
                link.abort()
                task.cancel()


class _Link:
    """One connection: from the process that asks to here, and from here to one target."""

    def __init__(
        self, wire: Wire, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.port = port
        self.lost = False
        """Whether the process that asked missed some of its answers."""
        self._wire, self._reader, self._writer = wire, reader, writer
        self._ends = [writer]

    def abort(self) -> None:
        for end in self._ends:
            _abort(end)

    async def run(self) -> None:
        """Carry bytes both ways until both ends have said all, or one of them is gone."""
        try:
            await self._carry_both_ways()
        except* OSError:
            # Each end learns of it unless the wire keeps that from it.
            for writer in self._ends[1:]:
                await self._passable(self._asking)
                _abort(writer)
            await self._passable(self._answering)
        finally:
            self.abort()

    async def _carry_both_ways(self) -> None:
        await self._passable(self._asking)
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._ends.append(writer)
        async with asyncio.TaskGroup() as lanes:
            self._lane(lanes, self._reader, writer, self._asking)
            self._lane(lanes, reader, self._writer, self._answering)
        if self.lost:
            raise ConnectionResetError
        for end in self._ends:
            end.close()
            await end.wait_closed()

    def _lane(
        self,
        tasks: asyncio.TaskGroup,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        passage: Callable[[], Passage],
    ) -> None:
        under_way: UnderWay = asyncio.Queue(CHUNKS)
        tasks.create_task(self._set_out(reader, under_way))
        tasks.create_task(self._arrive(under_way, writer, passage))

    async def _set_out(self, reader: asyncio.StreamReader, under_way: UnderWay) -> None:
        chunk: bytes | None = b"-"
        while chunk:
            try:
                chunk = await reader.read(CHUNK)
            except OSError:
                chunk = _RESET
            await under_way.put((asyncio.get_running_loop().time() + self._wire.delay(), chunk))

    async def _arrive(
        self, under_way: UnderWay, writer: asyncio.StreamWriter, passage: Callable[[], Passage]
    ) -> None:
        chunk: bytes | None = b"-"
        while chunk:
            due, chunk = await under_way.get()
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            while passage() is Passage.HOLD:
                await self._wire.changed.wait()
            if passage() is Passage.DROP:
                self.lost = True
            elif chunk is _RESET:
                raise ConnectionResetError
            elif chunk:
                writer.write(chunk)
                await writer.drain()
            else:
                writer.write_eof()

    async def _passable(self, passage: Callable[[], Passage]) -> None:
        while passage() is not Passage.PASS:
            await self._wire.changed.wait()

    def _asking(self) -> Passage:
        return self._wire.asking

    def _answering(self) -> Passage:
        return self._wire.answering


def _abort(writer: asyncio.StreamWriter) -> None:
    """Reset a connection, so that the other end can't take it for one that ended well."""
    connection: socket.socket = writer.get_extra_info("socket")
    with suppress(OSError):  # closed already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def wire(*targets: int, port: int = 0) -> AsyncIterator[Wire]:
    """A wire to these ports of this machine, in good order; its own port is a free one or the given."""
    laid = Wire(port or free_port(), list(targets))
    server = await asyncio.start_server(laid.accept, "127.0.0.1", laid.port, backlog=BACKLOG)
    try:
        yield laid
    finally:
        server.close()
        await laid.close()
