"""`just overload`: ask a marketplace for three times what it can do, and see whether it keeps its head.

It refuses early and says when to come again, answers health checks, keeps to its memory, loses nothing, and
is well again within ten seconds. Then a thousand clients that never finish, and purchases beside them.
Exits with 1 if anything is wrong. With WEB_PLACES=1000 nobody is kept out, and it has to fail.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.overload.meter import seconds, statuses
from tests.overload.run import MEMORY_MEGABYTES, OURS, Plan, Report, overload
from tests.overload.watch import Watch


def told(plan: Plan, report: Report) -> Iterator[str]:
    served = [sample for sample in report.overload if sample.is_served]
    yield f"can serve {report.rate:.0f} requests a second; half take {report.calm:.3f} s when there are few,"
    yield f"  and looking around and buying, from the offer to the ticket, {report.calm_visit:.2f} s"
    yield f"{plan.times:g} times that for {plan.seconds:.0f} s: {statuses(report.overload)}"
    yield f"  served, {len(served) / plan.seconds:.0f} a second: {seconds(served, lambda _: True)}"
    yield f"  refused with Retry-After: {seconds(report.overload, lambda one: one.is_refused)}"
    for room in sorted({sample.room for sample in report.overload}):
        own = [sample for sample in report.overload if sample.room == room]
        share = sum(sample.is_served for sample in own) / len(own)
        yield f"  {room}: {len(own)}, {share:.0%} served: {seconds(own, lambda one: one.is_served)}"
    yield f"  {report.crowded.told()}"
    yield f"  memory at most: {_memory(report.crowded)}"
    after = (
        "not in time" if report.recovered is None else f"{report.recovered:.1f} s after the load had ended"
    )
    yield f"  well again: {after}"
    yield f"{report.slow.most} slow clients at once, cut off {report.slow.cut_off} times"
    yield f"  {len(report.purchases)} of {plan.purchases} purchases: {_spread(report.purchases)}"
    yield f"  {report.besieged.told()}"
    yield f"  memory at most: {_memory(report.besieged)}"
    yield "checked: " + ", ".join(f"{count} {what}" for what, count in report.checked.items())
    yield from (f"WRONG {words}" for words in report.wrong[:40])
    yield f"{len(report.wrong)} things are wrong"


def _memory(watch: Watch) -> str:
    sizes = ", ".join(f"{name} {megabytes}" for name, megabytes in sorted(watch.memory.items()))
    return f"{sizes} MB; {MEMORY_MEGABYTES} MB allowed to each of {', '.join(sorted(OURS))}"


def _spread(taken: list[float]) -> str:
    return (
        f"{sorted(taken)[len(taken) // 2]:.2f} s half of them, {max(taken):.2f} s the slowest"
        if taken
        else "none"
    )


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    usual = Plan()
    parser = argparse.ArgumentParser(prog="just overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="of overload")
    parser.add_argument("--times", type=float, default=usual.times, help="what can be served")
    parser.add_argument("--slow-clients", type=int, default=usual.slow_clients)
    parser.add_argument("--purchases", type=int, default=usual.purchases, help="beside the slow clients")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--keep", type=Path, help="a folder for data and logs, which stay")
    given = parser.parse_args()
    plan = Plan(
        given.seconds,
        given.times,
        slow_clients=given.slow_clients,
        purchases=given.purchases,
        seed=given.seed,
    )
    with tempfile.TemporaryDirectory(prefix="overload-", ignore_cleanup_errors=True) as temporary:
        report = asyncio.run(overload(plan, given.keep or Path(temporary), say))
    for line in told(plan, report):
        say(line)
    return int(bool(report.wrong))


if __name__ == "__main__":
    sys.exit(main())
