"""`just bench` measures the marketplace, prints a table, and writes the figures as JSON."""

import argparse
import asyncio
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import table
from bench.failure import Failed
from bench.figures import Report
from bench.market import market
from bench.suite import QUICK, Effort, Suite
from bench.workloads import WORKLOADS
from bench.wrk import find_wrk
from sandbox.log import write
from sandbox.processes import ROOT

MAX_PAYMENTS = 1_000_000


async def run(names: Sequence[str], effort: Effort, folder: Path, file: Path | None) -> Report:
    """Measure these workloads, on a marketplace with its data in `folder`.

    Args:
        file: where to write the report after each workload, so that an interrupted run isn't lost.
    """
    report = new_report()
    suite = Suite(effort, folder, write, failures=report.failures)
    async with AsyncExitStack() as stack:
        for name in names:
            workload = WORKLOADS[name]
            if workload.needs_market and suite.running is None:
                write("Starting a marketplace ...")
                suite.running = await stack.enter_async_context(market(folder / "data"))
            write(f"{name}: {workload.about}")
            try:
                report.figures += await workload.measure(suite)
            except (Failed, RuntimeError) as reason:  # a process that doesn't start raises RuntimeError
                suite.failures[name] = str(reason).partition("\n")[0]
            if file is not None:
                file.write_text(report.model_dump_json(indent=2) + "\n")
    return report


def new_report() -> Report:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return Report(
        started_at=datetime.now(UTC),
        commit=commit.stdout.strip() or "unknown",
        machine=f"{os.cpu_count()} CPUs, Python {platform.python_version()}",
        load=os.getloadavg()[0],
    )


def show(lines: Iterable[str]) -> None:
    for line in lines:
        write(line)


def parser() -> argparse.ArgumentParser:
    usual = Effort()
    found = argparse.ArgumentParser(
        prog="just bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.epilog = "workloads:\n" + "\n".join(f"  {name:18} {item.about}" for name, item in WORKLOADS.items())
    found.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="all by default; see below")
    found.add_argument("--runs", type=int, default=None, help=f"of each load, {usual.runs} by default")
    found.add_argument(
        "--seconds", type=float, default=None, help=f"of each run, {usual.seconds:g} by default"
    )
    found.add_argument("--payments", type=int, help="with which the Stripe sandbox is filled")
    found.add_argument(
        "--backlog", type=int, help=f"unpublished events of `backlog`, {usual.backlog:,} by default"
    )
    found.add_argument("--messages", type=int, help=f"queued emails, {usual.messages:,} by default")
    found.add_argument("--quick", action="store_true", help="one short run of each, to try the suite")
    found.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    found.add_argument(
        "--compare", type=Path, metavar="FILE", help="show the changes since this file was written"
    )
    return found


def effort_of(given: argparse.Namespace) -> Effort:
    chosen = {name: getattr(given, name) for name in ("runs", "seconds", "payments", "backlog", "messages")}
    return replace(
        QUICK if given.quick else Effort(),
        **{name: value for name, value in chosen.items() if value is not None},
    )


def main() -> int:
    arguments = parser()
    given = arguments.parse_args()
    names = given.workloads or list(WORKLOADS)
    effort = effort_of(given)
    if unknown := set(names) - WORKLOADS.keys():
        arguments.error(f"there is no workload {', '.join(sorted(unknown))}")
    if (
        effort.runs < 1
        or effort.seconds < 1
        or not 1 <= effort.payments <= MAX_PAYMENTS
        or effort.backlog < 1
        or effort.messages < 1
    ):
        arguments.error(
            f"runs, seconds, backlog and messages must be at least 1, and payments from 1 to {MAX_PAYMENTS:,}"
        )
    before = Report.model_validate_json(given.compare.read_text()) if given.compare else None
    try:
        find_wrk()
        with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
            report = asyncio.run(run(names, effort, Path(folder), given.json))
    except Failed as reason:
        write(str(reason))
        return 1
    show(["", *table.lines(report, before)])
    return int(bool(report.failures))


if __name__ == "__main__":
    sys.exit(main())
