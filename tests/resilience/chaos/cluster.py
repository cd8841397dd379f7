"""Three NATS servers with three replicas of every stream, and their leaders.

Each node has its own link to each other node, so a test can put a proxy on that link and cut it. Nodes also
announce an address to each other. It is an unused address, because connections to a real one would bypass the
proxies.
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
from streams.processes import CONSUMERS
from streams.topology import streams
from tests.resilience.chaos.proxies import Proxy, proxy

NODES = ("nats-1", "nats-2", "nats-3")

ANSWERS_WITHIN_SECONDS = 2.0
READY_SECONDS = 120.0

NodePair = tuple[str, str]
"""The nodes at the two ends of a link. The first node connects to the second."""

NODE_PAIRS: tuple[NodePair, ...] = tuple((one, other) for one in NODES for other in NODES if one != other)

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
    folder: Path,
    ports: Sequence[int],
    routes: Sequence[int],
    link_ports: Mapping[NodePair, int] | None = None,
) -> list[Process]:
    """One process for each node, in the order of NODES.

    Args:
        ports: the ports for clients. Nodes announce no other address to them.
        routes: the ports for other nodes.
        link_ports: the port at which a node connects to another node, if that isn't its port in `routes`.
    """
    route_of = dict(zip(NODES, routes, strict=True))
    port_of = {pair: route_of[pair[1]] for pair in NODE_PAIRS} | dict(link_ports or {})
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _node(folder, name, port, route_of[name], [port_of[pair] for pair in NODE_PAIRS if pair[0] == name])
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
    """Nodes that can be isolated from each other and from their clients."""

    processes: Sequence[Process]
    servers: Sequence[str]
    """The addresses of the proxies, which clients use."""
    between: Mapping[NodePair, Proxy]
    before: Mapping[str, Proxy]
    """The proxy between each node and its clients."""

    def peers(self, node: str) -> list[Proxy]:
        """The proxies between a node and the other nodes."""
        return [link for pair, link in self.between.items() if node in pair]

    def around(self, node: str) -> list[Proxy]:
        """All proxies of a node: to the other nodes and to its clients."""
        return [*self.peers(node), self.before[node]]


@asynccontextmanager
async def proxied_cluster(folder: Path) -> AsyncIterator[Cluster]:
    """A cluster with a proxy on every link, its data under `folder`. The nodes are not started."""
    ports, routes = [free_port() for _ in NODES], [free_port() for _ in NODES]
    target = dict(zip(NODES, routes, strict=True))
    async with AsyncExitStack() as proxies:
        between = {pair: await proxies.enter_async_context(proxy(target[pair[1]])) for pair in NODE_PAIRS}
        before = {
            node: await proxies.enter_async_context(proxy(port))
            for node, port in zip(NODES, ports, strict=True)
        }
        processes = nodes(folder, ports, routes, {pair: link.port for pair, link in between.items()})
        yield Cluster(processes, urls([link.port for link in before.values()]), between, before)


async def leader_of(servers: Sequence[str], stream: str) -> str | None:
    """The node that leads a stream; None if there is no leader or no node answers."""
    async with _connected(servers) as client:
        return await _leader(client, stream) if client else None


async def _leader(client: Client, stream: str) -> str | None:
    try:
        info = await client.jetstream(timeout=ANSWERS_WITHIN_SECONDS).stream_info(stream)
    except (APIError, nats.errors.Error, TimeoutError):
        return None
    return info.cluster.leader or None if info.cluster else None


async def meta_leader(servers: Sequence[str]) -> str | None:
    """The node that a majority of the nodes considers the leader of the cluster."""
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
    """Wait until the cluster has a leader and every replica of every stream and consumer is up to date.

    Raises:
        TimeoutError: describes what was missing.
    """
    deadline = time.monotonic() + within
    while missing := await unready_reason(servers, replicas):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the cluster isn't ready after {within} s: {missing}")
        await asyncio.sleep(0.1)


async def unready_reason(servers: Sequence[str], replicas: int = 3) -> str:
    """The reason why the cluster isn't ready, or an empty string."""
    if not await meta_leader(servers):
        return "it has no leader"
    async with _connected(servers) as client:
        if client is None:
            return "no node answers"
        js = client.jetstream(timeout=ANSWERS_WITHIN_SECONDS)
        try:
            for stream in streams(replicas):
                info = await js.stream_info(str(stream.name))
                if lacking := _lacking(info.cluster, replicas):
                    return f"{stream.name}: {lacking}"
            for consumer in CONSUMERS:
                found = await js.consumer_info(consumer.stream, consumer.name)
                if lacking := _lacking(found.cluster, replicas):
                    return f"{consumer.name}: {lacking}"
        except (APIError, nats.errors.Error, TimeoutError) as error:
            return repr(error)
    return ""


def _lacking(cluster: Any, replicas: int) -> str:
    if cluster is None or not cluster.leader:
        return "no leader"
    current = [replica.name for replica in cluster.replicas or [] if replica.current and not replica.offline]
    return "" if len(current) == replicas - 1 else f"led by {cluster.leader}, only {current} are up to date"


@asynccontextmanager
async def _connected(servers: Sequence[str], **account: str) -> AsyncIterator[Client | None]:
    """A short-lived connection; None if no node accepts one."""

    async def say_nothing(_: Exception) -> None:
        """Ignore the error, because the caller tries again."""

    # Try one server after another, because nats-py gives up at the first one that accepts a connection and
    # then hangs.
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
