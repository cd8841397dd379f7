"""How each request was answered, when, and after how long."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import aiohttp

from web.door import room_of


@dataclass(frozen=True)
class Sample:
    room: str
    began: float
    """By the monotonic clock."""
    seconds: float
    status: int
    """0: there was no answer."""
    says_when: bool = False
    """Whether there was a Retry-After."""

    @property
    def is_served(self) -> bool:
        """A no that has a reason, such as that a ticket is reserved, is service too."""
        return 0 < self.status < 500 and not self.is_refused

    @property
    def is_refused(self) -> bool:
        """Told to come again, and when."""
        return self.status in (429, 503) and self.says_when


@dataclass
class Meter:
    samples: list[Sample] = field(default_factory=list)

    def trace(self) -> aiohttp.TraceConfig:
        """Has every request of a session measured."""
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

    def _add(self, params: Any, began: float, status: int, says_when: bool) -> None:
        room = room_of(params.method, params.url.path) or "past the door"
        self.samples.append(Sample(room, began, time.monotonic() - began, status, says_when))


def quantile(values: Iterable[float], share: float) -> float:
    """0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def seconds(samples: Sequence[Sample], which: Callable[[Sample], bool]) -> str:
    chosen = [sample.seconds for sample in samples if which(sample)]
    return (
        f"{quantile(chosen, 0.5):.3f} / {quantile(chosen, 0.95):.3f} / {max(chosen, default=0):.3f} s"
        f" (half, 95 of 100, worst)"
    )


def statuses(samples: Iterable[Sample]) -> str:
    counted = Counter(sample.status for sample in samples)
    return ", ".join(f"{count} x {status or 'no answer'}" for status, count in sorted(counted.items()))
