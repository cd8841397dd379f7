"""A chaos run: users send requests while faults are injected, and after each round everything is checked."""

import asyncio
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx
from pymongo.errors import PyMongoError

from ops.audit import compare
from ops.audit.report import line
from settings import SERVICES, ServiceName
from tests.resilience.chaos import stripe_faults
from tests.resilience.chaos.faults import Fault, Injection
from tests.resilience.chaos.history import History
from tests.resilience.chaos.invariants import violations
from tests.resilience.chaos.invariants.mail import lost_messages
from tests.resilience.chaos.load import Addresses, Load
from tests.resilience.chaos.market import WEB, Market, Plan, market
from tests.resilience.chaos.reading import at_rest

Say = Callable[[str], None]

WARM_UP_SECONDS = 3.0
DAYS_SECONDS = 3.0
"""How often the days pass until sales are due."""
MAX_FAILED = 20
"""Number of failed injections after which a run no longer waits for faults that were never injected."""
ALERTING_SERVICES: tuple[ServiceName, ...] = ("payments", "orders", "mail")
ALERTS = re.compile(r'^stagedoor_alerts_total\{kind="(\w+)"\} ([1-9]\S*)', re.MULTILINE)
"""Counters of alerts among the metrics."""
MEASURED = ("kill", "leader", "isolate")
"""Faults after which the time until the next completed purchase is measured."""


@dataclass(frozen=True)
class RunParameters:
    """The parameters of a run."""

    plan: Plan
    faults: Mapping[str, Fault]
    seed: int
    rate: float
    """Scenarios that begin per second."""
    seconds: float
    round_seconds: float = 60.0
    """Seconds until the load stops, so that the marketplace comes to rest and is checked."""
    links: Sequence[tuple[str, str]] = ()
    """The links that network faults may break; all if empty."""
    at_once: int = 1
    """The maximum number of faults at the same time."""
    alone: bool = True
    """Whether each fault is injected once alone before several are injected at a time."""
    each: bool = False
    """Whether the first round goes on until each fault was injected."""
    pause: tuple[float, float] = (0.5, 4.0)
    """The minimum and maximum seconds from the end of a fault to the next fault."""
    rest_seconds: float = 90.0
    """How long the marketplace may take to come to rest after all faults are healed."""


