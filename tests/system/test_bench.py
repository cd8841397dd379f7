"""Small workloads of the benchmark, on the marketplace that all tests share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from bench.bare import bare_handler
from bench.market import Market
from bench.seed import Databases
from bench.suite import Effort, Suite
from bench.workloads.live import measure_screens, measure_signals
from bench.workloads.pages import LANDING, latency
from bench.workloads.purchases import measure_one
from tests.support.people import signed_up
from tests.support.stack import Stack

SMALL = Effort(runs=1, seconds=0.4, browsers=3)


@pytest_asyncio.fixture(loop_scope="session")
async def suite(stack: Stack, tmp_path: Path) -> AsyncIterator[Suite]:
    folder = stack.settings.data_dir
    databases = Databases(stack.settings.database)
    async with bare_handler(folder) as bare, signed_up(stack.web, 3) as (seller, *buyers):
        ticket = (await seller.lists_ticket())["id"]
        market = Market(stack, bare, folder, databases, seller, buyers, ticket, order="")
        yield Suite(SMALL, tmp_path, print, market)
    await databases.close()


async def test_a_page_is_compared_with_the_bare_handler(suite: Suite) -> None:
    median, slowest = await latency("landing page", LANDING, suite)
    assert 0 < median.median <= slowest.median
    assert median.ratio is not None


async def test_a_purchase_is_measured_step_by_step(suite: Suite) -> None:
    figures = {figure.name: figure for figure in await measure_one(suite)}
    assert 0 < figures["reserve"].median < figures["complete after"].median
    assert figures["CPU of all processes"].parts["orders"] > 0


async def test_every_browser_receives_every_signal(suite: Suite) -> None:
    figures = {figure.name: figure for figure in await measure_signals(2.0, suite)}
    assert figures["lost"].median == 0
    assert figures["p50"].median > 0


async def test_every_screen_shows_every_change(suite: Suite) -> None:
    figures = {figure.name: figure for figure in await measure_screens(2.0, suite)}
    assert figures["updated"].median == 100
    assert figures["update p50"].median > 0
