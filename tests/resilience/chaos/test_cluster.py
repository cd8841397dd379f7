"""With NATS_REPLICAS=3, one of three NATS servers may be killed or isolated."""

import asyncio
import itertools
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import nats
import nats.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client

from contracts.events import SessionEnded
from contracts.wire import now
from kit.background import running
from kit.nats import EVENTS
from kit.sessions import EndedSessions
from ops.provision import provision_with_retries
from sandbox.processes import mongo, provisioning, service, web
from sandbox.testing import free_port
from settings import Settings
from streams.bus import Bus
from streams.delivery import Listener
from tests.integration.streams.conftest import stored
from tests.resilience.chaos.cluster import NODES, Cluster, leader_of, proxied_cluster, ready
from tests.support.feeds import feed_of
from tests.support.people import Person, signed_up
from tests.support.polling import until
from tests.support.stack import Stack, settings_from
from web.live.hub import Hub
from web.live.subscriber import listening

pytestmark = pytest.mark.asyncio(loop_scope="module")

ELECTED_WITHIN = 120.0
"""The maximum seconds until a leader is elected. An election usually takes ten seconds."""

Run = tuple[Cluster, Stack]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    """A cluster with the processes that a reservation needs. At first, its streams had one replica."""
    folder = tmp_path_factory.mktemp("cluster") / "data"
    async with proxied_cluster(folder / "nats") as cluster:
        environment = {
            "DATA_DIR": str(folder),
            "NATS_URL": ",".join(cluster.servers),
            "NATS_REPLICAS": "3",
            "RATE_SIGN_UP": "0",
            "OUTBOX_SWEEP_SECONDS": "1",
            **{f"{name}_PORT": str(free_port()) for name in "WEB TICKETS AUTH ORDERS MONGO".split()},
        }
        settings = settings_from(environment)
        stack = Stack(folder, settings, environment)
        try:
            await asyncio.gather(*(stack.run(node) for node in cluster.processes))
            await stack.run(mongo(settings.mongo_port, folder / "mongo"))
            async with connected(cluster.servers) as client:
                await provision_with_retries(client.jetstream(timeout=2), replicas=1)
                await until(partial(accepts, client, 1), bool, ELECTED_WITHIN)
            await stack.run(provisioning())
            services = [service(name, settings) for name in ("auth", "tickets", "orders")]
            whole = ready(cluster.servers, within=ELECTED_WITHIN)
            await asyncio.gather(whole, *(stack.run(each) for each in [*services, web(settings)]))
            yield cluster, stack
        finally:
            await stack.close()


@asynccontextmanager
async def connected(servers: Sequence[str]) -> AsyncIterator[Client]:
    client = await nats.connect(list(servers))
    try:
        yield client
    finally:
        await client.close()


async def accepts(client: Client, number: int) -> bool:
    """Whether the stream accepts an event about a session with this number, which requires a leader."""
    event = SessionEnded(session_id=f"{number:024}", ended_at=now())
    try:
        await client.jetstream(timeout=2).publish(event.subject, event.to_json().encode(), stream=EVENTS)
    except (nats.errors.Error, TimeoutError):
        return False
    return True


async def test_provisioning_adds_replicas_to_streams_and_keeps_their_messages(run: Run) -> None:
    cluster, _ = run
    async with connected(cluster.servers) as client:
        js = client.jetstream(timeout=10)
        assert (await js.stream_info(EVENTS)).config.num_replicas == 3
        assert (await js.get_msg(EVENTS, seq=1)).subject == SessionEnded.subject


async def test_orders_made_while_the_leader_is_killed_reach_tickets_after_another_node_leads(
    run: Run,
) -> None:
    cluster, stack = run
    async with signed_up(f"http://127.0.0.1:{stack.settings.web_port}", 2) as (seller, buyer):
        tickets = [(await seller.lists_ticket())["id"] for _ in range(4)]
        for ticket in tickets:
            await until(partial(can_be_bought, buyer, ticket), bool, ELECTED_WITHIN)
        leader = await until(partial(leader_of, cluster.servers, EVENTS), bool, ELECTED_WITHIN)
        assert leader is not None
        await stack.stop(leader, signal.SIGKILL)
        orders = [await buyer.reserves(ticket) for ticket in tickets]
        for ticket in tickets:
            await until(
                partial(buyer.ticket, ticket), lambda seen: seen["status"] == "reserved", ELECTED_WITHIN
            )
    await until(
        partial(leader_of, cluster.servers, EVENTS), lambda seen: seen not in {None, leader}, ELECTED_WITHIN
    )
    await stack.start(leader)
    await ready(cluster.servers, within=ELECTED_WITHIN)
    async with connected(cluster.servers) as client:
        messages = await stored(client.jetstream(), EVENTS)
    published = Counter(
        (message.subject, body["id"], body["version"])
        for message in messages
        if "version" in (body := json.loads(message.data or b""))
    )
    assert set(published) >= {("order.created", order["id"], 0) for order in orders}
    assert set(published.values()) == {1}


async def can_be_bought(buyer: Person, ticket: str) -> bool:
    """Whether the ticket has been replicated to orders."""
    answer = await buyer.tries_to_reserve(ticket)
    if answer.status_code == 201:
        await buyer.cancels(answer.json()["id"])
    return answer.status_code == 201


@asynccontextmanager
async def listening_to_events(settings: Settings, hub: Hub, ended: EndedSessions) -> AsyncIterator[None]:
    """The subscriptions of web and of a service."""
    bus = Bus(settings, Listener("auth"), ended)
    async with listening(settings, feed_of(hub)) as is_reachable:
        await until(is_reachable, bool, ELECTED_WITHIN)
        async with running(bus.run()):
            await bus.started.wait()
            yield
        await bus.stop()


async def test_web_and_services_disconnect_from_a_node_that_is_isolated_from_the_others(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, stack = run
    monkeypatch.setattr("kit.nats.CHECK_SECONDS", 0.1)
    monkeypatch.setattr("kit.nats.MAX_CHECKS_WITHOUT_LEADER", 2)
    isolated, *others = NODES
    await ready(cluster.servers, within=ELECTED_WITHIN)
    hub, ended = Hub(), EndedSessions(timedelta(hours=1))
    for node in others:
        cluster.before[node].cut()
    async with listening_to_events(stack.settings, hub, ended):
        for node in others:
            cluster.before[node].heal()
        for link in cluster.peers(isolated):
            link.cut()
        async with connected(cluster.servers[:1]) as client:
            # Without a majority of replicas, no message is acknowledged.
            assert not await accepts(client, 1)
        async with connected(cluster.servers[1:]) as client:
            numbers = itertools.count(2)

            async def received() -> tuple[bool, bool]:
                """Whether a service and web receive events that are published on the other nodes."""
                number = next(numbers)
                await accepts(client, number)
                return any(f"{n:024}" in ended for n in range(2, number)), hub.position is not None

            await until(received, all, ELECTED_WITHIN)
