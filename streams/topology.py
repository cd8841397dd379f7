"""The configuration of JetStream's streams and consumers. `ops/provision.py` creates both.

Each service names its consumers (`Listener.on`) and the events that it publishes (`Service.publishes`) but
creates nothing: a service that declared a stream or a consumer could silently change it for all others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

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

from kit.nats import EVENTS, LIVE_PREFIX
from settings import ServiceName, Settings

TIMERS = "TIMERS"
DEAD = "DEAD"

DEAD_PREFIX = "dead"
"""The prefix of the subjects of dead letters: `dead.<service>.<original subject>`."""

DUE_TIMERS = "timers.due.*"
"""The subjects on which JetStream publishes timers that are due."""

ACK_WAIT = timedelta(seconds=60)
"""A message without an acknowledgement is delivered again after this time. It is long enough for a handler in
which three requests to Stripe time out.
"""

MAX_WAITING = 100_000
"""Maximum number of messages of a consumer that were delivered and aren't acknowledged. JetStream delivers
nothing beyond it. Messages that wait for another attempt count too, some for an hour (streams/delivery.py).
With JetStream's default of 1,000, they could block all others.
"""

MEGABYTE = 1_000_000

LIMITS = ("max_age", "max_bytes")
"""The settings of a stream that an operator may change."""


@dataclass(frozen=True)
class Consumer:
    """A durable pull consumer: one for each service and subject it listens to."""

    service: ServiceName
    stream: str
    subject: str

    @property
    def name(self) -> str:
        """For example `orders-ticket-created`, for the service `orders` and the subject `ticket.created`."""
        return f"{self.service}-{self.subject.removesuffix('.*').replace('.', '-')}"

    def receives(self, subject: str) -> bool:
        """Whether the consumer receives messages on this subject."""
        wanted, given = self.subject.split("."), subject.split(".")
        return len(wanted) == len(given) and all(
            part in ("*", found) for part, found in zip(wanted, given, strict=True)
        )


def streams(replicas: int) -> list[StreamConfig]:
    """The streams with the limits that they get when they are created.

    Events and dead letters have a maximum size, so that they leave room for timers. Timers have none: a
    stream of scheduled messages at its maximum would discard the oldest.
    """
    return [
        StreamConfig(
            name=EVENTS,
            description="Events of all services; the oldest are discarded",
            subjects=[
                "ticket.*",
                "order.*",
                "payment.*",
                "payout.*",
                "alert.*",
                "expiration.*",
                "user.*",
                "link.*",
                "session.*",
            ],
            storage=StorageType.FILE,
            max_age=timedelta(days=30).total_seconds(),
            max_bytes=1024 * MEGABYTE,
            duplicate_window=timedelta(minutes=10).total_seconds(),
            republish=RePublish(src=">", dest=f"{LIVE_PREFIX}.>"),
            allow_direct=True,  # for reading the last event of a single subject, which permissions can name
            num_replicas=replicas,
        ),
        StreamConfig(
            name=TIMERS,
            description="Timers; no limits, because timers must not be lost",
            subjects=["timers.>"],
            storage=StorageType.FILE,
            retention=RetentionPolicy.WORK_QUEUE,
            allow_msg_schedules=True,
            num_replicas=replicas,
        ),
        StreamConfig(
            name=DEAD,
            description="Dead letters, kept until an operator replays or drops them",
            subjects=["dead.>"],
            storage=StorageType.FILE,
            discard=DiscardPolicy.NEW,
            max_bytes=128 * MEGABYTE,
            num_replicas=replicas,
        ),
    ]


def set_limits(settings: Settings) -> Mapping[str, Mapping[str, int]]:
    """The limits that the settings give, by stream, as JetStream's API has them: nanoseconds and bytes."""
    day = 86_400 * 1_000_000_000
    given = {
        EVENTS: {
            "max_age": settings.events_days and settings.events_days * day,
            "max_bytes": _bytes(settings.events_max_mb),
        },
        DEAD: {"max_bytes": _bytes(settings.dead_max_mb)},
    }
    return {
        stream: {name: limit for name, limit in limits.items() if limit is not None}
        for stream, limits in given.items()
    }


def _bytes(megabytes: int | None) -> int | None:
    return -1 if megabytes == 0 else megabytes and megabytes * MEGABYTE


def consumer_config(consumer: Consumer) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=consumer.name,
        filter_subject=consumer.subject,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT.total_seconds(),
        deliver_policy=DeliverPolicy.ALL,
        max_ack_pending=MAX_WAITING,
        max_deliver=-1,  # delivery.py counts attempts, and moves messages to DEAD
    )
