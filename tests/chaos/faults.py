"""What befalls a marketplace. Each fault strikes, waits, mends what it broke, and gives in words whom it
struck. Which and when is drawn from a seed."""

import asyncio
import json
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from uuid import uuid4

import nats
from nats.js import JetStreamContext
from nats.js.api import Header

from contracts.events import ALL_EVENTS
from settings import SERVICES
from streams.topology import EVENTS, consumers
from tests.chaos import cluster
from tests.chaos.market import DATABASE, NATS, STRIPE, WEB, Market, NotRunning
from tests.chaos.reading import ECHO
from tests.chaos.wires import Wire

Fault = Callable[["Struck"], Awaitable[str]]

PAUSE_SECONDS = 10.0
"""Longer than a message may be handled before it is given to somebody else."""
JUMP_SECONDS = 300.0
MOST_ECHOES = 200


class Struck:
    """A marketplace, and the dice of one blow."""

    def __init__(
        self, market: Market, rng: random.Random, poisoned: set[str], links: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.market = market
        self.rng = rng
        self.poisoned = poisoned
        """Message ids of what was put into the stream to be buried."""
        self.links = links or sorted(market.wires)
        """Those that may be struck."""

    async def wait(self, least: float, most: float) -> None:
        await asyncio.sleep(self.rng.uniform(least, most))

    def anything(self) -> str:
        """A process that everybody has one of."""
        return self.rng.choice([*SERVICES, WEB, *self.market.nats_names, DATABASE, STRIPE])

    def a_link(self) -> tuple[str, Wire]:
        """One over which somebody is talking now: others wouldn't notice."""
        links = self.rng.sample(self.links, len(self.links))
        client, server = next((link for link in links if self.market.wires[link].connections), links[0])
        return f"{client} to {server}", self.market.wires[client, server]


async def kill(struck: Struck) -> str:
    """kill -9. It is started again."""
    name = struck.anything()
    struck.market.kill(name)
    return name


async def restart(struck: Struck) -> str:
    """SIGTERM. It is started again."""
    name = struck.rng.choice([*SERVICES, WEB])
    struck.market.stop(name)
    return name


async def pause(struck: Struck) -> str:
    """SIGSTOP for longer than messages wait for it."""
    name = struck.anything()
    async with struck.market.paused(name):
        await asyncio.sleep(PAUSE_SECONDS)
    return name


async def copies(struck: Struck) -> str:
    """One or two more of a service join, work, and leave, decently or not."""
    service = struck.rng.choice(SERVICES)
    count = struck.rng.randint(1, 2)
    names = await asyncio.gather(*(struck.market.join(service) for _ in range(count)))
    await struck.wait(4, 8)
    how = struck.rng.choice([signal.SIGTERM, signal.SIGKILL])
    await asyncio.gather(*(struck.market.leave(name, how) for name in names))
    return f"{count} of {service}, left by {how.name}"


def _network(breaks: Callable[[Wire], None], least: float = 2.0, most: float = 8.0) -> Fault:
    async def strike(struck: Struck) -> str:
        name, link = struck.a_link()
        breaks(link)
        try:
            await struck.wait(least, most)
        finally:
            link.mend()
        return name

    return strike


async def reset(struck: Struck) -> str:
    """All connections of a link end at once."""
    name, link = struck.a_link()
    link.reset()
    return name


async def clock(struck: Struck) -> str:
    """The clock of a service jumps five minutes, and back."""
    name = struck.rng.choice(SERVICES)
    jump = struck.rng.choice([-JUMP_SECONDS, JUMP_SECONDS])
    file = struck.market.clock_of(name)
    file.write_text(str(jump))
    try:
        await struck.wait(3, 8)
    finally:
        file.write_text("0")
    return f"{name} by {jump:+.0f} s"


async def full_disk(struck: Struck) -> str:
    """The disk of NATS or of the database is full to the last byte, then has room again."""
    name = struck.rng.choice([NATS, DATABASE])
    disk = struck.market.disks[name]
    try:
        for _ in range(struck.rng.randint(3, 6)):
            disk.fill()  # again: servers find a byte here and there
            await asyncio.sleep(1)
    finally:
        disk.free()
        # Neither takes up its work again by itself: an operator restarts it, as docs/operations.md says.
        with suppress(NotRunning):
            struck.market.kill(name)
    return name


async def replay(struck: Struck) -> str:
    """A listener hears everything again, from the first event on."""
    service = struck.rng.choice([name for name in SERVICES if list(consumers(name))])
    consumer = struck.rng.choice([each for each in consumers(service) if each.stream == EVENTS])
    async with _bus(struck.market) as js:
        config = (await js.consumer_info(EVENTS, consumer.name)).config
        await js.delete_consumer(EVENTS, consumer.name)
        await js.add_consumer(EVENTS, config)
    return consumer.name


async def echo(struck: Struck) -> str:
    """Old events come again, as new ones and in any order."""
    async with _bus(struck.market) as js:
        state = (await js.stream_info(EVENTS)).state
        count = min(MOST_ECHOES, state.messages)
        for sequence in struck.rng.sample(range(state.first_seq, state.last_seq + 1), count):
            message = await js.get_msg(EVENTS, seq=sequence)
            headers = {**(message.headers or {}), Header.MSG_ID: f"echo-{uuid4()}", ECHO: "1"}
            await js.publish(str(message.subject), message.data or b"", headers=headers, timeout=5)
    return f"{count} events"


async def poison(struck: Struck) -> str:
    """Something that isn't an event comes on an event's subject."""
    event = struck.rng.choice([each for each in ALL_EVENTS if each.subject != "session.ended"])
    body = struck.rng.choice(
        [b"", b"{", b"\xff\xfe", b"[]", b"null", json.dumps({"id": "0" * 24, "version": -1}).encode()]
    )
    message_id = f"poison-{uuid4()}"
    async with _bus(struck.market) as js:
        # Known before it's sent: it may be stored although nobody says so.
        struck.poisoned.add(message_id)
        await js.publish(event.subject, body, headers={Header.MSG_ID: message_id, ECHO: "1"}, timeout=5)
    return event.subject


async def leader(struck: Struck) -> str:
    """The node that leads the stream, or all of them, is killed."""
    servers = struck.market.settings.bus
    of_all = struck.rng.random() < 0.5
    name = await (cluster.meta_leader(servers) if of_all else cluster.leader_of(servers, EVENTS))
    if name is None:
        raise LookupError("there is no leader")
    struck.market.kill(name)
    return "of all" if of_all else f"of {EVENTS}"


async def isolate(struck: Struck) -> str:
    """A node, most often one that leads, is cut off from all others and comes back."""
    servers = struck.market.settings.bus
    led = await cluster.leader_of(servers, EVENTS)
    name = led if led and struck.rng.random() < 0.7 else struck.rng.choice(cluster.NODES)
    links = [link for (client, server), link in struck.market.wires.items() if name in (client, server)]
    silent = struck.rng.random() < 0.5
    async with AsyncExitStack() as mended:
        for link in links:
            mended.callback(link.mend)
            (link.silence if silent else link.cut)()
        await struck.wait(5, 15)
    return f"{'a leader' if name == led else 'a node'}, {'silently' if silent else 'with resets'}"


FAULTS: Mapping[str, Fault] = {
    "kill": kill,
    "restart": restart,
    "pause": pause,
    "copies": copies,
    "cut": _network(Wire.cut),
    "silent": _network(Wire.silence),
    "slow": _network(lambda link: link.slow(0.4, 0.3), 4, 10),
    "half-open": _network(Wire.half_open),
    "reset": reset,
    "clock": clock,
    "full-disk": full_disk,
    "replay": replay,
    "echo": echo,
    "poison": poison,
}
CLUSTER_FAULTS: Mapping[str, Fault] = {"leader": leader, "isolate": isolate}


@asynccontextmanager
async def _bus(market: Market) -> AsyncIterator[JetStreamContext]:
    connection = await nats.connect(market.settings.bus, connect_timeout=5, max_reconnect_attempts=3)
    try:
        yield connection.jetstream(timeout=5)
    finally:
        await connection.close()
