"""What an operator has to look at: in the log as an error, and counted."""

import logging

from prometheus_client import Counter

log = logging.getLogger(__name__)

ALERTS = Counter("payments_alerts", "What an operator has to look at", ["kind"])


def alert(kind: str, message: str, *args: object) -> None:
    """Tell operators; `kind` is a label of the metric payments_alerts_total."""
    ALERTS.labels(kind).inc()
    log.error(message, *args)
