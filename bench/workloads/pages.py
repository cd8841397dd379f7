"""Pages and the API under constant load: throughput, CPU per request and latency."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from bench import wrk
from bench.bare import NAME as BARE
from bench.figures import Figure, quantile
from bench.load.plans import Arrivals
from bench.load.process import visitors
from bench.market import Market, cookie_of, fetch
from bench.suite import Suite, Workload, shares, with_cpu

CONNECTIONS = 16
LATENCY_RATE = 40.0
"""Requests per second while latencies are measured, which is far from saturation."""

_numbers = count(1_000)
"""Replaces `{}` in paths. wrk uses numbers above a million."""


@dataclass(frozen=True)
class Target:
    """An address under load."""

    path: str
    """`{ticket}` and `{order}` are replaced by ids of the market, and `{}` by a number that never repeats."""
    connections: int = CONNECTIONS
    signed_in: bool = False
    at_service: bool = False
    """Whether requests go to the tickets service instead of web."""

    def url(self, market: Market) -> str:
        return market.stack.settings.url_of("tickets") if self.at_service else market.web

    def in_market(self, market: Market) -> str:
        return self.path.replace("{ticket}", market.ticket).replace("{order}", market.order)


@dataclass
class Samples:
    """The runs of one target, each next to a run of the bare handler with the same bytes."""

    rate: list[float] = field(default_factory=list)
    bare_rate: list[float] = field(default_factory=list)
    cpu: list[Mapping[str, float]] = field(default_factory=list)
    """Milliseconds per request by process."""
    bare_cpu: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def figures(self, workload: str) -> list[Figure]:
        rate = Figure(
            workload=workload,
            name="served",
            unit="/s",
            runs=self.rate,
            baseline=BARE,
            baseline_runs=self.bare_rate,
        )
        cpu = Figure(
            workload=workload,
            name="CPU per request",
            unit="ms",
            runs=[sum(run.values()) for run in self.cpu],
            parts=shares(self.cpu),
            baseline=BARE,
            baseline_runs=self.bare_cpu,
        )
        return [rate, cpu, Figure(workload=workload, name="refused", unit="%", runs=self.refused)]


async def measure(workload: str, target: Target, suite: Suite) -> list[Figure]:
    figures = (await throughput(target, suite)).figures(workload)
    if target.connections == CONNECTIONS:  # at a constant rate of arrivals, their number makes no difference
        figures += await latency(workload, target, suite)
    return figures


async def throughput(target: Target, suite: Suite) -> Samples:
    market, seconds = suite.market, suite.effort.seconds
    path = target.in_market(market)
    cookie = cookie_of(market.buyers[0]) if target.signed_in else ""
    await market.bare.serve(await fetch(target.url(market), path.replace("{}", str(next(_numbers))), cookie))
    load = partial(wrk.load, target.url(market) + path, connections=target.connections, cookie=cookie)
    bare = partial(wrk.load, market.bare.url, connections=target.connections)
    await load(seconds=1)
    await bare(seconds=1)
    samples = Samples()
    for _ in range(suite.effort.runs):
        base, base_cpu = await with_cpu(market, partial(bare, seconds=seconds))
        found, cpu = await with_cpu(market, partial(load, seconds=seconds))
        samples.bare_rate.append(base.rate)
        samples.bare_cpu.append(base_cpu["bare"] * 1000 / base.served)
        samples.rate.append(found.rate)
        samples.cpu.append({name: used * 1000 / found.served for name, used in cpu.items() if name != "bare"})
        samples.refused.append(100 * found.refused / found.requests)
    return samples


async def latency(workload: str, target: Target, suite: Suite) -> list[Figure]:
    """The latency at a constant rate of arrivals, which doesn't hide slow responses."""
    market, effort = suite.market, suite.effort
    path = target.in_market(market)
    requests = round(LATENCY_RATE * effort.seconds) if "{}" in path else 1
    runs: list[list[float]] = []
    bare: list[list[float]] = []
    for _ in range(effort.runs):
        paths = [path.replace("{}", str(next(_numbers))) for _ in range(requests)]
        cookie = cookie_of(market.buyers[0]) if target.signed_in else ""
        bare.append(await _arrivals(market.bare.url, ["/"], "", effort.seconds))
        runs.append(await _arrivals(target.url(market), paths, cookie, effort.seconds))
    return [
        Figure(
            workload=workload,
            name=f"p{share * 100:.0f} at {LATENCY_RATE:.0f}/s",
            unit="ms",
            runs=[quantile(run, share) for run in runs],
            baseline=BARE,
            baseline_runs=[quantile(run, share) for run in bare],
        )
        for share in (0.5, 0.99)
    ]


async def _arrivals(url: str, paths: list[str], cookie: str, seconds: float) -> list[float]:
    plan = Arrivals(url=url, paths=paths, cookie=cookie, rate=LATENCY_RATE, seconds=seconds)
    async with visitors(plan) as load:
        return (await load.run()).milliseconds


LANDING = Target("/")
NEW_LIST = Target("/?category=music&sort=price&maxPrice={}")
"""No visitor has chosen this filter before. The price is above all prices."""

TARGETS: dict[str, tuple[str, Target]] = {
    "landing": ("landing page, anonymous, 16 connections", LANDING),
    "landing-64": ("landing page, anonymous, 64 connections", Target("/", connections=64)),
    "landing-256": ("landing page, anonymous, 256 connections", Target("/", connections=256)),
    "ticket": ("ticket page, anonymous", Target("/tickets/{ticket}")),
    "list": ("filtered list that was seen before", Target("/?category=music&sort=price")),
    "list-new": ("filtered list that nobody has seen", NEW_LIST),
    "landing-signed-in": ("landing page, signed in", Target("/", signed_in=True)),
    "ticket-signed-in": ("ticket page, signed in", Target("/tickets/{ticket}", signed_in=True)),
    "order": ("page of a completed order", Target("/orders/{order}", signed_in=True)),
    "orders": ("my orders, 30 orders", Target("/orders", signed_in=True)),
    "api-service": ("GET /api/tickets at the tickets service", Target("/api/tickets", at_service=True)),
    "api": ("GET /api/tickets through web", Target("/api/tickets")),
}

PAGES = {name: Workload(about, partial(measure, about, target)) for name, (about, target) in TARGETS.items()}
