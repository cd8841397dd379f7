"""How the cost grows with the number of tickets, and with the number of orders of one user."""

from bench.bare import NAME as BARE
from bench.failure import Failed
from bench.figures import Figure
from bench.suite import Suite, Workload
from bench.workloads.pages import LANDING, NEW_LIST, TARGETS, Samples, Target, throughput

WARM = "landing page, anonymous, by number of tickets"
NEW = "filtered list that nobody has seen, by number of tickets"
START = "start of the tickets service, by number of tickets"
MINE = "my orders, by number of orders"


async def measure_tickets(suite: Suite) -> list[Figure]:
    """Grow the catalogue step by step. The market keeps all tickets."""
    starts: list[Figure] = []
    warm: list[Figure] = []
    new: list[Figure] = []
    for tickets in suite.effort.tickets:
        suite.say(f"  {tickets:,} tickets")
        try:
            taken = await suite.market.grow_to(tickets)
        except RuntimeError as reason:
            suite.failures[f"{tickets:,} tickets"] = str(reason).partition("\n")[0]
            break
        size = f"{tickets:,}"
        if taken:
            starts.append(Figure(workload=START, name=size, unit="s", runs=[taken]))
        warm += await _figures(WARM, size, LANDING, suite, warm)
        new += await _figures(NEW, size, NEW_LIST, suite, new)
    return [*warm, *new, *starts]


async def measure_orders(suite: Suite) -> list[Figure]:
    """Measure "my orders" of a user with ever more orders."""
    found: list[Figure] = []
    for orders in suite.effort.orders:
        suite.say(f"  {orders:,} orders")
        await suite.market.grow_orders_to(orders)
        try:
            found += await _figures(MINE, f"{orders:,}", TARGETS["orders"][1], suite, found)
        except Failed as reason:
            suite.failures[f"{orders:,} orders"] = str(reason)
            break
    return found


async def _figures(
    workload: str, size: str, target: Target, suite: Suite, smaller: list[Figure]
) -> list[Figure]:
    """CPU and throughput, in multiples of the smallest size."""
    samples: Samples = await throughput(target, suite)
    rate, cpu, _ = samples.figures(workload)
    first = {figure.name.partition(": ")[2]: figure for figure in smaller[:2]}
    for figure in (rate, cpu):
        base = first.get(figure.name, figure)
        figure.baseline = f"smallest; {figure.ratio or 0:.3g} x {BARE}"
        figure.baseline_runs = [base.median]
        figure.name = f"{size}: {figure.name}"
    return [rate, cpu]


GROWTH = {
    "growth-orders": Workload("10 to 10,000 orders of one user", measure_orders),
    "growth-tickets": Workload("100 to 100,000 tickets", measure_tickets),
}
