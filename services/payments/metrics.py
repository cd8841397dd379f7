"""Prometheus metrics of payments."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, get_args

from prometheus_client import Counter, Gauge

from contracts.events import PaymentStatus
from contracts.wire import now
from services.payments.money_back import MoneyBack

Outcome = Literal["authorized", "captured", "declined", "voided", "refunded", "refund_failed"]

_OUTCOMES: dict[PaymentStatus, Outcome] = {
    "authorized": "authorized",
    "captured": "captured",
    "failed": "declined",
    "voided": "voided",
    "refunded": "refunded",
}

LookResult = Literal["changed", "unchanged", "failed"]

PAYMENTS = Counter(
    "stagedoor_payments", "What payments became, counted by the process that wrote it", ["outcome"]
)
LOOKS = Counter("stagedoor_reconciler_looks", "Looks of the reconciler at open payments", ["result"])
UNDECIDED = Gauge(
    "stagedoor_payments_undecided", "Authorized payments that are neither captured nor voided, up to 1,000"
)
UNDECIDED_AGE = Gauge(
    "stagedoor_payments_oldest_undecided_age_seconds",
    "Time since the oldest of the undecided payments was authorized, or 0",
)

for _outcome in get_args(Outcome):
    PAYMENTS.labels(_outcome)
for _result in get_args(LookResult):
    LOOKS.labels(_result)


def count_outcome(before: MoneyBack, after: MoneyBack) -> None:
    """Count what a write of this process has changed."""
    if after.status != before.status and (outcome := _OUTCOMES.get(after.status)):
        PAYMENTS.labels(outcome).inc()
    if after.refund_failed and not before.refund_failed:
        PAYMENTS.labels("refund_failed").inc()


def show_undecided(times: Sequence[datetime]) -> None:
    """Show the payments that were authorized at these times, and are neither captured nor voided."""
    UNDECIDED.set(len(times))
    UNDECIDED_AGE.set(max(0.0, (now() - min(times)).total_seconds()) if times else 0.0)
