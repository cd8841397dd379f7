"""Attack a marketplace while ordinary visitors sign in, buy and upload pictures, and print how they fare.

Exits with 1 if less than 99 % of the visits of a kind succeed during an attack, or if the 95th percentile of
their duration is two seconds or more.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp

from settings import Settings
from tests.resilience.abuse.attacks import ATTACKS, Attack, Target
from tests.resilience.abuse.visitors import RATES, Crowd, crowd
from tests.support.stack import stagedoor

MIN_SUCCESS = 0.99
MAX_P95_SECONDS = 2.0
WARM_UP_SECONDS = 5.0


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def name_of(attack: Attack | None) -> str:
    return "no attack" if attack is None else attack.__name__.replace("_", " ")


def p95(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))] if ordered else float("inf")


async def measure(people: Crowd, target: Target, attack: Attack | None, seconds: float) -> bool:
    """Print one row of the table. Returns whether the visitors fared well enough."""
    target.statuses = Counter()
    running = asyncio.ensure_future(attack(target)) if attack else None
    await people.visit(seconds)
    if running is not None:
        if running.done():
            running.result()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    cells, is_good = [], True
    for kind in RATES:
        done, failed = people.seconds[kind], people.failures[kind]
        share = len(done) / (len(done) + len(failed))
        is_good = is_good and share >= MIN_SUCCESS and p95(done) < MAX_P95_SECONDS
        cells.append(f"{share:.0%}, {p95(done):.2f} s")
    answers = ", ".join(f"{count} x {status or 'none'}" for status, count in sorted(target.statuses.items()))
    say(f"| {name_of(attack)} | {' | '.join(cells)} | {answers} |")
    for kind, reasons in people.failures.items():
        for reason, count in Counter(reasons).most_common(2):
            say(f"  {kind}: {count} x {reason}")
    return is_good


async def run(folder: Path, chosen: Sequence[Attack], seconds: float) -> bool:
    limits = {
        name.upper(): str(field.default)
        for name, field in Settings.model_fields.items()
        if name.startswith(("rate_", "max_fail", "alarm_", "reserve_cool", "max_ticket_hold"))
    }
    async with (
        stagedoor(folder, variants=False, fast_passwords=False, **limits) as stack,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=60),
        ) as http,
    ):
        people = await crowd(http, stack.web)
        await people.visit(WARM_UP_SECONDS)
        say(f"| attack | {' | '.join(f'{kind}: served, p95' for kind in RATES)} | answers to the attacker |")
        say("|---" * (len(RATES) + 2) + "|")
        good = []
        for attack in (None, *chosen):
            target = Target(http, stack.web, people.buyers[0].email)
            good.append(await measure(people, target, attack, seconds))
        return all(good)


def main() -> int:
    names = {name_of(attack).replace(" ", "-"): attack for attack in ATTACKS}
    parser = argparse.ArgumentParser(prog="just abuse", description=__doc__)
    parser.add_argument("attacks", nargs="*", choices=[*names, []], help="by default all")
    parser.add_argument("--seconds", type=float, default=20.0, help="duration of each attack")
    parser.add_argument("--keep", type=Path, help="keep data and logs in this folder")
    given = parser.parse_args()
    chosen = [names[name] for name in given.attacks] or list(ATTACKS)
    with tempfile.TemporaryDirectory(prefix="abuse-", ignore_cleanup_errors=True) as temporary:
        return int(not asyncio.run(run(given.keep or Path(temporary), chosen, given.seconds)))


if __name__ == "__main__":
    sys.exit(main())
