"""The faults. Each injects a failure into a marketplace, waits, heals the failure, and returns a description
of its target. A seed decides which fault is injected when."""

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
from kit.nats import EVENTS
from sandbox.stripe.faults import KINDS
from settings import SERVICES
from streams.processes import CONSUMERS
from tests.resilience.chaos import cluster, stripe_faults
from tests.resilience.chaos.load import Load
from tests.resilience.chaos.mailbox import ACCEPTED
from tests.resilience.chaos.market import DATABASE, MAILBOX, NATS, STRIPE, WEB, Market, PaymentPage
from tests.resilience.chaos.proxies import Proxy
from tests.resilience.chaos.reading import ECHO
from tests.resilience.chaos.supervisor import NotRunning

Fault = Callable[["Injection"], Awaitable[str]]

PAUSE_SECONDS = 10.0
"""How long a process is paused: longer than the ack wait, so that its messages are delivered again."""
JUMP_SECONDS = 300.0
MAX_ECHOES = 200
RESTART_SECONDS = 20.0
"""How long a fault waits for processes that it restarts."""
RUSH = 25
"""Number of scenarios that begin at the same time, in addition to the usual load."""
STRIPE_SLOW_SECONDS = 11.0
"""How long a slow answer of Stripe takes: longer than the payments service waits for it."""

DEFERRALS = ("450 4.2.0 Greylisted", "451 4.3.0 Try again later", "421 4.3.2 Closing")
"""What a mail server answers that doesn't take a message now."""
SLOW_MAIL_SECONDS = 2.0
"""How long the mail server takes to answer when the mail process is killed meanwhile."""
MAIL_SECONDS = 20.0
"""How long a fault waits for a message."""


