"""A provisioned NATS server for each test."""

import logging
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

import streams.expiration
import streams.tickets
from contracts.events import TicketCreated
from ops.provision import provision
from sandbox.testing import free_port, nats_server
from streams.bus import LANES
from streams.delivery import Handler, Listener
from streams.publishers import Publishers
from streams.timers import JetStreamTimers

TICKET = TicketCreated(
    id="a" * 24, version=0, title="Low Roar", price=Decimal("19.99"), user_id="b" * 24, status="available"
)


@dataclass
class Nats:
    """A NATS server that can be restarted on the same port with the same data."""

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
    """A NATS server that has not been started."""
    return Nats(tmp_path / "nats")


@pytest_asyncio.fixture
async def bus(server: Nats) -> AsyncIterator[Client]:
    """A connection to the running and provisioned NATS server."""
    async with server.running():
        connection = await nats.connect(server.url)
        await provision(connection.jetstream())
        yield connection
        await connection.close()


@pytest.fixture
def js(bus: Client) -> JetStreamContext:
    return bus.jetstream()


@asynccontextmanager
async def listening(
    url: str,
    handler: Handler,
    logger: logging.Logger | None = None,
    event: type[TicketCreated] = TicketCreated,
) -> AsyncIterator[NatsBroker]:
    """Let the orders service handle the events of new tickets with this handler until the block ends.

    Args:
        event: the contract of the events as this instance of the service knows it.
    """
    listener = Listener("orders")
    listener.on(event)(handler)
    broker = NatsBroker(
        url, logger=logger, max_reconnect_attempts=-1, reconnect_time_wait=0, apply_types=False
    )
    broker.include_router(listener.router(LANES))
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


def tickets_publishers(broker: NatsBroker) -> Publishers:
    """The publishers of the tickets service."""
    return Publishers(broker, "tickets", streams.tickets.service.publishes)


def expiration_timers(broker: NatsBroker) -> JetStreamTimers:
    """The timers of the expiration service."""
    return JetStreamTimers(Publishers(broker, "expiration", streams.expiration.service.publishes))


async def publish(
    js: JetStreamContext, body: bytes = TICKET.to_json().encode(), headers: Mapping[str, str] | None = None
) -> None:
    """Publish a message on the subject ticket.created."""
    await js.publish(
        TicketCreated.subject, body, headers={"content-type": "application/json", **(headers or {})}
    )


async def stored(js: JetStreamContext, stream: str) -> list[RawStreamMsg]:
    """All messages that a stream contains, oldest first."""
    state = (await js.stream_info(stream)).state
    found = []
    for sequence in range(max(1, state.first_seq), state.last_seq + 1):
        try:
            found.append(await js.get_msg(stream, sequence))
        except NotFoundError:
            continue
    return found


async def unacknowledged(js: JetStreamContext) -> int:
    """How many new-ticket messages the orders service may not yet have acknowledged or terminated.

    The number is computed from the acknowledgement floor, because NATS counts a new message as pending only
    some time after storing it: just after publishing, its own count may still be 0.
    """
    last = await js.get_last_msg("EVENTS", TicketCreated.subject)
    info = await js.consumer_info("EVENTS", "orders-ticket-created")
    return (last.seq or 0) - (info.ack_floor.stream_seq if info.ack_floor else 0)
