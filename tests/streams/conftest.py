"""A real NATS server and database, provisioned, for each test."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import nats
import pytest
import pytest_asyncio
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from contracts.events import TicketCreated
from sandbox.testing import free_port, mongo_server, nats_server
from streams.delivery import Handler, Listener
from streams.topology import provision

TICKET = TicketCreated(
    id="a" * 24, version=0, title="Low Roar", price=Decimal("19.99"), user_id="b" * 24, status="available"
)


@dataclass
class Nats:
    """A server that can be stopped and started again on the same port and store."""

    store: Path
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with nats_server(self.store, self.port):
            yield


@pytest.fixture
def server(tmp_path: Path) -> Nats:
    """Not running yet."""
    return Nats(tmp_path / "nats")


@pytest_asyncio.fixture
async def bus(server: Nats) -> AsyncIterator[Client]:
    """A connection to a provisioned server."""
    async with server.running():
        connection = await nats.connect(server.url)
        await provision(connection.jetstream())
        yield connection
        await connection.close()


@pytest.fixture
def js(bus: Client) -> JetStreamContext:
    return bus.jetstream()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mongo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with mongo_server(tmp_path_factory.mktemp("mongo") / "data") as url:
        yield url


@asynccontextmanager
async def listening(url: str, handler: Handler) -> AsyncIterator[NatsBroker]:
    """A process of orders that hears of new tickets."""
    listener = Listener("orders")
    listener.on(TicketCreated)(handler)
    broker = NatsBroker(url, logger=None, max_reconnect_attempts=-1, reconnect_time_wait=0)
    broker.include_router(listener)
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


async def publish(
    js: JetStreamContext, body: bytes = TICKET.to_json().encode(), headers: Mapping[str, str] | None = None
) -> None:
    """Put a message on ticket.created."""
    await js.publish(
        TicketCreated.subject, body, headers={"content-type": "application/json", **(headers or {})}
    )


async def stored(js: JetStreamContext, stream: str) -> list[RawStreamMsg]:
    """All messages of a stream."""
    state = (await js.stream_info(stream)).state
    found = []
    for sequence in range(max(1, state.first_seq), state.last_seq + 1):
        try:
            found.append(await js.get_msg(stream, sequence))
        except NotFoundError:
            continue
    return found


async def unsettled(js: JetStreamContext) -> int:
    """Messages that orders has not acknowledged, ended or not even been given."""
    info = await js.consumer_info("EVENTS", "orders-ticket-created")
    return (info.num_pending or 0) + (info.num_ack_pending or 0)
