"""Each way in which a wire can be broken, as the processes at its ends see it."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.js.api import StreamConfig

from sandbox.testing import free_port, nats_server
from tests.chaos.wires import Wire, wire
from tests.people import until

PATIENCE = 30.0
"""Seconds until a test gives up. What has to happen happens long before."""

A_WHILE = 0.2
"""Seconds in which nothing may arrive. Had it been on its way, it would have taken a millisecond."""


class Server:
    """Answers each line with its name and the line, and remembers what it was told."""

    def __init__(self, name: str) -> None:
        self.port = free_port()
        self.heard: list[str] = []
        self.left = 0
        """Clients that are gone."""
        self._name = name

    async def hears(self) -> list[str]:
        return self.heard

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while line := (await reader.readline()).decode():
                self.heard.append(line.strip())
                writer.write(f"{self._name}: {line}".encode())
                await writer.drain()
        self.left += 1
        writer.close()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def say(self, line: str) -> None:
        self._writer.write(line.encode() + b"\n")

    async def hear(self) -> str:
        """The next line.

        Raises:
            ConnectionError: the connection was reset.
        """
        async with asyncio.timeout(PATIENCE):
            return (await self._reader.readline()).decode().strip()

    async def ask(self, line: str) -> str:
        self.say(line)
        return await self.hear()

    async def finds_itself_cut_off(self) -> None:
        with pytest.raises(ConnectionError):
            await self.hear()

    def hang_up(self) -> None:
        self._writer.close()


@asynccontextmanager
async def serving(name: str) -> AsyncIterator[Server]:
    server = Server(name)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", server.port)
    try:
        yield server
    finally:
        listener.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving("server") as server:
        yield server


@pytest.fixture
async def line(server: Server) -> AsyncIterator[Wire]:
    async with wire(server.port) as laid:
        yield laid


Call = Callable[[], Awaitable[Client]]


@pytest.fixture
async def call(line: Wire) -> AsyncIterator[Call]:
    """Connect through the wire."""
    clients = []

    async def connect() -> Client:
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", line.port)))
        return clients[-1]

    yield connect
    for client in clients:
        client.hang_up()


@pytest.fixture
async def client(call: Call) -> Client:
    """A connection that works."""
    client = await call()
    assert await client.ask("hello") == "server: hello"
    return client


async def nothing_comes_of(waiting: Awaitable[object]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(A_WHILE):
            await waiting


async def is_refused(call: Call) -> None:
    with pytest.raises(ConnectionError):
        await (await call()).ask("anybody there?")


async def connections(line: Wire, expected: int) -> None:
    async def look() -> int:
        return line.connections

    await until(look, expected.__eq__, PATIENCE)


async def test_a_good_wire_carries_words_and_goodbyes(server: Server, line: Wire, client: Client) -> None:
    assert await client.ask("how are you?") == "server: how are you?"
    assert line.connections == 1
    client.hang_up()
    await connections(line, 0)
    assert server.left == 1


async def test_a_cut_wire_resets_what_is_open_and_what_is_new_until_it_is_mended(
    line: Wire, call: Call, client: Client
) -> None:
    line.cut()
    assert line.connections == 0
    await client.finds_itself_cut_off()
    await is_refused(call)
    line.mend()
    assert await (await call()).ask("again") == "server: again"


async def test_a_reset_ends_what_is_open_and_nothing_else(line: Wire, call: Call, client: Client) -> None:
    line.reset()
    await client.finds_itself_cut_off()
    assert await (await call()).ask("again") == "server: again"


async def test_what_is_said_in_silence_arrives_after_it(
    server: Server, line: Wire, call: Call, client: Client
) -> None:
    line.silence()
    late = await call()
    late.say("me too")
    client.say("one")
    client.say("two")
    await nothing_comes_of(client.hear())
    assert server.heard == ["hello"]
    line.mend()
    assert [await client.hear(), await client.hear()] == ["server: one", "server: two"]
    assert await late.hear() == "server: me too"


async def test_in_silence_nobody_learns_that_the_other_is_gone(
    server: Server, line: Wire, client: Client
) -> None:
    async def left() -> int:
        return server.left

    line.silence()
    client.hang_up()
    await nothing_comes_of(until(left, bool, PATIENCE))
    line.mend()
    await until(left, bool, PATIENCE)


async def test_on_a_half_open_wire_what_is_asked_is_done_and_no_answer_comes(
    server: Server, line: Wire, call: Call, client: Client
) -> None:
    quiet = await call()
    assert await quiet.ask("I too") == "server: I too"
    line.half_open()
    client.say("pay")
    await until(server.hears, lambda heard: heard[2:] == ["pay"], PATIENCE)
    new = await call()
    new.say("pay again")
    await until(server.hears, lambda heard: heard[3:] == ["pay again"], PATIENCE)
    await nothing_comes_of(asyncio.wait({asyncio.ensure_future(client.hear())}, timeout=PATIENCE))
    line.mend()
    await new.finds_itself_cut_off()
    assert await quiet.ask("and now?") == "server: and now?"


async def test_a_slow_wire_keeps_the_order(line: Wire, client: Client) -> None:
    line.slow(0.1)
    started = time.monotonic()
    await client.ask("slow")
    assert time.monotonic() - started >= 0.2, "a tenth of a second each way"
    line.slow(0.02, jitter=0.02, chance=random.Random(1))  # noqa: S311 no secret
    said = [f"number {number}" for number in range(100)]
    for number in said:
        client.say(number)
        await asyncio.sleep(0)  # so that they don't all travel together
    assert [await client.hear() for _ in said] == [f"server: {number}" for number in said]


async def test_copies_get_new_connections_in_turn_and_come_and_go(line: Wire, call: Call) -> None:
    async with serving("copy") as copy:
        line.add(copy.port)
        clients = [await call() for _ in range(4)]
        answers = [await client.ask("who?") for client in clients]
        assert answers == ["server: who?", "copy: who?"] * 2
        line.remove(copy.port)
        for of_the_copy in clients[1::2]:
            await of_the_copy.finds_itself_cut_off()
        for of_the_other in [*clients[::2], await call(), await call()]:
            assert await of_the_other.ask("who?") == "server: who?"


async def test_a_dead_target_is_seen_as_one(line: Wire, call: Call) -> None:
    line.targets[:] = [free_port()]
    await is_refused(call)
    line.remove(line.targets[0])
    await is_refused(call)
    await connections(line, 0)


async def test_who_says_more_than_the_other_hears_has_to_wait() -> None:
    megabyte = bytes(1_000_000)
    said = heard = 0

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        while some := await reader.read(len(megabyte)):
            heard += len(some)
        writer.close()

    async def say(writer: asyncio.StreamWriter, megabytes: int) -> None:
        nonlocal said
        for _ in range(megabytes):
            writer.write(megabyte)
            await writer.drain()
            said += len(megabyte)

    async def more_is_said() -> bool:
        before = said
        await asyncio.sleep(A_WHILE)
        return said > before

    async def unheard() -> int:
        return said - heard

    port = free_port()
    async with await asyncio.start_server(hear, "127.0.0.1", port), wire(port) as line:
        _, writer = await asyncio.open_connection("127.0.0.1", line.port)
        await say(writer, 1)
        await until(unheard, (0).__eq__, PATIENCE)
        line.silence()
        saying = asyncio.create_task(say(writer, 64))
        await until(more_is_said, lambda more: not more, PATIENCE)
        assert await unheard() < 32 * len(megabyte), "most of it in the system's own buffers"
        line.mend()
        await saying
        await until(unheard, (0).__eq__, PATIENCE)
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("broken", [Wire.mend, Wire.silence, Wire.half_open, Wire.cut])
async def test_nothing_is_left_of_a_wire_that_is_taken_down(
    server: Server, broken: Callable[[Wire], None]
) -> None:
    async with wire(server.port) as line:
        ends = [await asyncio.open_connection("127.0.0.1", line.port) for _ in range(3)]
        for _, writer in ends:
            writer.write(b"hello\n")
        await connections(line, 3)
        assert [task for task in asyncio.all_tasks() if "_Link" in repr(task)]
        broken(line)
    for reader, writer in ends:
        with suppress(ConnectionError):  # an answer may have come before the end
            async with asyncio.timeout(PATIENCE):
                await reader.read()
        writer.close()
    assert not [task for task in asyncio.all_tasks() if "_Link" in repr(task)]
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", line.port)


async def test_a_message_whose_acknowledgement_got_lost_is_on_the_bus(tmp_path: Path) -> None:
    async with nats_server(tmp_path / "nats") as url, wire(int(url.rpartition(":")[2])) as line:
        connection = await nats.connect(
            f"nats://127.0.0.1:{line.port}", max_reconnect_attempts=-1, reconnect_time_wait=0.05
        )
        js = connection.jetstream(timeout=1)
        await js.add_stream(StreamConfig("S", subjects=["s"]))
        line.half_open()
        with pytest.raises(nats.errors.TimeoutError):
            await js.publish("s", b"once", timeout=A_WHILE, headers={"Nats-Msg-Id": "1"})
        line.mend()

        async def again() -> bool | None:
            with suppress(nats.errors.Error):
                return (await js.publish("s", b"once", headers={"Nats-Msg-Id": "1"})).duplicate
            return None

        assert await until(again, lambda duplicate: duplicate is not None, PATIENCE)
        await connection.close()
