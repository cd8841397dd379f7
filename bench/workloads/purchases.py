"""Purchases: one after the other on an idle system, and of many buyers at once."""

from functools import partial

from bench import baselines
from bench.failure import Failed
from bench.figures import Figure, quantile
from bench.load.plans import Bought, Buyers
from bench.load.process import buyers
from bench.market import BUYERS, cookie_of
from bench.suite import Suite, Workload, shares, with_cpu

ONE = "one purchase, idle system"
MANY = f"{BUYERS} concurrent buyers"
PURCHASES_PER_SECOND = 40
"""More than any system here has managed, so that tickets don't run out."""
ONE_AT_A_TIME = 4
"""Purchases on the idle system for each second of `Effort.seconds`."""
PAUSE_SECONDS = 0.1
"""From a captured payment to the next purchase, so that purchases don't overlap."""

NOT_OURS = {"secantusd-py", "nats-server", "stripe", "bare"}
"""Processes that a deployment replaces: the database, the bus, and the stand-in for Stripe."""


async def measure_one(suite: Suite) -> list[Figure]:
    insert = await baselines.insert(suite)
    found: list[Bought] = []
    cpu: list[dict[str, float]] = []
    count = max(2, round(ONE_AT_A_TIME * suite.effort.seconds))
    for _ in range(suite.effort.runs):
        bought, used = await _buy(suite, count, 1, pause=PAUSE_SECONDS)
        found.append(bought)
        cpu.append({name: seconds * 1000 / len(bought.complete) for name, seconds in used.items()})
    ours = [{name: used for name, used in run.items() if name not in NOT_OURS} for run in cpu]
    figure = partial(Figure, workload=ONE, unit="ms", baseline=insert.name)
    duration = partial(figure, baseline_runs=insert.milliseconds)
    processes = partial(figure, baseline_runs=insert.cpu)
    return [
        duration(name="reserve", runs=[quantile(run.reserve, 0.5) for run in found]),
        duration(name="pay", runs=[quantile(run.pay, 0.5) for run in found]),
        duration(name="complete after", runs=[quantile(run.complete, 0.5) for run in found]),
        processes(name="CPU of all processes", runs=[sum(run.values()) for run in cpu], parts=shares(cpu)),
        processes(name="CPU of our processes", runs=[sum(run.values()) for run in ours]),
    ]


async def measure_many(suite: Suite) -> list[Figure]:
    insert = await baselines.insert(suite)
    found: list[Bought] = []
    seconds = 2 * suite.effort.seconds
    for _ in range(suite.effort.runs):
        count = round(PURCHASES_PER_SECOND * seconds) + BUYERS
        bought, _ = await _buy(suite, count, BUYERS, seconds=seconds)
        found.append(bought)
    figure = partial(Figure, workload=MANY)
    against = partial(figure, baseline=insert.name)
    duration = partial(against, unit="ms", baseline_runs=insert.milliseconds)
    return [
        against(
            name="purchases",
            unit="/s",
            runs=[len(run.complete) / run.seconds for run in found],
            baseline_runs=insert.rate,
        ),
        duration(name="pay p50", runs=[quantile(run.pay, 0.5) for run in found]),
        duration(name="pay p99", runs=[quantile(run.pay, 0.99) for run in found]),
        figure(name="refused (503)", unit="", runs=[float(run.refused) for run in found]),
    ]


async def _buy(
    suite: Suite, count: int, how_many: int, *, seconds: float = 600, pause: float = 0
) -> tuple[Bought, dict[str, float]]:
    """Let buyers buy new tickets. Return what they bought and the CPU time of each process."""
    market = suite.market
    plan = Buyers(
        url=market.web,
        nats=market.nats,
        cookies=[cookie_of(buyer) for buyer in market.buyers[1 : 1 + how_many]],
        tickets=await market.list_tickets(count),
        seconds=seconds,
        pause=pause,
    )
    async with buyers(plan) as load:
        bought, cpu = await with_cpu(market, load.run)
    for problem in bought.failed[:3]:
        suite.say(f"  a purchase failed: {problem}")
    if not bought.complete:
        raise Failed("no purchase succeeded")
    return bought, cpu


PURCHASES = {
    "purchase": Workload("one purchase, idle system", measure_one),
    "buyers": Workload(f"{BUYERS} concurrent buyers", measure_many),
}
