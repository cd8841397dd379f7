"""The effect of each network fault on a client and a server."""

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
from tests.resilience.chaos.proxies import Proxy, proxy
from tests.support.polling import until

TIMEOUT = 30.0
"""Seconds until a test fails. Usually everything happens within milliseconds."""

QUIET_SECONDS = 0.2
"""Seconds in which nothing may arrive. An unhindered message takes a millisecond."""


class Server:
    """Answers each line with its name and the line, and records what it received."""

    def __init__(self, name: str) -> None:
        self.port = free_port()
        self.received: list[str] = []
        self.left = 0
        """The number of clients that disconnected."""
        self._name = name

    async def lines(self) -> list[str]:
        return self.received

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while line := (await reader.readline()).decode():
                self.received.append(line.strip())
                writer.write(f"{self._name}: {line}".encode())
                await writer.drain()
        self.left += 1
        writer.close()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, line: str) -> None:
        self._writer.write(line.encode() + b"\n")

    async def receive(self) -> str:
        """The next line from the server.

        Raises:
            ConnectionError: the connection was reset.
        """
        async with asyncio.timeout(TIMEOUT):
            return (await self._reader.readline()).decode().strip()

    async def ask(self, line: str) -> str:
        self.send(line)
        return await self.receive()

    async def is_disconnected(self) -> None:
        with pytest.raises(ConnectionError):
            await self.receive()

    def close(self) -> None:
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
async def link(server: Server) -> AsyncIterator[Proxy]:
    async with proxy(server.port) as link:
        yield link


Call = Callable[[], Awaitable[Client]]


@pytest.fixture
async def call(link: Proxy) -> AsyncIterator[Call]:
    """A function that connects a client through the proxy."""
    clients = []

    async def connect() -> Client:
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", link.port)))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
async def client(call: Call) -> Client:
    """A client with a working connection."""
    client = await call()
    assert await client.ask("hello") == "server: hello"
    return client