@dataclass
class Report:
    """The results of a run."""

    seconds: float = 0.0
    rests: int = 0
    """How many times the marketplace came to rest and was checked."""
    injected: Counter[str] = field(default_factory=Counter)
    """The number of faults, by kind."""
    failed: list[str] = field(default_factory=list)
    """Faults that couldn't be injected, because of other faults at the same time."""
    recoveries: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds from a fault until the completion of an order that was requested after it, by target."""
    unseen: Counter[str] = field(default_factory=Counter)
    """Faults after which all scenarios ended before an order was completed."""
    rested: list[float] = field(default_factory=list)
    """Seconds from the last answer until no invariant was violated."""
    deaths: Counter[str] = field(default_factory=Counter)
    failed_starts: Counter[str] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    history: History | None = None
    poisoned: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    wrong_after: float | None = None
    """Seconds from the start until the first violation was found."""


class Run:
    """A run on one marketplace."""

    def __init__(self, parameters: RunParameters, market: Market, load: Load, say: Say) -> None:
        self.parameters = parameters
        self.report = Report()
        self._market, self._load, self._say = market, load, say
        self._began = time.monotonic()
        self._number = 0
        self._order = random.Random(f"{parameters.seed}-faults")  # noqa: S311 - repeats a run, guards no secret
        self._bag: list[str] = []
        """The kinds of faults that are injected next. When the list is empty, all kinds are put in again."""
        self._recovering: set[asyncio.Task[None]] = set()

    async def run(self) -> Report:
        """Run rounds until the time is over or an invariant is violated."""
        while self._elapsed < self.parameters.seconds and not self.report.wrong:
            await self._round(min(self.parameters.round_seconds, self.parameters.seconds - self._elapsed))
        if not (self.report.wrong or self._completed):
            self.report.wrong.append("no order was completed")
        self.report.seconds = self._elapsed
        self.report.answers = self._load.answers
        self.report.deaths = self._market.counted(lambda each: each.deaths)
        self.report.failed_starts = self._market.counted(lambda each: each.failed_starts)
        return self.report

    @property
    def _completed(self) -> int:
        """The number of complete orders."""
        history = self.report.history
        return sum(order["status"] == "complete" for order in history.orders) if history else 0

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    async def _round(self, seconds: float) -> None:
        using = asyncio.create_task(self._load.run())
        passing = asyncio.create_task(self._pass_days())
        until = time.monotonic() + seconds
        try:
            await asyncio.sleep(WARM_UP_SECONDS)
            if self.parameters.faults:
                is_alone = self.parameters.alone and len(self.report.injected) < len(self.parameters.faults)
                at_once = 1 if is_alone else self.parameters.at_once
                await asyncio.gather(*(self._inject(until) for _ in range(at_once)))
            await asyncio.sleep(max(0.0, until - time.monotonic()))
        finally:
            for task in (using, passing):
                task.cancel()
            await asyncio.wait({using, passing})
        await self._check()

    async def _pass_days(self) -> None:
        """Let sales become due again and again, so that sellers are paid while faults happen."""
        while True:
            await asyncio.sleep(DAYS_SECONDS)
            with suppress(PyMongoError):  # the database may be down
                await self._market.pass_days()

    async def _inject(self, until: float) -> None:
        while time.monotonic() < until or (self.parameters.each and self._outstanding):
            kind = self._next()
            self._number += 1
            rng = random.Random(f"{self.parameters.seed}-{self._number}-{kind}")  # noqa: S311 - repeats a run
            began = time.monotonic()
            try:
                injection = Injection(
                    self._market, self._load, rng, self.report.poisoned, self.parameters.links
                )
                description = await self.parameters.faults[kind](injection)
            except Exception as error:
                self.report.failed.append(f"{kind}: {error!r}")
                self._bag.insert(0, kind)  # again, after the others
                self._say(f"  {self._elapsed:6.1f} s  {kind} couldn't be injected: {error!r}"[:200])
            else:
                self.report.injected[kind] += 1
                self._say(f"  {self._elapsed:6.1f} s  {kind}: {description}")
                if kind in MEASURED:
                    self._measure(f"{kind} {description}", began)
            await asyncio.sleep(rng.uniform(*self.parameters.pause))

    @property
    def _outstanding(self) -> bool:
        return (
            len(self.report.injected) < len(self.parameters.faults) and len(self.report.failed) < MAX_FAILED
        )

    def _next(self) -> str:
        if not self._bag:
            self._bag = sorted(self.parameters.faults)
            self._order.shuffle(self._bag)
        return self._bag.pop()

    def _measure(self, fault: str, began: float) -> None:
        async def recovers() -> None:
            if await self._load.somebody_owns_a_ticket():
                self.report.recoveries[fault].append(time.monotonic() - began)
            else:
                self.report.unseen[fault] += 1

        task = asyncio.create_task(recovers())
        self._recovering.add(task)
        task.add_done_callback(self._recovering.discard)

    async def _check(self) -> None:
        for link in self._market.links.values():
            link.heal()
        await stripe_faults.heal(self._market.settings)
        self._market.mailbox.heal()
        await self._market.ready()
        if self._recovering:
            await asyncio.wait(self._recovering)
        await self._load.settle()
        await self._load.cancel_long_holds()
        await self._market.send_postponed_mail()
        await self._market.pass_days()
        answered = time.monotonic()
        history = await at_rest(
            self._market.settings,
            self._load.requests,
            frozenset(self.report.poisoned),
            self.parameters.rest_seconds,
            self._market.mailbox.received,
        )
        self.report.history = history
        self.report.rests += 1
        self.report.rested.append(time.monotonic() - answered)
        self.report.wrong = violations(history)
        self.report.wrong += await self._audited()
        self.report.wrong += await self._alerts()
        if failures := self._load.answers[500]:
            self.report.wrong.append(f"{failures} answers were 500")
        ours = {*SERVICES, WEB}
        for name, count in self._market.counted(lambda each: each.own_deaths).items():
            if name.partition("-")[0] in ours:
                self.report.wrong.append(f"{name} ended by itself {count} times")
        if self.report.wrong:
            self.report.wrong_after = self._elapsed
        self._say(
            f"  {self._elapsed:6.1f} s  rest {self.report.rests}: {len(self._load.requests)} requests,"
            f" {len(history.orders)} orders, {len(history.events)} events,"
            f" {len(self.report.wrong)} violations"
        )

    async def _alerts(self) -> list[str]:
        """The alerts of the payments, orders and mail services since their last start."""
        found = []
        for service in ALERTING_SERVICES:
            async with httpx.AsyncClient(base_url=self._market.settings.url_of(service), timeout=10) as http:
                metrics = (await http.get("/metrics")).text
            found += [f"{service} alerted: {kind} {count}" for kind, count in ALERTS.findall(metrics)]
        return found

    async def _audited(self) -> list[str]:
        """The differences that `just audit` finds. The audit isn't run if there are violations already."""
        if self.report.wrong:
            return []
        findings = compare(self._market.settings, settled=True)
        return [f"audit: {line(finding)}" async for finding in findings if finding.differences]


