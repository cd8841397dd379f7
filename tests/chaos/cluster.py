"""Three NATS servers that keep three copies of every stream, and who leads among them.

Each node reaches each other over a way of its own, so that a test can put a wire into it and cut it. Nodes
also tell each other where they are, which would lead around such wires: they advertise where nobody is.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import nats.errors
from nats.aio.client import Client
from nats.js.errors import APIError

from sandbox.processes import BINARIES, Process, listening
from sandbox.testing import free_port
from settings import SERVICES
from streams.topology import consumers, streams
from tests.chaos.wires import Wire, wire

NODES = ("nats-1", "nats-2", "nats-3")

ANSWERS_WITHIN_SECONDS = 2.0
READY_SECONDS = 120.0

Way = tuple[str, str]
"""From a node to another."""

WAYS: tuple[Way, ...] = tuple((one, other) for one in NODES for other in NODES if one != other)

_CONFIG = """
server_name: {name}
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: {store} }}
accounts {{
  STAGEDOOR {{ jetstream: enabled, users: [{{ user: stagedoor, password: stagedoor }}] }}
  $SYS {{ users: [{{ user: sys, password: sys }}] }}
}}
no_auth_user: stagedoor
cluster {{
  name: stagedoor
  listen: "127.0.0.1:{route}"
  no_advertise: true
  cluster_advertise: "127.0.0.1:1"
  routes: {routes}
}}
"""


def nodes(
    folder: Path, ports: Sequence[int], routes: Sequence[int], ways: Mapping[Way, int] | None = None
) -> list[Process]:
    """One process for each node, in the order of NODES.

    Args:
        ports: where clients find each node; they are never told of another address.
        routes: where the other nodes find each.
        ways: the port on which a node looks for another one, where that isn't the one of `routes`.
    """
    found = dict(zip(NODES, routes, strict=True))
    over = {way: found[way[1]] for way in WAYS} | dict(ways or {})
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _node(folder, name, port, found[name], [over[way] for way in WAYS if way[0] == name])
        for name, port in zip(NODES, ports, strict=True)
    ]


def _node(folder: Path, name: str, port: int, route: int, others: Sequence[int]) -> Process:
    config = folder / f"{name}.conf"
    config.write_text(
        _CONFIG.format(
            name=name,
            port=port,
            store=json.dumps(str((folder / name).absolute())),
            route=route,
            routes=json.dumps([f"nats://127.0.0.1:{other}" for other in others]),
        )
    )
    return Process(
        name=name,
        command=(str(BINARIES / "nats-server"), "--config", str(config)),
        ready=listening(port),
        port=port,
        chatter="[INF]",
    )


def urls(ports: Sequence[int]) -> list[str]:
    return [f"nats://127.0.0.1:{port}" for port in ports]


@dataclass(frozen=True)
class Cluster:
    """Nodes that can be cut off from each other, and from their clients."""

    processes: Sequence[Process]
    servers: Sequence[str]
    """What clients are given: each node behind its wire."""
    between: Mapping[Way, Wire]
    before: Mapping[str, Wire]
    """The wire to each node, over which all its clients come."""

    def peers(self, node: str) -> list[Wire]:
        """Every way between a node and the others."""
        return [wire for way, wire in self.between.items() if node in way]

    def around(self, node: str) -> list[Wire]:
        """Every way to and from a node, that of its clients as well."""
        return [*self.peers(node), self.before[node]]


@asynccontextmanager
async def wired(folder: Path) -> AsyncIterator[Cluster]:
    """A cluster with a wire in every way, its data under `folder`. Nothing of it runs yet."""
    ports, routes = [free_port() for _ in NODES], [free_port() for _ in NODES]
    target = dict(zip(NODES, routes, strict=True))
    async with AsyncExitStack() as wires:
        between = {way: await wires.enter_async_context(wire(target[way[1]])) for way in WAYS}
        before = {
            node: await wires.enter_async_context(wire(port)) for node, port in zip(NODES, ports, strict=True)
        }
        processes = nodes(folder, ports, routes, {way: wire.port for way, wire in between.items()})
        yield Cluster(processes, urls([wire.port for wire in before.values()]), between, before)


async def leader_of(servers: Sequence[str], stream: str) -> str | None:
    """The node that leads a stream; None while there is none, or nobody who knows it."""
    async with _connected(servers) as client:
        return await _leader(client, stream) if client else None


async def _leader(client: Client, stream: str) -> str | None:
    try:
        info = await client.jetstream(timeout=ANSWERS_WITHIN_SECONDS).stream_info(stream)
    except (APIError, nats.errors.Error, TimeoutError):
        return None
    return info.cluster.leader or None if info.cluster else None


async def meta_leader(servers: Sequence[str]) -> str | None:
    """The node that leads the cluster, in the eyes of a majority of the nodes."""
    async with _connected(servers, user="sys", password="sys") as client:
        return await _meta_leader(client) if client else None


async def _meta_leader(client: Client) -> str | None:
    answers = await client.subscribe(inbox := client.new_inbox())
    named: Counter[str] = Counter()
    deadline = time.monotonic() + ANSWERS_WITHIN_SECONDS
    try:
        await client.publish("$SYS.REQ.SERVER.PING.JSZ", b"", reply=inbox)
        for _ in NODES:
            answer = json.loads((await answers.next_msg(timeout=max(0.01, deadline - time.monotonic()))).data)
            meta = answer.get("data", {}).get("meta_cluster", {})
            named[meta.get("leader", "")] += 1
    except (nats.errors.Error, TimeoutError):
        pass
    finally:
        await answers.unsubscribe()
    for name, votes in named.most_common(1):
        if name and votes > len(NODES) / 2:
            return name
    return None


async def ready(servers: Sequence[str], replicas: int = 3, within: float = READY_SECONDS) -> None:
    """Wait until somebody leads the cluster, and every copy of every stream and consumer is up to date.

    Raises:
        TimeoutError: says what was missing last.
    """
    deadline = time.monotonic() + within
    while missing := await behind(servers, replicas):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the cluster isn't ready after {within} s: {missing}")
        await asyncio.sleep(0.1)


async def behind(servers: Sequence[str], replicas: int = 3) -> str:
    """What keeps the cluster from being whole; nothing, if it is."""
    if not await meta_leader(servers):
        return "nobody leads it"
    async with _connected(servers) as client:
        if client is None:
            return "no node answers"
        js = client.jetstream(timeout=ANSWERS_WITHIN_SECONDS)
        try:
            for stream in streams(replicas):
                info = await js.stream_info(str(stream.name))
                if lacking := _lacking(info.cluster, replicas):
                    return f"{stream.name}: {lacking}"
            for service in SERVICES:
                for consumer in consumers(service):
                    found = await js.consumer_info(consumer.stream, consumer.name)
                    if lacking := _lacking(found.cluster, replicas):
                        return f"{consumer.name}: {lacking}"
        except (APIError, nats.errors.Error, TimeoutError) as error:
            return repr(error)
    return ""


def _lacking(cluster: Any, replicas: int) -> str:
    if cluster is None or not cluster.leader:
        return "no leader"
    copies = [copy.name for copy in cluster.replicas or [] if copy.current and not copy.offline]
    return "" if len(copies) == replicas - 1 else f"led by {cluster.leader}, only {copies} are up to date"


@asynccontextmanager
async def _connected(servers: Sequence[str], **account: str) -> AsyncIterator[Client | None]:
    """A connection for one look; None if no node takes it."""

    async def say_nothing(_: Exception) -> None:
        """Whoever asks looks again."""

    # One after the other: nats-py gives up at the first that takes a connection and says nothing.
    client = None
    for server in servers:
        with suppress(nats.errors.Error, OSError, TimeoutError):
            client = await nats.connect(
                server, connect_timeout=2, allow_reconnect=False, error_cb=say_nothing, **account
            )
            break
    try:
        yield client
    finally:
        if client:
            await client.close()
