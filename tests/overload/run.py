"""A marketplace that is asked for three times as much as it can do, and then by people who never finish."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import nats
from nats.js.errors import NotFoundError

from sandbox.storm_market import Market, market
from settings import SERVICES, Settings
from streams.topology import EVENTS, TIMERS
from tests.chaos.client import Notes, Person
from tests.chaos.invariants import violations
from tests.chaos.reading import at_rest
from tests.overload.load import Crowd, crowd, measured
from tests.overload.meter import Meter, Sample, quantile
from tests.overload.slow import Slow, slow_clients
from tests.overload.watch import Watch, watching
from tests.people import until
from web.assets import ASSETS

Say = Callable[[str], None]

SERVED = 0.97
"""Of the requests of a step, so many are served at a rate that can be kept up."""
SERVED_WITHIN = 1.5
"""Seconds, nearly all of them."""
STEP, STEP_SECONDS = 1.4, 6.0
RECOVERY_SECONDS = 10.0
MEMORY_MEGABYTES = 400
"""Of each of our processes. The database and NATS have limits of their own."""
OURS = {*SERVICES, "web", "stripe"}
REST_SECONDS = 120.0
AS_USUAL = {"RECONCILE_SECONDS": "30", "OUTBOX_SWEEP_SECONDS": "5"}
"""As out of the box: what looks after the forgotten is work too."""
LONG = 900.0
"""Seconds to pay: nothing expires while the run lasts."""


@dataclass(frozen=True)
class Plan:
    seconds: float = 30.0
    times: float = 3.0
    """The load, in what can be served."""
    first_rate: float = 20.0
    """Requests a second of the first step."""
    slow_clients: int = 1_000
    purchases: int = 20
    seed: int = 1


@dataclass
class Report:
    rate: float = 0.0
    """Requests a second that can be served."""
    calm: float = 0.0
    """Seconds that half of the requests took before."""
    calm_visit: float = 0.0
    """Seconds that looking around and buying took before."""
    overload: list[Sample] = field(default_factory=list)
    crowded: Watch = field(default_factory=Watch)
    """During the overload."""
    recovered: float | None = None
    """Seconds after the end of the load."""
    slow: Slow = field(default_factory=Slow)
    purchases: list[float] = field(default_factory=list)
    """Seconds of each, beside the slow clients."""
    besieged: Watch = field(default_factory=Watch)
    """While there were slow clients."""
    requests: int = 0
    checked: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


@dataclass
class Run:
    plan: Plan
    market: Market
    crowd: Crowd
    meter: Meter
    notes: Notes
    say: Say
    report: Report = field(default_factory=Report)

    async def run(self) -> Report:
        self.report.calm = await self._calm()
        self.report.calm_visit = median([await self._visit() for _ in range(3)])
        self.report.rate = await self._find_rate()
        await self._at_rest()
        await self._overload()
        await self._slow_clients()
        self.say("looking whether anything was lost")
        history = await at_rest(self.market.settings, self.notes.requests, frozenset(), REST_SECONDS)
        self.report.requests = len(self.meter.samples)
        self.report.checked = {
            "changes asked for": len(history.requests),
            "tickets": len(history.tickets),
            "orders": len(history.orders),
            "payments": len(history.payments),
            "events": len(history.events),
        }
        self.report.wrong += violations(history)
        self.report.wrong += await self.market.ailing()
        return self.report

    async def _calm(self) -> float:
        """Seconds that half of the requests take when there are few."""
        began = time.monotonic()
        await self.crowd.come(rate=4, seconds=8)
        await self.crowd.are_answered()
        return median(sample.seconds for sample in self.meter.since(began))

    async def _find_rate(self) -> float:
        """What was served in the last step that went well."""
        rate, found = self.plan.first_rate, 0.0
        while True:
            began = time.monotonic()
            await self.crowd.come(rate, STEP_SECONDS)
            await self.crowd.are_answered()
            samples = self.meter.since(began)
            served = [sample.seconds for sample in samples if sample.is_served]
            share, nearly_all = len(served) / len(samples), quantile(served, 0.95)
            self.say(f"{rate:6.1f} a second: {share:.0%} served, 95 of 100 within {nearly_all:.3f} s")
            if share < SERVED or nearly_all > SERVED_WITHIN:
                return found or rate * share
            rate, found = rate * STEP, rate

    async def _overload(self) -> None:
        rate = self.plan.times * self.report.rate
        self.say(f"{rate:.0f} a second for {self.plan.seconds:.0f} s")
        async with watching(_addresses(self.market.settings), self.market.settings.data_dir) as watch:
            began = time.monotonic()
            await self.crowd.come(rate, self.plan.seconds)
            ended = time.monotonic()
            await self._recover(ended)
            await self.crowd.are_answered()
        self.report.crowded = watch
        self.report.overload = [sample for sample in self.meter.since(began) if sample.began < ended]
        self.report.wrong += _amiss(self.report.overload)
        self.report.wrong += _unwell(watch)
        if not any(sample.is_refused for sample in self.report.overload):
            self.report.wrong.append("nobody was refused, so it was no overload")

    async def _recover(self, ended: float) -> None:
        """Well again: whoever comes from then on looks around and buys about as quickly as before, for which
        the services have to tell each other much."""
        began, visits = list[float](), list[asyncio.Task[float]]()
        for _ in range(round(1.5 * RECOVERY_SECONDS)):
            began.append(time.monotonic() - ended)
            visits.append(asyncio.create_task(self._visit()))
            await asyncio.sleep(1)
        taken = await asyncio.gather(*visits)
        quick = [seconds < 3 * self.report.calm_visit + 0.5 for seconds in taken]
        for after, seconds in zip(began, taken, strict=True):
            self.say(f"{after:6.1f} s after the load: looking around and buying takes {seconds:.2f} s")
        if quick[-1]:
            self.report.recovered = next(after for index, after in enumerate(began) if all(quick[index:]))
        if self.report.recovered is None or self.report.recovered > RECOVERY_SECONDS:
            self.report.wrong.append(
                f"it wasn't well again {RECOVERY_SECONDS:.0f} s after the load had ended"
            )

    async def _visit(self) -> float:
        """Seconds that it takes to look around, and then to buy; without end for who can't."""
        began = time.monotonic()
        await self.crowd.looks()
        try:
            await _purchase(*self.crowd.people[:2])
        except NoPurchase:
            return math.inf
        return time.monotonic() - began

    async def _slow_clients(self) -> None:
        """Purchases beside so many who hold on to their connections."""
        self.say(f"{self.plan.slow_clients} slow clients, and {self.plan.purchases} purchases")
        began = time.monotonic()
        async with (
            slow_clients(self.market.web, self.plan.slow_clients, ASSETS["app.js"].address) as slow,
            watching(_addresses(self.market.settings), self.market.settings.data_dir) as watch,
        ):
            for number in range(self.plan.purchases):
                seller, buyer = self.crowd.people[number % 2], self.crowd.people[2 + number % 2]
                try:
                    self.report.purchases.append(await _purchase(seller, buyer))
                except NoPurchase as reason:
                    self.report.wrong.append(f"beside {slow.open} slow clients {reason}")
        self.report.slow, self.report.besieged = slow, watch
        self.report.wrong += _amiss(self.meter.since(began))
        self.report.wrong += _unwell(watch)

    async def _at_rest(self) -> None:
        await until(lambda: _unheard(self.market.settings), lambda count: count == 0, seconds=60)


