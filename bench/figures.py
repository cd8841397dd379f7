"""The results of a benchmark: figures, each with its runs and a baseline from the same runs."""

import statistics
from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict


class Figure(BaseModel):
    """One measured quantity of a workload."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    workload: str
    name: str
    unit: str
    runs: list[float]
    parts: dict[str, float] = {}
    """The median share of each process in `median`."""
    baseline: str | None = None
    """What the figure is compared with."""
    baseline_runs: list[float] = []
    """The same quantity of the baseline. If there are as many as runs, each belongs to the run next to it."""

    @property
    def key(self) -> tuple[str, str]:
        return self.workload, self.name

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    @property
    def ratio(self) -> float | None:
        """The figure in multiples of its baseline.

        Run and baseline follow each other, so that their ratio depends little on what else the machine does.
        """
        if not self.baseline_runs or not all(self.baseline_runs):
            return None
        if len(self.baseline_runs) != len(self.runs):
            return self.median / statistics.median(self.baseline_runs)
        return statistics.median(run / base for run, base in zip(self.runs, self.baseline_runs, strict=True))


class Report(BaseModel):
    """The figures of one run of the suite on one machine."""

    started_at: datetime
    commit: str
    machine: str
    load: float
    """The load average (1 minute) when the suite started, which counts other programs."""
    figures: list[Figure] = []
    failures: dict[str, str] = {}
    """Why these workloads have no figures."""

    def find(self, key: tuple[str, str]) -> Figure | None:
        return next((figure for figure in self.figures if figure.key == key), None)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that is at least as large as this share of the values. NaN if there are none."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")


def change(now: Figure, before: Figure) -> float | None:
    """How many times the earlier figure the new one is.

    Compares the ratios to the baseline if both figures have one, because then a faster or busier machine
    makes no difference. None if there is nothing to divide by.
    """
    if now.ratio is not None and before.ratio:
        return now.ratio / before.ratio
    return now.median / before.median if before.median else None


def is_within_spread(now: Figure, before: Figure) -> bool:
    """Whether the runs of both figures overlap, so that the change may be chance."""
    return min(now.runs) <= max(before.runs) and min(before.runs) <= max(now.runs)
