"""Measure the status and the duration of each request."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import aiohttp

from web.admission.policy import limiter_of


@dataclass(frozen=True)
class Sample:
    limiter: str
    began: float
    """When the request was sent, on the monotonic clock."""
    seconds: float
    status: int
    """The HTTP status, or 0 if there was no answer."""
    has_retry_after: bool = False

    @property
    def is_served(self) -> bool:
        """Whether the request was handled. A 409 for a reserved ticket counts too."""
        return 0 < self.status < 500 and not self.is_refused

    @property
    def is_refused(self) -> bool:
        """Whether the request was rejected with `Retry-After`."""
        return self.status in (429, 503) and self.has_retry_after


@dataclass
class Meter:
    samples: list[Sample] = field(default_factory=list)

    def trace(self) -> aiohttp.TraceConfig:
        """The configuration with which a client session measures every request."""
        config = aiohttp.TraceConfig()

        async def begin(_: Any, context: SimpleNamespace, params: aiohttp.TraceRequestStartParams) -> None:
            context.began = time.monotonic()

        async def end(_: Any, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
            answer = params.response
            self._add(params, context.began, answer.status, "Retry-After" in answer.headers)

        async def fail(_: Any, context: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams) -> None:
            self._add(params, context.began, 0, False)

        config.on_request_start.append(begin)
        config.on_request_end.append(end)
        config.on_request_exception.append(fail)
        return config

    def since(self, began: float) -> list[Sample]:
        return [sample for sample in self.samples if sample.began >= began]

    def _add(self, params: Any, began: float, status: int, has_retry_after: bool) -> None:
        limiter = limiter_of(params.method, params.url.path) or "none"
        self.samples.append(Sample(limiter, began, time.monotonic() - began, status, has_retry_after))


def quantile(values: Iterable[float], share: float) -> float:
    """A quantile of the values; 0 if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def seconds(samples: Sequence[Sample], which: Callable[[Sample], bool]) -> str:
    chosen = [sample.seconds for sample in samples if which(sample)]
    return (
        f"{quantile(chosen, 0.5):.3f} / {quantile(chosen, 0.95):.3f} / {max(chosen, default=0):.3f} s"
        f" (median, 95th percentile, maximum)"
    )


def statuses(samples: Iterable[Sample]) -> str:
    counted = Counter(sample.status for sample in samples)
    return ", ".join(f"{count} x {status or 'no answer'}" for status, count in sorted(counted.items()))
