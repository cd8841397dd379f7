"""Alerts for operators: errors in the log, counted by kind."""

import logging
from typing import Literal, get_args

from prometheus_client import Counter

log = logging.getLogger(__name__)

AlertKind = Literal[
    "amount",
    "discarded",
    "disputed",
    "failed_sign_ins",
    "key_mismatch",
    "mail_failed",
    "mail_refused",
    "passkey_copied",
    "payment_amount",
    "payout_failed",
    "refund_failed",
    "refused",
    "seller_owes",
    "stream_full",
    "unknown_value",
    "unpaid",
]

ALERTS = Counter("stagedoor_alerts", "Problems that need an operator's attention", ["kind"])
for _kind in get_args(AlertKind):
    ALERTS.labels(_kind)  # Prometheus sees an increase only of a series that was there before


def alert(kind: AlertKind, message: str, *args: object) -> None:
    """Log an error and count it. `kind` is a label of the metric stagedoor_alerts_total."""
    ALERTS.labels(kind).inc()
    log.error(message, *args)