async def times_out(waiting: Awaitable[object]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(QUIET_SECONDS):
            await waiting


async def is_refused(call: Call) -> None:
    with pytest.raises(ConnectionError):
        await (await call()).ask("anybody there?")


async def connections(link: Proxy, expected: int) -> None:
    async def look() -> int:
        return link.connections

    await until(look, expected.__eq__, TIMEOUT)


async def test_a_healthy_proxy_copies_bytes_and_the_end_of_a_connection(
    server: Server, link: Proxy, client: Client
) -> None:
    assert await client.ask("how are you?") == "server: how are you?"
    assert link.connections == 1
    client.close()
    await connections(link, 0)
    assert server.left == 1


async def test_a_cut_resets_open_and_new_connections_until_the_proxy_is_healed(
    link: Proxy, call: Call, client: Client
) -> None:
    link.cut()
    assert link.connections == 0
    await client.is_disconnected()
    await is_refused(call)
    link.heal()
    assert await (await call()).ask("again") == "server: again"


async def test_a_reset_ends_open_connections_and_new_ones_work(
    link: Proxy, call: Call, client: Client
) -> None:
    link.reset()
    await client.is_disconnected()
    assert await (await call()).ask("again") == "server: again"


async def test_bytes_that_are_sent_during_silence_arrive_after_it(
    server: Server, link: Proxy, call: Call, client: Client
) -> None:
    link.silence()
    late = await call()
    late.send("me too")
    client.send("one")
    client.send("two")
    await times_out(client.receive())
    assert server.received == ["hello"]
    link.heal()
    assert [await client.receive(), await client.receive()] == ["server: one", "server: two"]
    assert await late.receive() == "server: me too"


async def test_the_end_of_a_connection_is_hidden_during_silence(
    server: Server, link: Proxy, client: Client
) -> None:
    async def left() -> int:
        return server.left

    link.silence()
    client.close()
    await times_out(until(left, bool, TIMEOUT))
    link.heal()
    await until(left, bool, TIMEOUT)


async def test_a_half_open_proxy_delivers_requests_and_drops_answers(
    server: Server, link: Proxy, call: Call, client: Client
) -> None:
    quiet = await call()
    assert await quiet.ask("I too") == "server: I too"
    link.half_open()
    client.send("pay")
    await until(server.lines, lambda received: received[2:] == ["pay"], TIMEOUT)
    new = await call()
    new.send("pay again")
    await until(server.lines, lambda received: received[3:] == ["pay again"], TIMEOUT)
    await times_out(asyncio.wait({asyncio.ensure_future(client.receive())}, timeout=TIMEOUT))
    link.heal()
    await new.is_disconnected()
    assert await quiet.ask("and now?") == "server: and now?"


async def test_a_slow_proxy_keeps_the_order(link: Proxy, client: Client) -> None:
    link.slow(0.1)
    started = time.monotonic()
    await client.ask("slow")
    assert time.monotonic() - started >= 0.2, "a tenth of a second in each direction"
    link.slow(0.02, jitter=0.02, chance=random.Random(1))  # noqa: S311 no secret
    sent = [f"number {number}" for number in range(100)]
    for number in sent:
        client.send(number)
        await asyncio.sleep(0)  # so that they aren't sent in one chunk
    assert [await client.receive() for _ in sent] == [f"server: {number}" for number in sent]


async def test_instances_get_new_connections_in_turn_and_can_be_added_and_removed(
    link: Proxy, call: Call
) -> None:
    async with serving("instance") as instance:
        link.add(instance.port)
        clients = [await call() for _ in range(4)]
        answers = [await client.ask("who?") for client in clients]
        assert answers == ["server: who?", "instance: who?"] * 2
        link.remove(instance.port)
        for client in clients[1::2]:
            await client.is_disconnected()
        for client in [*clients[::2], await call(), await call()]:
            assert await client.ask("who?") == "server: who?"


async def test_a_connection_to_a_dead_target_is_refused(link: Proxy, call: Call) -> None:
    link.targets[:] = [free_port()]
    await is_refused(call)
    link.remove(link.targets[0])
    await is_refused(call)
    await connections(link, 0)


async def test_a_sender_waits_for_a_slow_receiver() -> None:
    megabyte = bytes(1_000_000)
    sent = received = 0

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        while some := await reader.read(len(megabyte)):
            received += len(some)
        writer.close()

    async def send(writer: asyncio.StreamWriter, megabytes: int) -> None:
        nonlocal sent
        for _ in range(megabytes):
            writer.write(megabyte)
            await writer.drain()
            sent += len(megabyte)

    async def more_is_sent() -> bool:
        before = sent
        await asyncio.sleep(QUIET_SECONDS)
        return sent > before

    async def unreceived() -> int:
        return sent - received

    port = free_port()
    async with await asyncio.start_server(receive, "127.0.0.1", port), proxy(port) as link:
        _, writer = await asyncio.open_connection("127.0.0.1", link.port)
        await send(writer, 1)
        await until(unreceived, (0).__eq__, TIMEOUT)
        link.silence()
        sending = asyncio.create_task(send(writer, 64))
        await until(more_is_sent, lambda more: not more, TIMEOUT)
        assert await unreceived() < 32 * len(megabyte), "most of it is in the operating system's buffers"
        link.heal()
        await sending
        await until(unreceived, (0).__eq__, TIMEOUT)
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("broken", [Proxy.heal, Proxy.silence, Proxy.half_open, Proxy.cut])
async def test_a_closed_proxy_leaves_no_connections(server: Server, broken: Callable[[Proxy], None]) -> None:
    async with proxy(server.port) as link:
        ends = [await asyncio.open_connection("127.0.0.1", link.port) for _ in range(3)]
        for _, writer in ends:
            writer.write(b"hello\n")
        await connections(link, 3)
        assert [task for task in asyncio.all_tasks() if "_Connection" in repr(task)]
        broken(link)
    for reader, writer in ends:
        with suppress(ConnectionError):  # an answer may have arrived before the end
            async with asyncio.timeout(TIMEOUT):
                await reader.read()
        writer.close()
    assert not [task for task in asyncio.all_tasks() if "_Connection" in repr(task)]
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", link.port)


async def test_a_message_with_a_lost_acknowledgement_is_stored(tmp_path: Path) -> None:
    async with nats_server(tmp_path / "nats") as url, proxy(int(url.rpartition(":")[2])) as link:
        connection = await nats.connect(
            f"nats://127.0.0.1:{link.port}", max_reconnect_attempts=-1, reconnect_time_wait=0.05
        )
        js = connection.jetstream(timeout=1)
        await js.add_stream(StreamConfig("S", subjects=["s"]))
        link.half_open()
        with pytest.raises(nats.errors.TimeoutError):
            await js.publish("s", b"once", timeout=QUIET_SECONDS, headers={"Nats-Msg-Id": "1"})
        link.heal()

        async def again() -> bool | None:
            with suppress(nats.errors.Error):
                return (await js.publish("s", b"once", headers={"Nats-Msg-Id": "1"})).duplicate
            return None

        assert await until(again, lambda duplicate: duplicate is not None, TIMEOUT)
        await connection.close()