async def chaos(parameters: RunParameters, folder: Path, say: Say) -> Report:
    """Run chaos on a new marketplace, with its data and logs in `folder`.

    Raises:
        ForeignServers
    """
    async with market(folder, parameters.plan) as started:
        addresses = Addresses.of(started.settings, started.payments_url)
        load = Load(addresses, parameters.seed, parameters.rate, parameters.plan.window)
        await load.open()
        say("  the marketplace is open")
        try:
            return await Run(parameters, started, load, say).run()
        finally:
            with suppress(Exception):
                await load.close()


def summary(report: Report) -> Sequence[str]:
    """The report as lines of text."""
    history = report.history
    lines = [
        f"{report.seconds:.0f} s, {report.rests} times at rest, {sum(report.answers.values())} answers: "
        + _counted({str(status or "none"): count for status, count in sorted(report.answers.items())}),
        f"faults: {report.injected.total()}; {_counted(report.injected)}",
        f"processes ended: {_counted(report.deaths)}; at their start, without a dependency:"
        f" {_counted(report.failed_starts)}",
        f"seconds to rest: median {median(report.rested):.1f}, worst {max(report.rested):.1f}",
    ]
    if history is not None:
        asked = Counter[str](request.what for request in history.requests if request.what != "look")
        orders = Counter(order["status"] for order in history.orders)
        payments = Counter(payment["status"] for payment in history.payments)
        pages = Counter(page["status"] for page in history.pages)
        deliveries = Counter(str(order["delivery"]) for order in history.orders if order["delivery"])
        sales = Counter(sale["state"] for sale in history.sales)
        lines += [
            f"requests for a change: {asked.total()}; {_counted(asked)}",
            f"orders: {orders.total()}; {_counted(orders)}",
            f"payments: {payments.total()}; {_counted(payments)}",
            f"pages of Stripe: {pages.total()}; {_counted(pages)}",
            f"deliveries: {_counted(deliveries)}",
            f"sales: {sales.total()}; {_counted(sales)}; {len(history.transfers)} transfers",
            f"events: {len(history.events)}",
            f"mail: {_mail(history)}",
            f"dead letters: {len(history.dead)}; {len(report.poisoned)} poison",
        ]
    for fault, seconds in sorted(report.recoveries.items()):
        lines.append(
            f"next completed order after {fault}: median {median(seconds):.1f} s,"
            f" worst {max(seconds):.1f} s of {len(seconds)}; none after {report.unseen[fault]} of the faults"
        )
    if report.failed:
        lines.append(f"{len(report.failed)} faults couldn't be injected, such as {report.failed[0]}"[:300])
    lines += [f"WRONG {words}" for words in report.wrong[:40]]
    lines.append(
        f"{len(report.wrong)} violations, found after {report.wrong_after:.0f} s"
        if report.wrong_after is not None
        else "0 violations"
    )
    return lines


def _mail(history: History) -> str:
    """What became of the messages, and how many emails the mail server received more than once."""
    received = Counter(copy.message_id for copy in history.received or ())
    statuses = Counter(message["status"] for message in history.messages)
    repeated = sum(count > 1 for count in received.values())
    return (
        f"{statuses.total()} messages; {_counted(statuses)};"
        f" {received.total() - len(received)} repetitions of {repeated} messages;"
        f" {lost_messages(history)} lost"
    )


def _counted(counter: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counter.items()) if count) or "none"
