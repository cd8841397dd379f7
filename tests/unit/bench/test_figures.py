"""Statistics, the table, and the comparison with an earlier report."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from bench.figures import Figure, Report, change, is_within_spread, quantile
from bench.load.browsers import Sighting, delays, timestamp
from bench.table import lines, number


def figure(*runs: float, name: str = "served", **more: Any) -> Figure:
    return Figure(workload="landing", name=name, unit="/s", runs=list(runs), **more)


def report(*figures: Figure, **more: Any) -> Report:
    started_at = datetime(2026, 11, 29, tzinfo=UTC)
    return Report(
        started_at=started_at, commit="abc", machine="2 CPUs", load=0.5, figures=list(figures), **more
    )


def test_the_median_is_not_affected_by_one_slow_run() -> None:
    assert figure(100, 10, 102).median == 100


def test_each_run_is_compared_with_the_baseline_next_to_it() -> None:
    # The machine was half as fast in the second run, for both.
    assert figure(100, 50, 100, baseline="bare", baseline_runs=[1000, 500, 1000]).ratio == 0.1


def test_a_baseline_with_another_number_of_runs_is_compared_by_medians() -> None:
    assert figure(2, 4, 6, baseline_runs=[2.0]).ratio == 2


def test_a_baseline_of_zero_gives_no_ratio() -> None:
    assert figure(2, baseline_runs=[0.0]).ratio is None


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 3), (0.75, 4), (0.99, 4), (1.0, 4)])
def test_a_quantile_is_one_of_the_values(share: float, expected: float) -> None:
    assert quantile([4, 1, 3, 2], share) == expected


def test_a_change_of_the_ratio_ignores_the_speed_of_the_machine() -> None:
    before = figure(100, baseline_runs=[1000.0])
    now = figure(400, baseline_runs=[2000.0])
    assert change(now, before) == 2
    assert change(figure(400), before) == 4
    assert change(figure(400), figure(0)) is None


def test_runs_that_overlap_may_differ_by_chance() -> None:
    assert is_within_spread(figure(1, 3), figure(2, 4))
    assert not is_within_spread(figure(1, 3), figure(4, 5))


def test_the_table_shows_figures_with_their_spread_ratio_and_processes() -> None:
    shown = list(
        lines(report(figure(90, 110, 100, baseline="bare", baseline_runs=[1e3], parts={"web": 4.8})))
    )
    assert "2026-11-29 00:00 UTC, commit abc, 2 CPUs, load average 0.5" in shown
    assert "landing" in shown
    row = next(line for line in shown if line.startswith("  served"))
    assert row.split() == ["served", "100", "/s", "90.0", "…", "110", "0.100", "x", "bare"]
    assert shown[-1] == "  served by process: web 4.80"


def test_the_table_shows_changes_and_new_figures() -> None:
    before = report(figure(100, 102), figure(7, 9, name="slow"))
    now = report(figure(200, 204), figure(8, 10, name="slow"), figure(1, name="new"))
    rows = {line.split()[0]: line.split() for line in lines(now, before) if line.startswith("  ")}
    assert rows["served"][-3:] == ["101", "/s", "2.00"] or rows["served"][-2:] == ["2.00", "x"]
    assert rows["slow"][-2:] == ["1.12", "x*"]
    assert rows["new"] == ["new", "1.00", "/s"]


def test_the_table_shows_why_a_workload_has_no_figures() -> None:
    assert list(lines(report(figure(1), failures={"buyers": "no purchase succeeded"})))[-1] == (
        "buyers failed: no purchase succeeded"
    )


def test_a_report_survives_a_file() -> None:
    written = report(figure(1, 2, baseline="bare", baseline_runs=[3.0], parts={"web": 1.0}))
    assert Report.model_validate_json(written.model_dump_json()) == written
    nothing = Report.model_validate_json(report(figure(float("nan"))).model_dump_json())
    assert math.isnan(nothing.figures[0].median)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.0123, "0.012"), (1.234, "1.23"), (56.78, "56.8"), (14_300.4, "14,300")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_a_screen_that_shows_a_later_change_has_also_missed_nothing() -> None:
    sent = {number: float(number) for number in range(1, 7)}  # of tickets 1, 0, 1, 0, 1, 0
    seen = [Sighting(4.0, ticket=1, change=3), Sighting(5.0, ticket=1, change=1), Sighting(9.0, 0, 4)]
    assert delays(seen, sent, tickets=2) == [3000, 1000, 7000, 5000]


def test_a_change_that_was_refused_is_not_expected_on_a_screen() -> None:
    assert delays([Sighting(4.0, ticket=0, change=4)], {4: 3.0}, tickets=2) == [1000]


def test_timestamps_of_nats_may_have_any_number_of_digits() -> None:
    assert timestamp("1970-01-01T00:00:01.5Z") == 1.5
    assert timestamp("1970-01-01T00:00:01Z") == 1
    assert timestamp("1970-01-01T00:00:01.123456789Z") == pytest.approx(1.123456789)
