"""On three NATS servers, one may die or be cut off: NATS_REPLICAS=3 is all that the services need."""

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
from sandbox.processes import mongo, provisioning, service, web
from sandbox.testing import free_port
from services.kit.tokens import EndedSessions
from settings import Settings
from streams.bus import Bus
from streams.topology import EVENTS, provision_patiently
from tests.chaos.cluster import NODES, Cluster, leader_of, ready, wired
from tests.people import Person, signed_up, until
from tests.stack import Stack
from tests.streams.conftest import stored
from web.hub import Hub
from web.live_bus import listening

pytestmark = pytest.mark.asyncio(loop_scope="module")

ELECTED_WITHIN = 120.0
"""Seconds. It mostly takes ten."""

Run = tuple[Cluster, Stack]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    """A cluster whose streams had one copy each at first, and as much of a marketplace as reserving takes."""
    folder = tmp_path_factory.mktemp("cluster") / "data"
    async with wired(folder / "nats") as cluster:
        environment = {
            "DATA_DIR": str(folder),
            "NATS_URL": ",".join(cluster.servers),
            "NATS_REPLICAS": "3",
            "RATE_SIGN_UP": "0",
            "OUTBOX_SWEEP_SECONDS": "1",
            **{f"{name}_PORT": str(free_port()) for name in "WEB TICKETS AUTH ORDERS MONGO".split()},
        }
        settings = Settings.model_validate({name.lower(): value for name, value in environment.items()})
        stack = Stack(folder, settings, environment)
        try:
            await asyncio.gather(*(stack.run(node) for node in cluster.processes))
            await stack.run(mongo(settings.mongo_port, folder / "mongo"))
            async with connected(cluster.servers) as client:
                await provision_patiently(client.jetstream(timeout=2), replicas=1)
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
    """Whether the bus takes an event, of the session of that number; while it elects a leader it doesn't."""
    event = SessionEnded(session_id=f"{number:024}", ended_at=now())
    try:
        await client.jetstream(timeout=2).publish(event.subject, event.to_json().encode(), stream=EVENTS)
    except (nats.errors.Error, TimeoutError):
        return False
    return True


async def test_streams_get_more_copies_by_provisioning_and_keep_what_they_have(run: Run) -> None:
    cluster, _ = run
    async with connected(cluster.servers) as client:
        js = client.jetstream(timeout=10)
        assert (await js.stream_info(EVENTS)).config.num_replicas == 3
        assert (await js.get_msg(EVENTS, seq=1)).subject == SessionEnded.subject


async def test_orders_made_while_the_leader_dies_reach_tickets_once_another_leads(run: Run) -> None:
    cluster, stack = run
    async with signed_up(f"http://127.0.0.1:{stack.settings.web_port}", 2) as (seller, buyer):
        tickets = [(await seller.offers())["id"] for _ in range(4)]
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
    said = Counter(
        (message.subject, body["id"], body["version"])
        for message in messages
        if "version" in (body := json.loads(message.data or b""))
    )
    assert set(said) >= {("order.created", order["id"], 0) for order in orders}
    assert set(said.values()) == {1}


async def can_be_bought(buyer: Person, ticket: str) -> bool:
    """Whether orders has heard of it."""
    answer = await buyer.asks_for(ticket)
    if answer.status_code == 201:
        await buyer.cancels(answer.json()["id"])
    return answer.status_code == 201


@asynccontextmanager
async def hearing(settings: Settings, hub: Hub, ended: EndedSessions) -> AsyncIterator[None]:
    """What web and a service have of the bus."""
    bus = Bus(settings, "auth", ended)
    async with listening(settings, hub) as is_heard:
        await until(is_heard, bool, ELECTED_WITHIN)
        await bus.start()
        keeping_up = asyncio.create_task(bus.keep_up())
        try:
            yield
        finally:
            keeping_up.cancel()
            await bus.stop()


async def test_web_and_services_leave_a_node_that_is_cut_off_from_the_others(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, stack = run
    for module in ("streams.bus", "web.live_bus"):
        monkeypatch.setattr(f"{module}.LOOK_SECONDS", 0.1)
        monkeypatch.setattr(f"{module}.MOST_UNLED", 2)
    left, *others = NODES
    await ready(cluster.servers, within=ELECTED_WITHIN)
    hub, ended = Hub(), EndedSessions(timedelta(hours=1))
    for node in others:
        cluster.before[node].cut()
    async with hearing(stack.settings, hub, ended):
        for node in others:
            cluster.before[node].mend()
        for wire in cluster.peers(left):
            wire.cut()
        async with connected(cluster.servers[:1]) as client:
            # Nobody keeps what two of three haven't got, so nobody says that it is kept.
            assert not await accepts(client, 1)
        async with connected(cluster.servers[1:]) as client:
            numbers = itertools.count(2)

            async def heard() -> tuple[bool, bool]:
                """Whether anything that is said at the others is heard by a service, and by web."""
                number = next(numbers)
                await accepts(client, number)
                return any(f"{n:024}" in ended for n in range(2, number)), hub.position is not None

            await until(heard, all, ELECTED_WITHIN)
