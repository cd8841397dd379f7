"""Run many random sagas and check the invariants after each. `--without GUARD` has to find a violation."""

import argparse
import logging
import secrets
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.resilience.saga.guards import GUARDS
from tests.resilience.saga.machine import run
from tests.resilience.saga.world import World


def main() -> int:
    parser = argparse.ArgumentParser(prog="just saga", description=__doc__)
    parser.add_argument("sagas", nargs="?", type=int, default=1000)
    parser.add_argument("--seed", type=int, help="repeats a run")
    parser.add_argument("--without", choices=list(GUARDS), help="a guard to remove")
    given = parser.parse_args()
    seed = secrets.randbelow(2**32) if given.seed is None else given.seed
    logging.disable()
    sys.stdout.write(f"seed {seed}\n")
    with TemporaryDirectory() as folder, World(Path(folder) / "data").opened() as world:
        guard = GUARDS[given.without](world) if given.without else nullcontext()
        began, violation = time.monotonic(), None
        with guard:
            try:
                run(world, sagas=given.sagas, seed=seed)
            except AssertionError as broken:
                violation = broken
        _report(world, time.monotonic() - began, violation)
    return 1 if violation else 0


def _report(world: World, seconds: float, violation: AssertionError | None) -> None:
    ends, outcomes = world.ends.most_common(), world.outcomes.most_common()
    sys.stdout.write(f"{world.sagas} sagas in {seconds:.0f} s, {sum(world.ends.values())} effects:\n")
    sys.stdout.writelines(f"{count:8} ended {end}\n" for end, count in ends)
    sys.stdout.write(f"{sum(world.outcomes.values())} orders:\n")
    sys.stdout.writelines(f"{count:8} {outcome}\n" for outcome, count in outcomes)
    sys.stdout.write(f"first violation: {violation}\n" if violation else "0 violations\n")
    if violation:
        sys.stdout.writelines(f"    {note}\n" for note in getattr(violation, "__notes__", []))


if __name__ == "__main__":
    sys.exit(main())
