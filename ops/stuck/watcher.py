"""Looks for what lasts too long, once or forever."""

from asyncio import sleep
from collections.abc import AsyncGenerator

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from contracts.wire import now
from ops.sources import Sources, opened
from ops.stuck.looks import LOOKS, MOST
from ops.stuck.states import STATES, Finding
from settings import Settings

CONFIRM_SECONDS = 3.0
"""Seconds until findings are looked for again. Only those that are still there count."""


async def stuck(settings: Settings, *, confirm_seconds: float = CONFIRM_SECONDS) -> list[Finding]:
    """Everything that is overdue, in the order of `STATES`.

    Raises:
        Unreachable: NATS or the database can't be read.
    """
    async with opened(settings) as sources:
        return await overdue(sources, confirm_seconds)


async def overdue(sources: Sources, confirm_seconds: float = CONFIRM_SECONDS) -> list[Finding]:
    """As `stuck`, with open connections."""
    first = await look_for_all(sources)
    if not first:
        return []
    await sleep(confirm_seconds)
    before = {finding.key for finding in first}
    return [finding for finding in await look_for_all(sources) if finding.key in before]


async def watch(
    settings: Settings, seconds: float, metrics_port: int | None, *, confirm_seconds: float = CONFIRM_SECONDS
) -> AsyncGenerator[str, None]:
    """Look every `seconds`, forever. Yield one line for each new finding and for each that has ended.

    Args:
        metrics_port: where `/metrics` shows the gauge `stagedoor_overdue` to this machine. None for nowhere.

    Raises:
        Unreachable: NATS or the database can't be read.
    """
    gauge = None
    if metrics_port is not None:
        registry = CollectorRegistry()
        gauge = overdue_gauge(registry)
        start_http_server(metrics_port, "127.0.0.1", registry)
    known: dict[tuple[str, str], Finding] = {}
    async with opened(settings) as sources:
        while True:
            found = {finding.key: finding for finding in await overdue(sources, confirm_seconds)}
            moment = now()
            for key, finding in found.items():
                if key not in known:
                    yield finding.line(moment)
            for key, finding in known.items():
                if key not in found:
                    yield f"{finding.state.name:20} {'ended':>9}  {finding.about}"
            known = found
            if gauge is not None:
                show_in(gauge, list(found.values()))
            await sleep(seconds)


def overdue_gauge(registry: CollectorRegistry) -> Gauge:
    return Gauge("stagedoor_overdue", "States that last too long", ["state"], registry=registry)


def show_in(gauge: Gauge, findings: list[Finding]) -> None:
    """Set the number of findings of every state."""
    for state in STATES:
        gauge.labels(state.name).set(sum(finding.state is state for finding in findings))


async def look_for_all(sources: Sources) -> list[Finding]:
    """What is overdue at this moment, in the order of `STATES`. Some of it may be work in progress."""
    moment = now()
    found = []
    for look in LOOKS:
        count = 0
        async for finding in look(sources, moment):
            found.append(finding)
            count += 1
            if count >= MOST:
                break
    order = [state.name for state in STATES]
    return sorted(found, key=lambda finding: order.index(finding.state.name))
