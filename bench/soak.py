"""`just soak` loads a marketplace for an hour and shows whether memory grows.

Each round takes a minute: visitors arrive at a constant rate, browsers open pages with live updates and close
them, and buyers buy. The memory of each process is measured after each round.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import table
from bench.__main__ import new_report, show
from bench.figures import Figure, quantile
from bench.load.plans import Arrivals, Arrived, Bought, Browsers, Buyers, Watched
from bench.load.process import browsers, buyers, visitors
from bench.market import Market, cookie_of, market
from sandbox.log import write
from tests.support.processes import memory_of

ROUND_SECONDS = 50.0
"""Seconds of load in a round. Starting the load generators takes the rest of the minute."""
VISITORS, CHANGES = 20.0, 1.0
"""Per second."""
BROWSERS, SHOWN = 100, 20
PURCHASES = 40
BUYERS = 2


@dataclass
class Soak:
    memory: list[Mapping[str, int]] = field(default_factory=list)
    """The megabytes of each process after each round."""
    arrived: list[Arrived] = field(default_factory=list)
    watched: list[Watched] = field(default_factory=list)
    bought: list[Bought] = field(default_factory=list)

    async def round(self, place: Market, seconds: float) -> None:
        """Load the marketplace once."""
        tickets = await place.list_tickets(SHOWN + PURCHASES)
        visits = Arrivals(
            url=place.web,
            paths=["/", f"/tickets/{place.ticket}", "/?category=music&sort=price", "/api/tickets"],
            rate=VISITORS,
            seconds=seconds,
        )
        screens = Browsers(
            url=place.web,
            nats=place.nats,
            browsers=BROWSERS,
            tickets=tickets[:SHOWN],
            seller=cookie_of(place.seller),
            rate=CHANGES,
            seconds=seconds,
            fetches=True,
        )
        purchases = Buyers(
            url=place.web,
            nats=place.nats,
            cookies=[cookie_of(buyer) for buyer in place.buyers[-BUYERS:]],
            tickets=tickets[SHOWN:],
            seconds=seconds,
            pause=seconds * BUYERS / PURCHASES,
        )
        async with visitors(visits) as one, browsers(screens) as two, buyers(purchases) as three:
            arrived, watched, bought = await asyncio.gather(one.run(), two.run(), three.run())
        self.arrived.append(arrived)
        self.watched.append(watched)
        self.bought.append(bought)
        memory = memory_of(place.folder)
        self.memory.append({name: size for name, size in memory.items() if name != "bare"})
        write(
            f"round {len(self.memory)}: {sum(self.memory[-1].values())} MB,"
            f" visitors p99 {quantile(arrived.milliseconds, 0.99):.0f} ms, {len(bought.complete)} purchases"
        )

    def figures(self) -> list[Figure]:
        """The memory of the last third of the rounds, compared with the first third after a warm-up round."""
        warm = self.memory[1:] or self.memory
        third = max(1, len(warm) // 3)
        totals: Sequence[Mapping[str, int]] = [{"all": sum(run.values()), **run} for run in warm]
        memory = [
            Figure(
                workload="soak: memory at the end",
                name=name,
                unit="MB",
                runs=[float(run[name]) for run in totals[-third:]],
                baseline="at the beginning",
                baseline_runs=[float(run[name]) for run in totals[:third]],
            )
            for name in sorted(totals[-1])
        ]
        return [
            *memory,
            _counts("visitors refused", [run.refused + run.broken for run in self.arrived]),
            _counts("updates missing", [run.missing_updates for run in self.watched]),
            _counts("purchases failed", [len(run.failed) for run in self.bought]),
        ]


def _counts(name: str, runs: Sequence[int]) -> Figure:
    return Figure(workload="soak: each round", name=name, unit="", runs=[float(count) for count in runs])


async def soak(rounds: int, seconds: float, folder: Path) -> Soak:
    found = Soak()
    write("Starting a marketplace ...")
    async with market(folder) as place:
        for _ in range(rounds):
            await found.round(place, seconds)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="just soak", description=__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    given = parser.parse_args()
    report = new_report()
    with TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as folder:
        report.figures = asyncio.run(soak(given.minutes, ROUND_SECONDS, Path(folder) / "data")).figures()
    if given.json:
        given.json.write_text(report.model_dump_json(indent=2) + "\n")
    show(["", *table.lines(report)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
