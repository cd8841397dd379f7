"""Prometheus metrics of requests to Stripe."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Literal, get_args

from prometheus_client import Counter, Gauge, Histogram

Work = Literal["buyers", "background"]
"""Who waits for the answer."""

Result = Literal["answered", "rejected", "rate_limited", "server_error", "unanswered"]
"""Status below 400; another 4xx; 429; 5xx; no complete answer."""

REQUESTS = Counter(
    "stagedoor_stripe_requests", "Requests to Stripe, with each repetition", ["work", "result"]
)
DURATION = Histogram(
    "stagedoor_stripe_request_duration_seconds",
    "Time until Stripe has answered, or until the request failed",
    ["work"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
WAITED = Counter(
    "stagedoor_stripe_budget_wait_seconds", "Time for which background work waited for the budget of requests"
)
PAUSED = Gauge("stagedoor_stripe_paused", "1 while background work pauses because Stripe answered 429")

for _work in get_args(Work):
    DURATION.labels(_work)
    for _result in get_args(Result):
        REQUESTS.labels(_work, _result)


@dataclass
class Answer:
    """What Stripe answered."""

    status: int | None = None
    """None if there was no complete answer."""

    @property
    def result(self) -> Result:
        if self.status is None:
            return "unanswered"
        if self.status == 429:
            return "rate_limited"
        if self.status >= 500:
            return "server_error"
        return "rejected" if self.status >= 400 else "answered"


@contextmanager
def measured(work: Work) -> Iterator[Answer]:
    """Count and time the request of the block, which sets the status of the answer."""
    answer, began = Answer(), perf_counter()
    try:
        yield answer
    finally:
        DURATION.labels(work).observe(perf_counter() - began)
        REQUESTS.labels(work, answer.result).inc()
