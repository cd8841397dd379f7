"""A run of chaos: people use the marketplace, faults befall it, and after each round all of it is checked."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from settings import SERVICES
from tests.chaos.faults import Fault, Struck
from tests.chaos.history import History
from tests.chaos.invariants import violations
from tests.chaos.market import WEB, Market, Plan, market
from tests.chaos.people import Load, Places
from tests.chaos.reading import at_rest

Say = Callable[[str], None]

WARM_UP_SECONDS = 3.0
MOST_FAILED = 20
"""Blows in vain, after which those who never struck are given up."""
MEASURED = ("kill", "leader", "isolate")
"""Faults after which it's measured how long it takes until somebody owns a ticket again."""


@dataclass(frozen=True)
class Course:
    """How a run goes."""

    plan: Plan
    faults: Mapping[str, Fault]
    seed: int
    rate: float
    """Stories that people begin a second."""
    seconds: float
    round_seconds: float = 60.0
    """After which everything has to come to rest, and is checked."""
    links: Sequence[tuple[str, str]] = ()
    """Those that faults of the network strike, from whom to whom; all, if none are named."""
    at_once: int = 1
    """Faults at the same time, at most."""
    alone: bool = True
    """Whether each strikes once alone before several do at a time."""
    each: bool = False
    """Whether the first round goes on until each has struck."""
    pause: tuple[float, float] = (0.5, 4.0)
    """Seconds between the end of a fault and the next."""
    rest_seconds: float = 90.0
    """In which all that is under way comes to its end once nothing is broken any more."""


