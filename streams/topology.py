"""Every stream and consumer of JetStream, provisioned in one place: `python -m streams.topology`.

Services only use what is here. A service that declared a stream or a durable consumer itself could
silently change it for all others.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import nats
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
from nats.js.errors import NotFoundError

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


async def main() -> None:
    configured = settings.load()
    log_to_stdout(configured.log_level)
    connection = await nats.connect(configured.bus, connect_timeout=5, max_reconnect_attempts=3)
    try:
        await provision(connection.jetstream(timeout=10), configured.nats_replicas)
    finally:
        await connection.close()
    log.info("the bus is provisioned")


if __name__ == "__main__":
    asyncio.run(main())
