"""Inject faults into a marketplace under load, and check that nothing was lost, sold twice or charged twice.
`--without GUARD` removes a guard; then the check has to fail."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.resilience.chaos import disk
from tests.resilience.chaos.environment import ForeignServers
from tests.resilience.chaos.faults import CLUSTER_FAULTS, FAULTS, Fault
from tests.resilience.chaos.guards import GUARDS
from tests.resilience.chaos.market import PaymentPage, Plan
from tests.resilience.chaos.run import Report, RunParameters, chaos, summary

PAYMENT_PAGES: tuple[PaymentPage, PaymentPage] = ("token", "checkout")


def run_parameters(given: argparse.Namespace) -> RunParameters:
    """The parameters of the run.

    Raises:
        SystemExit: the options contradict each other.
    """
    every: dict[str, Fault] = dict(FAULTS)
    if given.cluster:
        # A cluster has several disks, so none is filled. Its nodes are killed and isolated instead.
        del every["full-disk"]
        every |= CLUSTER_FAULTS
    if reason := disk.why_impossible():
        say(f"Disks can't be filled: {reason}")
        every.pop("full-disk", None)
    wanted = list(every)
    if given.without:
        wanted = [name for name in GUARDS[given.without].faults if name in every]
    if given.faults is not None:
        wanted = [name for name in given.faults.split(",") if name]
    if unknown := sorted(set(wanted) - set(every)):
        sys.exit(f"No such fault: {', '.join(unknown)}. Possible faults: {', '.join(every)}")
    return RunParameters(
        plan=Plan(
            window=given.window,
            without=given.without or "",
            nodes=3 if given.cluster else 1,
            small_disks="full-disk" in wanted,
            payment_page=given.payment_page or PAYMENT_PAGES[given.seed % 2],
            instances=given.instances,
        ),
        faults={name: every[name] for name in wanted},
        seed=given.seed,
        rate=given.rate,
        seconds=given.minutes * 60,
        round_seconds=given.round,
        links=GUARDS[given.without].links if given.without else (),
        at_once=given.at_once,
        pause=(given.pause / 8, given.pause),
        # Without a guard the marketplace may never come to rest, so don't wait for long.
        rest_seconds=30.0 if given.without else 90.0,
        alone=not given.without,
    )


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="just chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1, help="decides the scenarios and the faults")
    parser.add_argument("--rate", type=float, default=4.0, help="scenarios that begin per second")
    known = ",".join([*FAULTS, *CLUSTER_FAULTS])
    parser.add_argument("--faults", help=f"separated by commas: {known}; empty for none (default: all)")
    parser.add_argument(
        "--at-once", type=int, default=3, help="faults at the same time, after each was injected alone"
    )
    parser.add_argument("--pause", type=float, default=4.0, help="maximum seconds between two faults")
    parser.add_argument("--round", type=float, default=60.0, help="seconds between two checks")
    parser.add_argument("--window", type=float, default=20.0, help="seconds to pay")
    parser.add_argument(
        "--payment-page",
        choices=PAYMENT_PAGES,
        help="where buyers pay (default: depends on the seed)",
    )
    parser.add_argument("--instances", type=int, default=1, help="of each service and of web")
    parser.add_argument("--cluster", action="store_true", help="three NATS servers")
    parser.add_argument("--without", choices=list(GUARDS), help="remove a guard")
    parser.add_argument("--keep", type=Path, help="keep data and logs in this empty folder")
    return parser.parse_args(arguments)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Exit with 0 if there are no violations. Without a guard, exit with 0 if there are."""
    given = parsed()
    planned = run_parameters(given)
    if given.keep and given.keep.exists() and any(given.keep.iterdir()):
        sys.exit(f"{given.keep} isn't empty")
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as temporary:
        try:
            report: Report = asyncio.run(chaos(planned, given.keep or Path(temporary), say))
        except ForeignServers as reason:
            sys.exit(str(reason))
    for line in summary(report):
        say(line)
    if given.without:
        is_found = GUARDS[given.without].is_detected(report.wrong)
        say(f"without {given.without}: {'found' if is_found else 'NOT FOUND'}")
        return int(not is_found)
    return int(bool(report.wrong))


if __name__ == "__main__":
    sys.exit(main())
