"""Prometheus metrics of mail."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, get_args

from prometheus_client import Counter, Gauge

from contracts.wire import now

Result = Literal["sent", "retried", "failed", "dropped"]

ATTEMPTS = Counter("stagedoor_mail_attempts", "Attempts to send a message", ["result"])
for _result in get_args(Result):
    ATTEMPTS.labels(_result)
QUEUED = Gauge("stagedoor_mail_queued", "Messages that aren't sent yet, up to 10,000")
QUEUED_AGE = Gauge("stagedoor_mail_oldest_queued_age_seconds", "Time since the oldest of them was made, or 0")

MAX_COUNTED = 10_000


def show_queued(times: Sequence[datetime]) -> None:
    """Show the messages that were made at these times and aren't sent yet."""
    QUEUED.set(len(times))
    QUEUED_AGE.set(max(0.0, (now() - min(times)).total_seconds()) if times else 0.0)
