"""Send bad input to every service, form and subscriber: `just fuzz --examples 200 --seed 7`."""

import argparse
import asyncio
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox.processes import ROOT
from settings import SERVICES
from tests.resilience.fuzz.documents import Findings
from tests.resilience.fuzz.test_documents import examine_service
from tests.resilience.fuzz.test_events import all_live, publish_bad_events
from tests.resilience.fuzz.test_forms import examine_forms
from tests.support.stack import Stack, stagedoor

CORPUS = (
    *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
    *(f"tests/resilience/fuzz/test_{name}.py" for name in ("bodies", "requests", "events")),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="just fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="of each kind, per operation")
    parser.add_argument("--seed", type=int, help="repeats a run")
    given = parser.parse_args()
    seed = secrets.randbelow(2**32) if given.seed is None else given.seed
    sys.stdout.write(f"seed {seed}\n")
    with TemporaryDirectory() as folder:
        failed = asyncio.run(run(Path(folder) / "data", given.examples, seed))
    sys.stdout.write("the corpus tests, on another marketplace\n")
    sys.stdout.flush()
    return max(failed, min(subprocess.run(CORPUS, cwd=ROOT, check=False).returncode, 1))  # noqa: S603 - ours


async def run(folder: Path, examples: int, seed: int) -> int:
    """Return 1 if there were failures, else 0."""
    failures = 0
    async with stagedoor(folder) as stack:
        for service in SERVICES:
            if service != "expiration":  # it has no API
                failures += await _reported(stack, service, examine_service, stack, service, examples, seed)
        failures += await _reported(stack, "forms", examine_forms, stack, examples, seed)
        dead = await publish_bad_events(stack, every=1)
        sys.stdout.write(f"{'events':10} {dead:6} dead letters, one per bad event and consumer\n")
    sys.stdout.write(f"{failures} failures\n")
    return min(failures, 1)


async def _reported(stack: Stack, name: str, look: Callable[..., Findings], *arguments: object) -> int:
    """Print a summary and each failure. Return the number of failures."""
    began = time.monotonic()
    found = await asyncio.to_thread(look, *arguments)
    await all_live(stack)
    statuses = ", ".join(f"{count} x {status}" for status, count in sorted(found.statuses.items()))
    sys.stdout.write(
        f"{name:10} {found.requests:6} requests, {found.checks} checks, {found.links} links, "
        f"{time.monotonic() - began:.0f} s: {statuses}\n"
    )
    for title, words in found.failures.items():
        sys.stdout.write(f"\n{title}\n{words}\n\n")
    sys.stdout.flush()
    return len(found.failures)


if __name__ == "__main__":
    sys.exit(main())
