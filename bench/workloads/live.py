"""Live updates: signals to many streams, and the screens of many browsers."""

import asyncio
from functools import partial

from bench import baselines
from bench.bare import NAME as BARE
from bench.figures import Figure, quantile
from bench.load.plans import Arrivals, Arrived, Browsers, Watched
from bench.load.process import Load, browsers, visitors
from bench.market import Market, cookie_of
from bench.suite import Suite, Workload, shares, with_cpu
from tests.support.processes import memory_of

SHOWN = 20
"""Tickets on the page of each browser."""
VISITOR_RATE = 10.0
"""Requests per second of another visitor."""
CHANGING_SECONDS = 3
"""Multiple of `Effort.seconds` for which tickets change."""


def _plan(market: Market, tickets: list[str], rate: float, suite: Suite, *, fetches: bool) -> Browsers:
    return Browsers(
        url=market.web,
        nats=market.nats,
        browsers=suite.effort.browsers,
        tickets=tickets,
        seller=cookie_of(market.seller),
        rate=rate,
        seconds=CHANGING_SECONDS * suite.effort.seconds,
        fetches=fetches,
    )


async def measure_signals(rate: float, suite: Suite) -> list[Figure]:
    market = suite.market
    publish = await baselines.publish(suite)
    tickets = await market.list_tickets(SHOWN)
    found: list[Watched] = []
    memory: list[float] = []
    for _ in range(suite.effort.runs):
        before = memory_of(market.folder)["web"]
        async with browsers(_plan(market, tickets, rate, suite, fetches=False)) as load:
            memory.append((memory_of(market.folder)["web"] - before) * 1024 / suite.effort.browsers)
            found.append(await load.run())
    figure = partial(Figure, workload=f"signals to {suite.effort.browsers} streams, {rate:.0f} changes/s")
    against = partial(figure, unit="ms", baseline=publish.name, baseline_runs=publish.milliseconds)
    return [
        against(name="p50", runs=[quantile(run.signals, 0.5) for run in found]),
        against(name="p99", runs=[quantile(run.signals, 0.99) for run in found]),
        figure(name="lost", unit="", runs=[float(run.missing_signals) for run in found]),
        figure(name="memory per stream", unit="KB", runs=memory[:1]),
    ]


async def measure_screens(rate: float, suite: Suite) -> list[Figure]:
    """Browsers fetch what changed. Meanwhile, another process visits the landing page."""
    market = suite.market
    publish = await baselines.publish(suite)
    tickets = await market.list_tickets(SHOWN)
    found: list[Watched] = []
    others: list[Arrived] = []
    alone: list[Arrived] = []
    cpu: list[dict[str, float]] = []
    plan = _plan(market, tickets, rate, suite, fetches=True)
    visits = Arrivals(url=market.web, paths=["/"], rate=VISITOR_RATE, seconds=plan.seconds)
    for _ in range(suite.effort.runs):
        async with visitors(visits.model_copy(update={"url": market.bare.url})) as bare:
            alone.append(await bare.run())
        async with browsers(plan) as load, visitors(visits) as visitor:
            (watched, other), used = await with_cpu(market, partial(_both, load, visitor))
        found.append(watched)
        others.append(other)
        changes = plan.rate * plan.seconds
        cpu.append({name: seconds * 1000 / changes for name, seconds in used.items() if name != "bare"})
    screens = partial(Figure, workload=f"screens of {plan.browsers} browsers, {rate:.0f} changes/s")
    against = partial(screens, unit="ms", baseline=publish.name, baseline_runs=publish.milliseconds)
    return [
        screens(name="updated", unit="%", runs=[_updated(run) for run in found]),
        against(name="update p50", runs=[quantile(run.updates, 0.5) for run in found]),
        against(name="update p99", runs=[quantile(run.updates, 0.99) for run in found]),
        screens(name="refused changes", unit="", runs=[float(run.refused_changes) for run in found]),
        screens(name="refused fetches", unit="", runs=[float(run.refused_fetches) for run in found]),
        screens(
            name="CPU per change",
            unit="ms",
            runs=[sum(run.values()) for run in cpu],
            parts=shares(cpu),
            baseline=publish.name,
            baseline_runs=publish.cpu,
        ),
        screens(
            name="another visitor p99",
            unit="ms",
            runs=[quantile(run.milliseconds, 0.99) for run in others],
            baseline=BARE,
            baseline_runs=[quantile(run.milliseconds, 0.99) for run in alone],
        ),
        screens(
            name="another visitor refused", unit="", runs=[float(run.refused + run.broken) for run in others]
        ),
    ]


async def _both(load: Load[Watched], visitor: Load[Arrived]) -> tuple[Watched, Arrived]:
    return await asyncio.gather(load.run(), visitor.run())


def _updated(run: Watched) -> float:
    """The percentage of updates that appeared on a screen."""
    expected = len(run.updates) + run.missing_updates
    return 100 * len(run.updates) / expected if expected else 0.0


LIVE = {
    "signals": Workload("signals to 500 open streams, 10 changes/s", partial(measure_signals, 10.0)),
    "screens": Workload("screens of 500 browsers, 1 change/s", partial(measure_screens, 1.0)),
    "screens-20": Workload("screens of 500 browsers, 20 changes/s", partial(measure_screens, 20.0)),
}
