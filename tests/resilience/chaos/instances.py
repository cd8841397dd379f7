"""Two instances of each service and of web, which are restarted or killed one by one under load.

`just replicas` runs these tests. They take minutes, so the file's name keeps them out of `just test`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from settings import SERVICES
from tests.resilience.chaos.invariants import violations
from tests.resilience.chaos.load import Addresses, Load
from tests.resilience.chaos.market import WEB, Market, Plan, market
from tests.resilience.chaos.reading import at_rest

RATE = 2.0
WINDOW = 20.0
REST_SECONDS = 60.0


@asynccontextmanager
async def under_load(folder: Path) -> AsyncIterator[tuple[Market, Load]]:
    """A marketplace that people use until the block ends. Then everything is checked."""
    async with market(folder, Plan(window=WINDOW, instances=2)) as started:
        load = Load(Addresses.of(started.settings, started.payments_url), 7, RATE, WINDOW)
        await load.open()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.run())
            yield started, load
            load.stop()
        try:
            await started.ready()
            await load.settle()
            await load.cancel_long_holds()
            history = await at_rest(
                started.settings, load.requests, frozenset(), REST_SECONDS, started.mailbox.received
            )
            assert violations(history) == []
            assert any(order["status"] == "complete" for order in history.orders)
        finally:
            await load.close()


def instances(started: Market) -> list[str]:
    names = [name for service in (*SERVICES, WEB) for name in started.instances_of(service)]
    assert len(names) == 2 * len({*SERVICES, WEB})
    return names


async def test_no_request_fails_while_instances_are_restarted_one_by_one(tmp_path: Path) -> None:
    async with under_load(tmp_path) as (started, load):
        for name in instances(started):
            await started.roll(name)
    assert load.failures == []


async def test_nothing_is_lost_or_sold_or_charged_twice_if_instances_are_killed_one_by_one(
    tmp_path: Path,
) -> None:
    async with under_load(tmp_path) as (started, _):
        for name in instances(started):
            started.kill(name)
            await started.ready()
