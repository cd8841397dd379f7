"""Overload a marketplace: three times the load that it can serve, then a thousand slow clients."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import nats
from nats.js.errors import NotFoundError

from kit.nats import EVENTS
from kit.secrets import OPERATOR, nats_servers
from settings import SERVICES, Settings
from streams.topology import TIMERS
from tests.resilience.chaos.client import Person, RequestLog
from tests.resilience.chaos.environment import refuse_foreign_servers
from tests.resilience.chaos.invariants import violations
from tests.resilience.chaos.reading import at_rest
from tests.resilience.overload.load import Crowd, crowd, measured
from tests.resilience.overload.meter import Meter, Sample, quantile
from tests.resilience.overload.slow import Slow, slow_clients
from tests.resilience.overload.watch import Watch, watching
from tests.support.polling import until
from tests.support.stack import Stack, stagedoor
from web.rendering.assets import ASSETS

Say = Callable[[str], None]

SERVED = 0.97
"""The share of requests that has to be served for a rate to count as sustainable."""
SERVED_WITHIN = 1.5
"""Seconds in which 95 % of requests have to be served for a rate to count as sustainable."""
STEP, STEP_SECONDS = 1.4, 6.0
RECOVERY_SECONDS = 10.0
MEMORY_MEGABYTES = 400
"""The limit of each of our processes. The database and NATS have their own limits."""
OURS = {*SERVICES, "web", "stripe"}
REST_SECONDS = 120.0
VARIABLES = {
    "MAX_LIVE_RESERVATIONS": "100",
    "PAYMENT_PAGE": "token",
    "LOG_LEVEL": "WARNING",
    "RECONCILE_SECONDS": "30",
    "OUTBOX_SWEEP_SECONDS": "5",
}
"""Environment variables. Background work has its default intervals, because it is part of the load."""


@dataclass(frozen=True)
class Plan:
    seconds: float = 30.0
    times: float = 3.0
    """The overload as a multiple of the sustainable rate."""
    first_rate: float = 20.0
    """Requests per second at which the search for the sustainable rate begins."""
    slow_clients: int = 1_000
    purchases: int = 20
    seed: int = 1


@dataclass
class Report:
    rate: float = 0.0
    """The sustainable rate, in requests per second."""
    calm: float = 0.0
    """Median response time under light load, in seconds."""
    calm_visit: float = 0.0
    """Seconds of a visit under light load: browse, then buy."""
    overload: list[Sample] = field(default_factory=list)
    during_overload: Watch = field(default_factory=Watch)
    recovered: float | None = None
    """Seconds from the end of the overload until visits are fast again."""
    slow: Slow = field(default_factory=Slow)
    purchases: list[float] = field(default_factory=list)
    """Seconds of each purchase while slow clients are connected."""
    with_slow_clients: Watch = field(default_factory=Watch)
    requests: int = 0
    checked: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


@dataclass
class Run:
    plan: Plan
    stack: Stack
    crowd: Crowd
    meter: Meter
    log: RequestLog
    say: Say
    report: Report = field(default_factory=Report)

    async def run(self) -> Report:
        self.report.calm = await self._calm()
        self.report.calm_visit = median([await self._visit() for _ in range(3)])
        self.report.rate = await self._find_rate()
        await self._at_rest()
        await self._overload()
        await self._slow_clients()
        self.say("checking the invariants")
        history = await at_rest(self.stack.settings, self.log.requests, frozenset(), REST_SECONDS)
        self.report.requests = len(self.meter.samples)
        self.report.checked = {
            "requests for a change": len(history.requests),
            "tickets": len(history.tickets),
            "orders": len(history.orders),
            "payments": len(history.payments),
            "events": len(history.events),
        }
        self.report.wrong += violations(history)
        self.report.wrong += await self.stack.unready()
        return self.report

    async def _calm(self) -> float:
        """The median response time under light load, in seconds."""
        began = time.monotonic()
        await self.crowd.send_requests(rate=4, seconds=8)
        await self.crowd.wait_for_answers()
        return median(sample.seconds for sample in self.meter.since(began))

    async def _find_rate(self) -> float:
        """Increase the rate until requests fail, and return the last sustainable rate."""
        rate, found = self.plan.first_rate, 0.0
        while True:
            began = time.monotonic()
            await self.crowd.send_requests(rate, STEP_SECONDS)
            await self.crowd.wait_for_answers()
            samples = self.meter.since(began)
            served = [sample.seconds for sample in samples if sample.is_served]
            share, slowest = len(served) / len(samples), quantile(served, 0.95)
            self.say(f"{rate:6.1f} a second: {share:.0%} served, 95 of 100 within {slowest:.3f} s")
            if share < SERVED or slowest > SERVED_WITHIN:
                return found or rate * share
            rate, found = rate * STEP, rate

    async def _overload(self) -> None:
        rate = self.plan.times * self.report.rate
        self.say(f"{rate:.0f} a second for {self.plan.seconds:.0f} s")
        async with watching(_addresses(self.stack.settings), self.stack.settings.data_dir) as watch:
            began = time.monotonic()
            await self.crowd.send_requests(rate, self.plan.seconds)
            ended = time.monotonic()
            await self._recover(ended)
            await self.crowd.wait_for_answers()
        self.report.during_overload = watch
        self.report.overload = [sample for sample in self.meter.since(began) if sample.began < ended]
        self.report.wrong += _unexpected(self.report.overload)
        self.report.wrong += _problems(watch)
        if not any(sample.is_refused for sample in self.report.overload):
            self.report.wrong.append("no request was refused, so there was no overload")

    async def _recover(self, ended: float) -> None:
        """Measure when visits become as fast as before and stay so. A purchase involves all services."""
        began, visits = list[float](), list[asyncio.Task[float]]()
        for _ in range(round(1.5 * RECOVERY_SECONDS)):
            began.append(time.monotonic() - ended)
            visits.append(asyncio.create_task(self._visit()))
            await asyncio.sleep(1)
        taken = await asyncio.gather(*visits)
        quick = [seconds < 3 * self.report.calm_visit + 0.5 for seconds in taken]
        for after, seconds in zip(began, taken, strict=True):
            self.say(f"{after:6.1f} s after the overload: a visit takes {seconds:.2f} s")
        if quick[-1]:
            self.report.recovered = next(after for index, after in enumerate(began) if all(quick[index:]))
        if self.report.recovered is None or self.report.recovered > RECOVERY_SECONDS:
            self.report.wrong.append(f"visits are still slow {RECOVERY_SECONDS:.0f} s after the overload")

    async def _visit(self) -> float:
        """Seconds that it takes to browse and then to buy; infinity if buying fails."""
        began = time.monotonic()
        await self.crowd.browses()
        try:
            await _purchase(*self.crowd.people[:2])
        except NoPurchase:
            return math.inf
        return time.monotonic() - began

    async def _slow_clients(self) -> None:
        """Buy while many slow clients are connected."""
        self.say(f"{self.plan.slow_clients} slow clients, and {self.plan.purchases} purchases")
        began = time.monotonic()
        async with (
            slow_clients(
                _addresses(self.stack.settings)["web"], self.plan.slow_clients, ASSETS["htmx.js"].address
            ) as slow,
            watching(_addresses(self.stack.settings), self.stack.settings.data_dir) as watch,
        ):
            for number in range(self.plan.purchases):
                seller, buyer = self.crowd.people[number % 2], self.crowd.people[2 + number % 2]
                try:
                    self.report.purchases.append(await _purchase(seller, buyer))
                except NoPurchase as reason:
                    self.report.wrong.append(f"with {slow.open} slow clients: {reason}")
        self.report.slow, self.report.with_slow_clients = slow, watch
        self.report.wrong += _unexpected(self.meter.since(began))
        self.report.wrong += _problems(watch)

    async def _at_rest(self) -> None:
        await until(lambda: _unhandled(self.stack.settings), lambda count: count == 0, seconds=60)


class NoPurchase(Exception):
    """A purchase failed."""


async def _purchase(seller: Person, buyer: Person) -> float:
    """List a ticket and buy it; return how many seconds that takes."""
    began = time.monotonic()
    offer = await seller.lists_ticket("Overload", "12.50")
    order = await buyer.reserves(offer.value("id")) if offer.status == 201 else offer
    paid = await buyer.pays(order.value("id")) if order.status == 201 else order
    if paid.status != 201:
        raise NoPurchase(f"a purchase failed: {offer.status}, {order.status}, {paid.status}")
    while (await buyer.order(order.value("id"))).value("status") != "complete":
        if time.monotonic() - began > 30:
            raise NoPurchase("a purchase isn't complete after 30 s")
        await asyncio.sleep(0.1)
    return time.monotonic() - began


async def _unhandled(settings: Settings) -> int:
    """The number of messages that consumers haven't handled."""
    connection = await nats.connect(nats_servers(settings, OPERATOR))
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


def _unexpected(samples: list[Sample]) -> list[str]:
    """Requests that were neither served nor refused. Even overload must not cause any."""
    odd = [sample for sample in samples if not (sample.is_served or sample.is_refused)]
    return [
        f"{sample.limiter}: {sample.status or 'no answer'} after {sample.seconds:.1f} s" for sample in odd
    ]


def _problems(watch: Watch) -> list[str]:
    too_large = [
        f"{name} took {megabytes} MB"
        for name, megabytes in watch.memory.items()
        if name in OURS and megabytes > MEMORY_MEGABYTES
    ]
    return watch.missed + too_large


async def overload(plan: Plan, folder: Path, say: Say) -> Report:
    """Overload a new marketplace, with its data and logs in `folder`.

    Raises:
        ForeignServers
    """
    refuse_foreign_servers()
    meter, log = Meter(), RequestLog()
    async with (
        stagedoor(folder.absolute(), variants=False, fast_passwords=False, **VARIABLES) as stack,
        measured(meter) as http,
    ):
        say("the marketplace is open")
        people = await crowd(http, _addresses(stack.settings)["web"], log, plan.seed)
        return await Run(plan, stack, people, meter, log, say).run()
