"""Every stream and consumer of JetStream, provisioned in one place: `python -m streams.topology`.

Services only use what is here. A service that declared a stream or a durable consumer itself could
silently change it for all others.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import nats.errors
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RePublish,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, NotFoundError

import settings
from contracts.events import (
    Event,
    ExpirationComplete,
    OrderCancelled,
    OrderCreated,
    OrderUpdated,
    PaymentCreated,
    PaymentUpdated,
    SessionEnded,
    TicketCreated,
    TicketUpdated,
)
from services.kit.logs import log_to_stdout
from settings import ServiceName
from streams.operator import NoAnswer, connection_to

log = logging.getLogger(__name__)

EVENTS = "EVENTS"
TIMERS = "TIMERS"
DEAD = "DEAD"

LIVE_PREFIX = "live"
"""Events come again under `live.<subject>`, for those who show them and keep nothing."""

DEAD_PREFIX = "dead"

DUE_TIMERS = "timers.due.*"
"""Where timers arrive when their time has come."""

ACK_WAIT = timedelta(seconds=60)
"""A message that was neither acknowledged nor refused by then comes again. Three tries of Stripe fit in."""

PATIENCE_SECONDS = 60.0
RETRY_SECONDS = 1.0

UNAVAILABLE = 503
NO_SUITABLE_PEERS = 10005
"""The code of JetStream's error when fewer nodes are there than a stream is to have copies."""

PUBLISHES: Mapping[ServiceName, Sequence[type[Event]]] = {
    "tickets": (TicketCreated, TicketUpdated),
    "auth": (SessionEnded,),
    "orders": (OrderCreated, OrderUpdated, OrderCancelled),
    "expiration": (ExpirationComplete,),
    "payments": (PaymentCreated, PaymentUpdated),
}

LISTENS: Mapping[ServiceName, Sequence[type[Event]]] = {
    "tickets": (OrderCreated, OrderUpdated, OrderCancelled),
    "auth": (),
    "orders": (TicketCreated, TicketUpdated, ExpirationComplete, PaymentCreated, PaymentUpdated),
    "expiration": (OrderCreated, OrderUpdated, OrderCancelled),
    "payments": (OrderCreated, OrderUpdated, OrderCancelled),
}


@dataclass(frozen=True)
class Consumer:
    """A durable pull consumer: one for each service and subject it listens to."""

    service: ServiceName
    stream: str
    subject: str

    @property
    def name(self) -> str:
        """orders and ticket.created → orders-ticket-created."""
        return f"{self.service}-{self.subject.removesuffix('.*').replace('.', '-')}"


def consumers(service: ServiceName) -> Iterator[Consumer]:
    """What a service listens to."""
    for event in LISTENS[service]:
        yield Consumer(service, EVENTS, event.subject)
    if service == "expiration":
        yield Consumer(service, TIMERS, DUE_TIMERS)


def streams(replicas: int) -> list[StreamConfig]:
    return [
        StreamConfig(
            name=EVENTS,
            description="What happened",
            subjects=["ticket.*", "order.*", "payment.*", "expiration.*", "session.*"],
            storage=StorageType.FILE,
            max_age=timedelta(days=30).total_seconds(),
            duplicate_window=timedelta(minutes=10).total_seconds(),
            republish=RePublish(src=">", dest=f"{LIVE_PREFIX}.>"),
            num_replicas=replicas,
        ),
        StreamConfig(
            name=TIMERS,
            description="What will be due; no maximum age, or timers would vanish",
            subjects=["timers.>"],
            storage=StorageType.FILE,
            retention=RetentionPolicy.WORK_QUEUE,
            allow_msg_schedules=True,
            num_replicas=replicas,
        ),
        StreamConfig(
            name=DEAD,
            description="What could not be handled, until somebody looks at it",
            subjects=["dead.>"],
            storage=StorageType.FILE,
            discard=DiscardPolicy.NEW,
            num_replicas=replicas,
        ),
    ]


def consumer_config(consumer: Consumer) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=consumer.name,
        filter_subject=consumer.subject,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT.total_seconds(),
        deliver_policy=DeliverPolicy.ALL,
        max_deliver=-1,  # delivery.py counts, and moves to DEAD what it gives up on
    )


async def provision(js: JetStreamContext, replicas: int = 1) -> None:
    """Create what is missing and update what differs. Repeating it changes nothing."""
    for stream in streams(replicas):
        try:
            await js.stream_info(str(stream.name))
        except NotFoundError:
            await js.add_stream(stream)
            log.info("created stream %s", stream.name)
        else:
            await js.update_stream(replace(stream))
    for service in LISTENS:
        for consumer in consumers(service):
            await js.add_consumer(consumer.stream, consumer_config(consumer))


async def provision_patiently(
    js: JetStreamContext, replicas: int, patience: float = PATIENCE_SECONDS
) -> None:
    """Provision a bus that may still be electing who leads it, or waiting for its other nodes.

    Raises:
        nats.errors.Error: it refused, or wasn't ready within so many seconds.
    """
    await _patiently(lambda: provision(js, replicas), patience)


async def provision_servers(
    servers: Sequence[str], replicas: int, patience: float = PATIENCE_SECONDS
) -> None:
    """Provision a bus that may not even run yet. Each try has a connection of its own: one that was closed
    for good would never answer.

    Raises:
        NoAnswer, nats.errors.Error: it refused, or wasn't ready within so many seconds.
    """

    async def attempt() -> None:
        async with connection_to(servers) as connection:
            await provision(connection.jetstream(timeout=5), replicas)

    await _patiently(attempt, patience)


async def _patiently(attempt: Callable[[], Awaitable[None]], patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            return await attempt()
        except nats.errors.Error as error:
            if not _may_pass(error) or time.monotonic() > deadline:
                raise
            log.warning("the bus isn't ready, once more: %s", reason(error))
        await asyncio.sleep(RETRY_SECONDS)


def _may_pass(error: nats.errors.Error) -> bool:
    return not isinstance(error, APIError) or error.code == UNAVAILABLE or error.err_code == NO_SUITABLE_PEERS


def reason(error: nats.errors.Error) -> str:
    """What is said of it, or for want of words what kind of error it is."""
    if isinstance(error, NoAnswer):
        return str(error)
    return (error.description if isinstance(error, APIError) else None) or repr(error)


async def main() -> None:
    configured = settings.load()
    log_to_stdout(configured.log_level)
    try:
        await provision_servers(configured.bus, configured.nats_replicas)
    except NoAnswer as error:
        sys.exit(str(error))
    except nats.errors.Error as error:
        copies = f"NATS_REPLICAS={configured.nats_replicas}"
        sys.exit(f"The bus can't be provisioned with {copies}: {reason(error)}")
    log.info("the bus is provisioned")


if __name__ == "__main__":
    asyncio.run(main())
