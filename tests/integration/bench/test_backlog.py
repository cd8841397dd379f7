"""The benchmark of new events behind a backlog."""

from pathlib import Path

import pytest

from bench.failure import Failed
from bench.suite import Effort, Suite
from bench.workloads.backlog import measure


async def test_the_event_of_a_new_order_is_measured_without_and_behind_a_backlog(tmp_path: Path) -> None:
    effort = Effort(runs=1, seconds=0.1, backlog=300)
    figures = {figure.name: figure for figure in await measure(Suite(effort, tmp_path, print))}
    assert 0 < figures["p50"].median <= figures["p99"].median
    assert figures["p50"].ratio is not None
    assert figures["sweep"].median > 0


async def test_a_backlog_that_ends_too_early_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="use a larger one"):
        await measure(Suite(Effort(runs=1, seconds=0.3, backlog=1), tmp_path, print))
