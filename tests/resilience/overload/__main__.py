"""Overload a marketplace with three times the load that it can serve, then connect a thousand slow clients.

The marketplace has to refuse early with Retry-After, answer health checks, stay within its memory limits,
lose nothing, and recover within ten seconds. Purchases have to work while slow clients are connected. Exits
with 1 if a check fails. With WEB_MAX_REQUESTS=1000 there is no admission control, and checks have to fail.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.resilience.overload.meter import seconds, statuses
from tests.resilience.overload.run import MEMORY_MEGABYTES, OURS, Plan, Report, overload
from tests.resilience.overload.watch import Watch


def summary(plan: Plan, report: Report) -> Iterator[str]:
    served = [sample for sample in report.overload if sample.is_served]
    yield f"sustainable rate: {report.rate:.0f} requests a second; light load: median {report.calm:.3f} s,"
    yield f"  a visit (browse and buy) {report.calm_visit:.2f} s"
    yield f"{plan.times:g} times that for {plan.seconds:.0f} s: {statuses(report.overload)}"
    yield f"  served, {len(served) / plan.seconds:.0f} a second: {seconds(served, lambda _: True)}"
    yield f"  refused with Retry-After: {seconds(report.overload, lambda one: one.is_refused)}"
    for limiter in sorted({sample.limiter for sample in report.overload}):
        own = [sample for sample in report.overload if sample.limiter == limiter]
        share = sum(sample.is_served for sample in own) / len(own)
        yield f"  {limiter}: {len(own)}, {share:.0%} served: {seconds(own, lambda one: one.is_served)}"
    yield f"  {report.during_overload.summary()}"
    yield f"  maximum memory: {_memory(report.during_overload)}"
    after = "not in time" if report.recovered is None else f"{report.recovered:.1f} s after the overload"
    yield f"  recovered: {after}"
    yield f"{report.slow.most} slow clients at the same time, disconnected {report.slow.cut_off} times"
    yield f"  {len(report.purchases)} of {plan.purchases} purchases: {_spread(report.purchases)}"
    yield f"  {report.with_slow_clients.summary()}"
    yield f"  maximum memory: {_memory(report.with_slow_clients)}"
    yield "checked: " + ", ".join(f"{count} {what}" for what, count in report.checked.items())
    yield from (f"WRONG {words}" for words in report.wrong[:40])
    yield f"{len(report.wrong)} problems"


def _memory(watch: Watch) -> str:
    sizes = ", ".join(f"{name} {megabytes}" for name, megabytes in sorted(watch.memory.items()))
    return f"{sizes} MB; limit {MEMORY_MEGABYTES} MB for each of {', '.join(sorted(OURS))}"


def _spread(taken: list[float]) -> str:
    return f"median {sorted(taken)[len(taken) // 2]:.2f} s, slowest {max(taken):.2f} s" if taken else "none"


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    usual = Plan()
    parser = argparse.ArgumentParser(prog="just overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="duration of the overload")
    parser.add_argument("--times", type=float, default=usual.times, help="multiple of the sustainable rate")
    parser.add_argument("--slow-clients", type=int, default=usual.slow_clients)
    parser.add_argument("--purchases", type=int, default=usual.purchases, help="with slow clients")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--keep", type=Path, help="keep data and logs in this folder")
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
    for line in summary(plan, report):
        say(line)
    return int(bool(report.wrong))


if __name__ == "__main__":
    sys.exit(main())