class Injection:
    """One injected fault: the marketplace, its load, and random numbers for this fault alone."""

    def __init__(
        self,
        market: Market,
        load: Load,
        rng: random.Random,
        poisoned: set[str],
        links: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.market = market
        self.load = load
        self.rng = rng
        self.poisoned = poisoned
        """Message ids of the poison messages that were published."""
        self.links = links or sorted(market.links)
        """The links that network faults may break."""

    async def wait(self, least: float, most: float) -> None:
        await asyncio.sleep(self.rng.uniform(least, most))

    def any_process(self) -> str:
        return self.any_of([*SERVICES, WEB, *self.market.nats_names, DATABASE, STRIPE])

    def any_of(self, names: Sequence[str]) -> str:
        """An instance of one of these services and servers."""
        return self.rng.choice(self.market.instances_of(self.rng.choice(names)))

    def busy_link(self) -> tuple[str, Proxy]:
        """A link with open connections, because breaking an idle link has no effect."""
        links = self.rng.sample(self.links, len(self.links))
        client, server = next((link for link in links if self.market.links[link].connections), links[0])
        return f"{client} to {server}", self.market.links[client, server]


async def kill(injection: Injection) -> str:
    """Kill a process with SIGKILL. It is started again."""
    name = injection.any_process()
    injection.market.kill(name)
    return name


async def restart(injection: Injection) -> str:
    """Stop a process with SIGTERM. It is started again."""
    name = injection.any_of([*SERVICES, WEB])
    injection.market.stop(name)
    return name


async def pause(injection: Injection) -> str:
    """Pause a process with SIGSTOP for longer than the ack wait."""
    name = injection.any_process()
    async with injection.market.paused(name):
        await asyncio.sleep(PAUSE_SECONDS)
    return name


async def instances(injection: Injection) -> str:
    """Start one or two more instances of a service; after a while stop or kill them."""
    service = injection.rng.choice(SERVICES)
    count = injection.rng.randint(1, 2)
    names = await asyncio.gather(*(injection.market.join(service) for _ in range(count)))
    await injection.wait(4, 8)
    how = injection.rng.choice([signal.SIGTERM, signal.SIGKILL])
    await asyncio.gather(*(injection.market.leave(name, how) for name in names))
    return f"{count} of {service}, ended by {how.name}"


def _network(breaks: Callable[[Proxy], None], least: float = 2.0, most: float = 8.0) -> Fault:
    async def inject(injection: Injection) -> str:
        name, link = injection.busy_link()
        breaks(link)
        try:
            await injection.wait(least, most)
        finally:
            link.heal()
        return name

    return inject


async def reset(injection: Injection) -> str:
    """Reset all connections of a link at once."""
    name, link = injection.busy_link()
    link.reset()
    return name


async def clock(injection: Injection) -> str:
    """Shift the clock of a service by five minutes, and back."""
    name = injection.any_of(SERVICES)
    jump = injection.rng.choice([-JUMP_SECONDS, JUMP_SECONDS])
    file = injection.market.clock_of(name)
    file.write_text(str(jump))
    try:
        await injection.wait(3, 8)
    finally:
        file.write_text("0")
    return f"{name} by {jump:+.0f} s"


async def full_disk(injection: Injection) -> str:
    """Fill the disk of NATS or of the database to the last byte, then free it."""
    name = injection.rng.choice([NATS, DATABASE])
    disk = injection.market.disks[name]
    try:
        for _ in range(injection.rng.randint(3, 6)):
            disk.fill()  # repeatedly, because servers free a few bytes now and then
            await asyncio.sleep(1)
    finally:
        disk.free()
        # Neither server recovers by itself. An operator restarts it, as docs/operations.md describes.
        with suppress(NotRunning):
            injection.market.kill(name)
    return name


async def replay(injection: Injection) -> str:
    """Redeliver all events to a consumer, from the first one on."""
    service = injection.rng.choice(sorted({each.service for each in CONSUMERS}))
    consumer = injection.rng.choice(
        [each for each in CONSUMERS if each.service == service and each.stream == EVENTS]
    )
    async with _bus(injection.market) as js:
        config = (await js.consumer_info(EVENTS, consumer.name)).config
        await js.delete_consumer(EVENTS, consumer.name)
        await js.add_consumer(EVENTS, config)
    return consumer.name


async def echo(injection: Injection) -> str:
    """Publish old events again under new message ids, in random order."""
    async with _bus(injection.market) as js:
        state = (await js.stream_info(EVENTS)).state
        count = min(MAX_ECHOES, state.messages)
        for sequence in injection.rng.sample(range(state.first_seq, state.last_seq + 1), count):
            message = await js.get_msg(EVENTS, seq=sequence)
            headers = {**(message.headers or {}), Header.MSG_ID: f"echo-{uuid4()}", ECHO: "1"}
            await js.publish(str(message.subject), message.data or b"", headers=headers, timeout=5)
    return f"{count} events"


async def poison(injection: Injection) -> str:
    """Publish, on the subject of an event, a body that isn't an event."""
    event = injection.rng.choice([each for each in ALL_EVENTS if each.subject != "session.ended"])
    body = injection.rng.choice(
        [b"", b"{", b"\xff\xfe", b"[]", b"null", json.dumps({"id": "0" * 24, "version": -1}).encode()]
    )
    message_id = f"poison-{uuid4()}"
    async with _bus(injection.market) as js:
        # Record the id before sending, because the stream may store the message and lose the acknowledgement.
        injection.poisoned.add(message_id)
        await js.publish(event.subject, body, headers={Header.MSG_ID: message_id, ECHO: "1"}, timeout=5)
    return event.subject


async def leader(injection: Injection) -> str:
    """Kill the node that leads the stream or the whole cluster."""
    servers = injection.market.settings.bus
    of_all = injection.rng.random() < 0.5
    name = await (cluster.meta_leader(servers) if of_all else cluster.leader_of(servers, EVENTS))
    if name is None:
        raise LookupError("there is no leader")
    injection.market.kill(name)
    return "of the cluster" if of_all else f"of {EVENTS}"


async def isolate(injection: Injection) -> str:
    """Isolate a node, usually the stream's leader, from all others, then reconnect it."""
    servers = injection.market.settings.bus
    led = await cluster.leader_of(servers, EVENTS)
    name = led if led and injection.rng.random() < 0.7 else injection.rng.choice(cluster.NODES)
    links = [link for (client, server), link in injection.market.links.items() if name in (client, server)]
    silent = injection.rng.random() < 0.5
    async with AsyncExitStack() as healed:
        for link in links:
            healed.callback(link.heal)
            (link.silence if silent else link.cut)()
        await injection.wait(5, 15)
    return f"{'a leader' if name == led else 'a node'}, {'silently' if silent else 'with resets'}"


async def stripe(injection: Injection) -> str:
    """Let requests to Stripe and webhooks fail in several ways at the same time, then heal Stripe."""
    kinds = injection.rng.sample(KINDS, injection.rng.randint(3, len(KINDS)))
    try:
        await stripe_faults.inject(
            injection.market.settings,
            rate=f"{injection.rng.uniform(0.3, 0.9):.2f}",
            kinds=",".join(kinds),
            seed=str(injection.rng.randrange(2**31)),
            slow_seconds=str(STRIPE_SLOW_SECONDS),
        )
        await injection.wait(4, 10)
    finally:
        await stripe_faults.heal(injection.market.settings)
    return ", ".join(kinds)


async def payment_page(injection: Injection) -> str:
    """Restart payments and web with the other PAYMENT_PAGE for a while, so that buyers pay differently."""
    before = injection.market.payment_page
    other: PaymentPage = "token" if before == "checkout" else "checkout"
    injection.market.restart_with(other)
    try:
        await asyncio.sleep(1)  # until the old processes have ended
        with suppress(AssertionError):  # other faults may prevent it
            await injection.market.ready(RESTART_SECONDS)
        await injection.wait(5, 9)
    finally:
        injection.market.restart_with(before)
    return f"{other}, then {before} again"


async def rush(injection: Injection) -> str:
    """Let many buyers and sellers begin at the same time."""
    injection.load.rush(RUSH)
    await injection.wait(1, 4)
    return f"{RUSH} scenarios"


async def mail_down(injection: Injection) -> str:
    """Let the mail server refuse connections for a while."""
    link = injection.market.links["mail", MAILBOX]
    link.cut()
    try:
        await injection.wait(4, 10)
    finally:
        link.heal()
    return "no connections"


async def mail_refuses(injection: Injection) -> str:
    """Let the mail server defer most messages for a while."""
    mailbox, rng = injection.market.mailbox, injection.rng
    mailbox.answer = lambda: rng.choice([ACCEPTED, *DEFERRALS])
    try:
        await injection.wait(4, 10)
    finally:
        mailbox.heal()
    return ", ".join(answer.partition(" ")[0] for answer in DEFERRALS)


async def mail_killed(injection: Injection) -> str:
    """Kill the mail processes when the mail server has taken a message, before that is recorded."""
    mailbox = injection.market.mailbox
    mailbox.seconds = SLOW_MAIL_SECONDS
    mailbox.stored.clear()
    try:
        async with asyncio.timeout(MAIL_SECONDS):
            await mailbox.stored.wait()
        names = injection.market.instances_of("mail")
        for name in names:
            with suppress(NotRunning):
                injection.market.kill(name)
    finally:
        mailbox.heal()
    return ", ".join(names)


FAULTS: Mapping[str, Fault] = {
    "kill": kill,
    "restart": restart,
    "pause": pause,
    "instances": instances,
    "cut": _network(Proxy.cut),
    "silent": _network(Proxy.silence),
    "slow": _network(lambda link: link.slow(0.4, 0.3), 4, 10),
    "half-open": _network(Proxy.half_open),
    "reset": reset,
    "clock": clock,
    "full-disk": full_disk,
    "replay": replay,
    "echo": echo,
    "poison": poison,
    "stripe": stripe,
    "payment-page": payment_page,
    "rush": rush,
    "mail-down": mail_down,
    "mail-refuses": mail_refuses,
    "mail-killed": mail_killed,
}
CLUSTER_FAULTS: Mapping[str, Fault] = {"leader": leader, "isolate": isolate}


@asynccontextmanager
async def _bus(market: Market) -> AsyncIterator[JetStreamContext]:
    connection = await nats.connect(market.settings.bus, connect_timeout=5, max_reconnect_attempts=3)
    try:
        yield connection.jetstream(timeout=5)
    finally:
        await connection.close()
