"""What a workload is, and what it can use to measure."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bench.figures import Figure
from bench.market import Market

T = TypeVar("T")


@dataclass(frozen=True)
class Effort:
    runs: int = 3
    seconds: float = 3.0
    """The duration of one run of a load."""
    tickets: tuple[int, ...] = (100, 1_000, 10_000, 100_000)
    orders: tuple[int, ...] = (10, 100, 1_000, 10_000)
    payments: int = 1_000
    """Payments with which the Stripe sandbox is filled."""
    browsers: int = 500
    pages: int = 1_000
    """Open Checkout pages."""
    backlog: int = 100_000
    """Unpublished events."""
    messages: int = 10_000
    """Queued emails."""


QUICK = Effort(
    runs=1,
    seconds=1.0,
    tickets=(100, 1_000),
    orders=(10, 100),
    payments=100,
    browsers=50,
    pages=50,
    backlog=5_000,
    messages=500,
)


@dataclass
class Suite:
    """The running suite."""

    effort: Effort
    folder: Path
    """An empty folder for data."""
    say: Callable[[str], None]
    running: Market | None = None
    failures: dict[str, str] = field(default_factory=dict)
    """Why there are no figures of a workload, or of one of its sizes."""

    @property
    def market(self) -> Market:
        assert self.running is not None, "this workload has to set needs_market"
        return self.running


@dataclass(frozen=True)
class Workload:
    about: str
    measure: Callable[[Suite], Awaitable[list[Figure]]]
    needs_market: bool = True


async def with_cpu(market: Market, work: Callable[[], Awaitable[T]]) -> tuple[T, dict[str, float]]:
    """The result, and the CPU time in seconds that each process used meanwhile."""
    before = market.cpu()
    result = await work()
    after = market.cpu()
    return result, {name: after[name] - before.get(name, 0.0) for name in after}


def shares(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each process over all runs."""
    names = {name for run in runs for name in run}
    return {name: sorted(run.get(name, 0.0) for run in runs)[len(runs) // 2] for name in sorted(names)}
