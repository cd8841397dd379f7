"""The load generators, against the bare handler."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench import wrk
from bench.bare import Bare, bare_handler
from bench.failure import Failed
from bench.load.plans import Arrivals
from bench.load.process import visitors
from bench.market import fetch
from tests.support.processes import cpu_of, memory_of

needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk isn't installed")


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Bare]:
    async with bare_handler(tmp_path) as running:
        yield running


async def test_the_bare_handler_returns_the_bytes_that_it_was_given(bare: Bare, tmp_path: Path) -> None:
    await bare.serve(b"a page")
    assert await fetch(bare.url, "/") == b"a page"
    assert cpu_of(tmp_path).keys() == memory_of(tmp_path).keys() == {"bare"}


async def test_visitors_arrive_at_a_constant_rate(bare: Bare) -> None:
    async with visitors(Arrivals(url=bare.url, paths=["/"], rate=50, seconds=0.4)) as load:
        found = await load.run()
    assert len(found.milliseconds) == 20
    assert min(found.milliseconds) > 0
    assert found.refused == found.broken == 0


async def test_refusals_are_counted_apart(bare: Bare) -> None:
    async with visitors(Arrivals(url=bare.url, paths=["/", "/missing"], rate=50, seconds=0.2)) as load:
        found = await load.run()
    assert len(found.milliseconds) == found.refused == 5


@needs_wrk
async def test_wrk_measures_throughput(bare: Bare) -> None:
    found = await wrk.load(bare.url, connections=2, seconds=1)
    assert found.served == found.requests > 0
    assert found.rate > 0


@needs_wrk
async def test_wrk_without_a_served_request_is_a_failure(bare: Bare) -> None:
    with pytest.raises(Failed, match="served none"):
        await wrk.load(f"{bare.url}missing/{{}}", connections=2, seconds=1)