@dataclass
class Report:
    """What happened."""

    seconds: float = 0.0
    rests: int = 0
    blows: Counter[str] = field(default_factory=Counter)
    """By kind."""
    failed: list[str] = field(default_factory=list)
    """Faults that couldn't strike: the marketplace was too broken for it."""
    recoveries: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds until somebody owns a ticket that was asked for after the blow, by whom was struck."""
    unseen: Counter[str] = field(default_factory=Counter)
    """Recoveries that nobody was there to see: all stories had ended before."""
    rested: list[float] = field(default_factory=list)
    """Seconds from the last answer to anybody until all was as it has to be."""
    deaths: Counter[str] = field(default_factory=Counter)
    failed_starts: Counter[str] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    history: History | None = None
    poisoned: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    wrong_after: float | None = None
    """Seconds from the beginning until something wrong was noticed."""


class Run:
    """One marketplace from its start to its last check."""

    def __init__(self, course: Course, struck: Market, load: Load, say: Say) -> None:
        self.course = course
        self.report = Report()
        self._market, self._load, self._say = struck, load, say
        self._began = time.monotonic()
        self._number = 0
        self._aims = random.Random(f"{course.seed}-faults")  # noqa: S311 - repeats a run, guards no secret
        self._bag: list[str] = []
        """Kinds of faults that are still to strike before those that did strike again."""
        self._recovering: set[asyncio.Task[None]] = set()

    async def run(self) -> Report:
        """Rounds until the time is over or something is wrong."""
        while self._elapsed < self.course.seconds and not self.report.wrong:
            await self._round(min(self.course.round_seconds, self.course.seconds - self._elapsed))
        self.report.seconds = self._elapsed
        self.report.answers = self._load.answers
        self.report.deaths = self._market.counted(lambda kept: kept.deaths)
        self.report.failed_starts = self._market.counted(lambda kept: kept.failed_starts)
        return self.report

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    async def _round(self, seconds: float) -> None:
        using = asyncio.create_task(self._load.run())
        until = time.monotonic() + seconds
        try:
            await asyncio.sleep(WARM_UP_SECONDS)
            if self.course.faults:
                is_alone = self.course.alone and len(self.report.blows) < len(self.course.faults)
                at_once = 1 if is_alone else self.course.at_once
                await asyncio.gather(*(self._strike(until) for _ in range(at_once)))
            await asyncio.sleep(max(0.0, until - time.monotonic()))
        finally:
            using.cancel()
            await asyncio.wait({using})
        await self._check()

    async def _strike(self, until: float) -> None:
        while time.monotonic() < until or (self.course.each and self._outstanding):
            kind = self._next()
            self._number += 1
            rng = random.Random(f"{self.course.seed}-{self._number}-{kind}")  # noqa: S311 - repeats a run
            began = time.monotonic()
            try:
                struck = Struck(self._market, rng, self.report.poisoned, self.course.links)
                whom = await self.course.faults[kind](struck)
            except Exception as error:
                self.report.failed.append(f"{kind}: {error!r}")
                self._bag.insert(0, kind)  # once more, after the others
                self._say(f"  {self._elapsed:6.1f} s  {kind} couldn't strike: {error!r}"[:200])
            else:
                self.report.blows[kind] += 1
                self._say(f"  {self._elapsed:6.1f} s  {kind}: {whom}")
                if kind in MEASURED:
                    self._measure(whom if kind == "kill" else f"{kind} {whom}", began)
            await asyncio.sleep(rng.uniform(*self.course.pause))

    @property
    def _outstanding(self) -> bool:
        return len(self.report.blows) < len(self.course.faults) and len(self.report.failed) < MOST_FAILED

    def _next(self) -> str:
        if not self._bag:
            self._bag = sorted(self.course.faults)
            self._aims.shuffle(self._bag)
        return self._bag.pop()

    def _measure(self, whom: str, began: float) -> None:
        async def recovers() -> None:
            if await self._load.somebody_owns_a_ticket():
                self.report.recoveries[whom].append(time.monotonic() - began)
            else:
                self.report.unseen[whom] += 1

        task = asyncio.create_task(recovers())
        self._recovering.add(task)
        task.add_done_callback(self._recovering.discard)

    async def _check(self) -> None:
        for link in self._market.wires.values():
            link.mend()
        await self._market.ready()
        if self._recovering:
            await asyncio.wait(self._recovering)
        await self._load.settle()
        await self._load.let_go()
        answered = time.monotonic()
        history = await at_rest(
            self._market.settings,
            self._load.requests,
            frozenset(self.report.poisoned),
            self.course.rest_seconds,
        )
        self.report.history = history
        self.report.rests += 1
        self.report.rested.append(time.monotonic() - answered)
        self.report.wrong = violations(history)
        if failures := self._load.answers[500]:
            self.report.wrong.append(f"{failures} answers were 500")
        ours = {*SERVICES, WEB}
        for name, count in self._market.counted(lambda kept: kept.own_deaths).items():
            if name.partition("-")[0] in ours:
                self.report.wrong.append(f"{name} ended by itself {count} times")
        if self.report.wrong:
            self.report.wrong_after = self._elapsed
        self._say(
            f"  {self._elapsed:6.1f} s  rest {self.report.rests}: {len(self._load.requests)} requests,"
            f" {len(history.orders)} orders, {len(history.events)} events,"
            f" {len(self.report.wrong)} violations"
        )


async def chaos(course: Course, folder: Path, say: Say) -> Report:
    """A run on a marketplace of its own, whose data and logs are in `folder`."""
    async with market(folder, course.plan) as struck:
        load = Load(Places.of(struck.settings), course.seed, course.rate, course.plan.window)
        await load.open()
        say("  the marketplace is open")
        try:
            return await Run(course, struck, load, say).run()
        finally:
            with suppress(Exception):
                await load.close()


def told(report: Report) -> Sequence[str]:
    """The report in lines."""
    history = report.history
    lines = [
        f"{report.seconds:.0f} s, {report.rests} times at rest, {sum(report.answers.values())} answers: "
        + _counted({str(status or "none"): count for status, count in sorted(report.answers.items())}),
        f"blows: {report.blows.total()}; {_counted(report.blows)}",
        f"processes ended: {_counted(report.deaths)}; at their start, without what they need:"
        f" {_counted(report.failed_starts)}",
        f"seconds to rest: median {median(report.rested):.1f}, worst {max(report.rested):.1f}",
    ]
    if history is not None:
        asked = Counter[str](request.what for request in history.requests if request.what != "look")
        orders = Counter(order["status"] for order in history.orders)
        payments = Counter(payment["status"] for payment in history.payments)
        lines += [
            f"requests for a change: {asked.total()}; {_counted(asked)}",
            f"orders: {orders.total()}; {_counted(orders)}",
            f"payments: {payments.total()}; {_counted(payments)}",
            f"events: {len(history.events)}",
            f"dead letters: {len(history.dead)}; {len(report.poisoned)} poison",
        ]
    for whom, seconds in sorted(report.recoveries.items()):
        lines.append(
            f"a ticket is owned again after {whom}: median {median(seconds):.1f} s,"
            f" worst {max(seconds):.1f} s of {len(seconds)}; {report.unseen[whom]} not seen"
        )
    if report.failed:
        lines.append(f"{len(report.failed)} faults couldn't strike, such as {report.failed[0]}"[:300])
    lines += [f"WRONG {words}" for words in report.wrong[:40]]
    lines.append(
        f"{len(report.wrong)} violations, noticed after {report.wrong_after:.0f} s"
        if report.wrong_after is not None
        else "0 violations"
    )
    return lines


def _counted(counter: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counter.items()) if count) or "none"
