"""Prometheus metrics of the messages that a service receives and publishes, and of its outbox.

A label never contains an id. Prometheus keeps every series, and a series for each order would let `/metrics`
grow without limit.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from faststream.nats.prometheus.provider import NatsMetricsSettingsProvider
from faststream.prometheus import ConsumeAttrs, PrometheusMiddleware
from nats.aio.msg import Msg
from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from contracts.wire import now
from kit.outbox import Outbox
from settings import ServiceName
from streams.cloudevents import TIME
from streams.topology import Consumer

MEASURE_SECONDS = 15.0
"""The time between two measurements of what a process can only find out by asking a server."""

EVENT_LATENCY = Histogram(
    "stagedoor_event_latency_seconds",
    "Time from the change that caused an event until a consumer has handled the event",
    ["consumer"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
)
DEAD_LETTERS = Counter("stagedoor_dead_letters", "Messages that were moved to DEAD", ["consumer"])
OUTBOX_DOCUMENTS = Gauge("stagedoor_outbox_documents", "Documents with messages that aren't published yet")
OUTBOX_AGE = Gauge(
    "stagedoor_outbox_oldest_message_age_seconds",
    "Age of the oldest unpublished message, or 0 if there is none",
)


def expose(consumers: Sequence[Consumer]) -> None:
    """Create the series of these consumers with the value 0."""
    for consumer in consumers:
        EVENT_LATENCY.labels(consumer.name)
        DEAD_LETTERS.labels(consumer.name)


def record_handled(message: Msg) -> None:
    """Record that a consumer has handled a message.

    Its latency counts from the time in its headers. A timer has none, and counts from when it fired.
    """
    try:
        written = datetime.fromisoformat((message.headers or {})[TIME])
        latency = (now() - written).total_seconds()
    except (KeyError, ValueError, TypeError):  # without a time, or with one that isn't a time with its zone
        latency = (now() - message.metadata.timestamp).total_seconds()
    EVENT_LATENCY.labels(message.metadata.consumer).observe(max(0.0, latency))


async def measure_outbox(outbox: Outbox) -> None:
    """Measure what the service has yet to publish.

    Raises:
        DatabaseError
    """
    backlog = await outbox.backlog()
    age = (now() - backlog.oldest).total_seconds() if backlog.oldest else 0.0
    OUTBOX_DOCUMENTS.set(backlog.documents)
    OUTBOX_AGE.set(max(0.0, age))


def subject_pattern(subject: str) -> str:
    """The subject as a label: the first two words, and `>` for all others.

    The subjects of events have two words. In longer subjects, such as `timers.due.<order>`, the others are
    ids and times.
    """
    first, second, *others = [*subject.split("."), ""]
    return f"{first}.{second}.>" if any(others) else subject


class _SubjectPatterns(NatsMetricsSettingsProvider):
    def get_consume_attrs_from_message(self, msg: Any) -> ConsumeAttrs:
        found = super().get_consume_attrs_from_message(msg)
        return {**found, "destination_name": subject_pattern(found["destination_name"])}

    def get_publish_destination_name_from_cmd(self, cmd: Any) -> str:
        return subject_pattern(super().get_publish_destination_name_from_cmd(cmd))


def message_metrics(service: ServiceName) -> PrometheusMiddleware[Msg, Any]:
    """The middleware that counts and measures the messages of a service's broker."""
    patterns = _SubjectPatterns()
    return PrometheusMiddleware(
        settings_provider_factory=lambda _: patterns, registry=REGISTRY, app_name=service
    )