class NoPurchase(Exception):
    """Says why."""


async def _purchase(seller: Person, buyer: Person) -> float:
    """Seconds until the buyer owns a ticket that was just offered."""
    began = time.monotonic()
    offer = await seller.offers("beside the slow", "12.50")
    order = await buyer.reserves(offer.said("id")) if offer.status == 201 else offer
    paid = await buyer.pays(order.said("id")) if order.status == 201 else order
    if paid.status != 201:
        raise NoPurchase(f"a purchase failed: {offer.status}, {order.status}, {paid.status}")
    while (await buyer.order(order.said("id"))).said("status") != "complete":
        if time.monotonic() - began > 30:
            raise NoPurchase("a purchase didn't come to its end within 30 s")
        await asyncio.sleep(0.1)
    return time.monotonic() - began


async def _unheard(settings: Settings) -> int:
    """Messages that consumers haven't handled yet."""
    connection = await nats.connect(settings.bus)
    try:
        js = connection.jetstream(timeout=10)
        consumers = [info for stream in (EVENTS, TIMERS) for info in await js.consumers_info(stream)]
        return sum((info.num_pending or 0) + (info.num_ack_pending or 0) for info in consumers)
    except NotFoundError:
        return 0
    finally:
        await connection.close()


def _addresses(settings: Settings) -> Mapping[str, str]:
    services: dict[str, str] = {name: settings.url_of(name) for name in SERVICES}
    return {**services, "web": f"http://127.0.0.1:{settings.web_port}"}


def _amiss(samples: list[Sample]) -> list[str]:
    """Answers that nobody should get, however much is asked for."""
    odd = [sample for sample in samples if not (sample.is_served or sample.is_refused)]
    return [
        f"in {sample.room}: {sample.status or 'no answer'} after {sample.seconds:.1f} s" for sample in odd
    ]


def _unwell(watch: Watch) -> list[str]:
    too_large = [
        f"{name} took {megabytes} MB"
        for name, megabytes in watch.memory.items()
        if name in OURS and megabytes > MEMORY_MEGABYTES
    ]
    return watch.missed + too_large


async def overload(plan: Plan, folder: Path, say: Say) -> Report:
    """On a marketplace of its own, whose data and logs are in `folder`."""
    meter, notes = Meter(), Notes()
    async with market(folder, window=LONG, **AS_USUAL) as crowded, measured(meter) as http:
        say("the marketplace is open")
        people = await crowd(http, crowded.web, notes, plan.seed)
        return await Run(plan, crowded, people, meter, notes, say).run()
