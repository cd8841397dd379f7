"""Prometheus metrics of the messages that a service receives and publishes.

A label never contains an id. Prometheus keeps every series, and a series for each order would let `/metrics`
grow without limit.
"""

from typing import Any

from faststream.nats.prometheus.provider import NatsMetricsSettingsProvider
from faststream.prometheus import ConsumeAttrs, PrometheusMiddleware
from nats.aio.msg import Msg
from prometheus_client import REGISTRY

from settings import ServiceName


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
