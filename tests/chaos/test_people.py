"""People use a real marketplace in every way they know, and the checker finds nothing wrong with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.chaos.excerpts import about
from tests.chaos.history import History
from tests.chaos.invariants import violations
from tests.chaos.people import Load, Places
from tests.chaos.reading import read
from tests.chaos.stories import STORIES
from tests.people import until
from tests.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEED = 238
"""With it each story is among the first 23."""
ENOUGH = 23


@asynccontextmanager
async def loaded(stack: Stack, seed: int = SEED, rate: float = 6) -> AsyncIterator[Load]:
    load = Load(Places.of(stack.settings), seed, rate, window=5)
    try:
        await load.open()
        yield load
    finally:
        await load.close()


async def uses(load: Load, stories: int = ENOUGH) -> None:
    """Until so many more stories were begun, and all have ended."""
    begun = load.stories.total()
    running = asyncio.create_task(load.run())

    async def look() -> int:
        return load.stories.total() - begun

    await until(look, lambda count: count >= stories or running.done(), 60)
    running.cancel()
    await asyncio.wait({running})
    await load.settle()


async def test_a_marketplace_is_used_in_every_way_and_all_of_it_is_true(stack: Stack) -> None:
    async with loaded(stack) as load:
        somebody_owns = asyncio.create_task(load.somebody_owns_a_ticket())
        await uses(load)
        assert await somebody_owns

    async def look() -> History:
        history = await read(stack.settings, load.requests)
        sellers = {request.user for request in load.requests if request.what == "offer"}
        return about([str(each["_id"]) for each in history.tickets if each["user_id"] in sellers], history)

    history = await until(look, lambda seen: not violations(seen), 60)
    assert load.stories.keys() == {story.__name__ for story in STORIES}
    done = {(request.what, request.form) for request in load.requests if request.is_done}
    refused = {request.what for request in load.requests if request.is_refused}
    changes = {"offer", "edit", "withdraw", "reserve", "cancel", "pay"}
    assert {(what, False) for what in changes | {"sign up", "sign in", "sign out", "look"}} <= done
    assert {("offer", True), ("reserve", True)} <= done
    assert changes <= refused
    assert {"complete", "cancelled"} <= {order["status"] for order in history.orders}
    assert "captured" in {payment["status"] for payment in history.payments}
