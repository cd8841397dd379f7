"""Alerts for operators: errors in the log, counted by kind."""

import logging

from prometheus_client import Counter

log = logging.getLogger(__name__)

ALERTS = Counter("alerts", "Problems that need an operator's attention", ["kind"])


def alert(kind: str, message: str, *args: object) -> None:
    """Log an error and count it. `kind` is a label of the metric alerts_total."""
    ALERTS.labels(kind).inc()
    log.error(message, *args)
