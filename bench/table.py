"""A report as a text table, next to an earlier report if there is one."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from bench.figures import Figure, Report, change, is_within_spread

HEAD = ("figure", "median", "lowest … highest", "ratio", "baseline")
COMPARED = ("before", "change")
SMALL = 0.005
"""Processes with a smaller share than this of a figure aren't listed."""


def lines(report: Report, before: Report | None = None) -> Iterator[str]:
    """The lines of the table. Figures with an asterisk have changed within their spread."""
    yield (
        f"{report.started_at:%Y-%m-%d %H:%M} UTC, commit {report.commit}, {report.machine},"
        f" load average {report.load:.1f}"
    )
    if before is not None:
        yield f"before: {before.started_at:%Y-%m-%d %H:%M} UTC, commit {before.commit}, {before.machine}"
        yield "change: of the ratio where there is one; * within the spread of the runs"
    head = HEAD + COMPARED * (before is not None)
    groups = [
        (workload, [cells(figure, before) for figure in figures])
        for workload, figures in groupby(report.figures, lambda figure: figure.workload)
    ]
    rows = [head, *(row for _, group in groups for row in group)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    yield _line(head, widths)
    for workload, group in groups:
        yield ""
        yield workload
        yield from (_line(row, widths) for row in group)
        yield from _parts(report, workload)
    for name, reason in report.failures.items():
        yield ""
        yield f"{name} failed: {reason}"


def cells(figure: Figure, before: Report | None) -> tuple[str, ...]:
    ratio = "" if figure.ratio is None else f"{number(figure.ratio)} x"
    spread = f"{number(min(figure.runs))} … {number(max(figure.runs))}" if len(figure.runs) > 1 else ""
    shown = (figure.name, f"{number(figure.median)} {figure.unit}", spread, ratio, figure.baseline or "")
    if before is None:
        return shown
    old = before.find(figure.key)
    if old is None:
        return (*shown, "", "")
    times = change(figure, old)
    mark = "*" if is_within_spread(figure, old) else ""
    return (
        *shown,
        f"{number(old.median)} {old.unit}",
        "" if times is None else f"{number(times)} x{mark}",
    )


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def _parts(report: Report, workload: str) -> Iterator[str]:
    for figure in report.figures:
        if figure.workload == workload and figure.parts:
            shares = sorted(figure.parts.items(), key=lambda part: -part[1])
            shown = [f"{name} {number(share)}" for name, share in shares if share >= SMALL]
            yield f"  {figure.name} by process: {', '.join(shown)}"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *rest = (
        text.ljust(width) if column in (0, 4) else text.rjust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(["", name, *rest]).rstrip()
