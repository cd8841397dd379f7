"""`just chaos`: break a marketplace in every way, for as long as you like, and check that nothing was lost,
sold twice or charged twice. `--without GUARD` takes a guard away, and the checker has to notice."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.chaos import disk
from tests.chaos.faults import CLUSTER_FAULTS, FAULTS, Fault
from tests.chaos.guards import GUARDS
from tests.chaos.market import Plan
from tests.chaos.run import Course, Report, chaos, told


def course(given: argparse.Namespace) -> Course:
    """What the options mean together.

    Raises:
        SystemExit: they don't fit.
    """
    every: dict[str, Fault] = dict(FAULTS)
    if given.cluster:
        # One node's disk isn't the cluster's; what befalls a cluster is that nodes go and come.
        del every["full-disk"]
        every |= CLUSTER_FAULTS
    if reason := disk.possible():
        say(f"Disks stay as they are: {reason}")
        every.pop("full-disk", None)
    wanted = list(every)
    if given.without:
        wanted = [name for name in GUARDS[given.without].faults if name in every]
    if given.faults is not None:
        wanted = [name for name in given.faults.split(",") if name]
    if unknown := sorted(set(wanted) - set(every)):
        sys.exit(f"No such fault: {', '.join(unknown)}. There are {', '.join(every)}")
    return Course(
        plan=Plan(
            window=given.window,
            without=given.without or "",
            nodes=3 if given.cluster else 1,
            small_disks="full-disk" in wanted,
        ),
        faults={name: every[name] for name in wanted},
        seed=given.seed,
        rate=given.rate,
        seconds=given.minutes * 60,
        round_seconds=given.round,
        links=GUARDS[given.without].links if given.without else (),
        at_once=given.at_once,
        pause=(given.pause / 8, given.pause),
        # What can't come right needn't be waited for as long as what must.
        rest_seconds=30.0 if given.without else 90.0,
        alone=not given.without,
    )


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="just chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1, help="the same people and the same blows again")
    parser.add_argument("--rate", type=float, default=4.0, help="stories that people begin a second")
    known = ",".join([*FAULTS, *CLUSTER_FAULTS])
    parser.add_argument("--faults", help=f"instead of all: {known}; an empty text for none")
    parser.add_argument(
        "--at-once", type=int, default=3, help="faults at the same time, once each struck alone"
    )
    parser.add_argument("--pause", type=float, default=4.0, help="seconds from a fault to the next, at most")
    parser.add_argument("--round", type=float, default=60.0, help="seconds until everything is checked")
    parser.add_argument("--window", type=float, default=20.0, help="seconds to pay")
    parser.add_argument("--cluster", action="store_true", help="three NATS servers")
    parser.add_argument("--without", choices=list(GUARDS), help="take a guard away")
    parser.add_argument("--keep", type=Path, help="an empty folder for data and logs, which stay")
    return parser.parse_args(arguments)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """0: all is well; without a guard, 0: it was noticed."""
    given = parsed()
    planned = course(given)
    if given.keep and given.keep.exists() and any(given.keep.iterdir()):
        sys.exit(f"{given.keep} isn't empty: what is there would be taken for this run's")
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as temporary:
        report: Report = asyncio.run(chaos(planned, given.keep or Path(temporary), say))
    for line in told(report):
        say(line)
    if given.without:
        is_noticed = GUARDS[given.without].is_missed(report.wrong)
        say(f"without {given.without}: {'noticed' if is_noticed else 'NOT NOTICED'}")
        return int(not is_noticed)
    return int(bool(report.wrong))


if __name__ == "__main__":
    sys.exit(main())
