"""The whole load without faults, on a real marketplace where buyers pay on Stripe's page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tests.resilience.chaos.excerpts import about
from tests.resilience.chaos.history import History
from tests.resilience.chaos.invariants import violations
from tests.resilience.chaos.load import Addresses, Load
from tests.resilience.chaos.reading import read
from tests.resilience.chaos.scenarios import SCENARIOS
from tests.support.polling import until
from tests.support.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEED = 393
"""With this seed, each scenario is among the first 60."""
ENOUGH = 60


@asynccontextmanager
async def loaded(stack: Stack, seed: int = SEED, rate: float = 6) -> AsyncIterator[Load]:
    addresses = replace(
        Addresses.of(stack.settings), web=stack.checkout_web, payments=stack.checkout_payments
    )
    load = Load(addresses, seed, rate, window=5)
    try:
        await load.open()
        yield load
    finally:
        await load.close()


async def uses(load: Load, scenarios: int = ENOUGH) -> None:
    """Run the load until `scenarios` more scenarios have begun, and wait until all have ended."""
    begun = load.scenarios.total()
    running = asyncio.create_task(load.run())

    async def look() -> int:
        return load.scenarios.total() - begun

    await until(look, lambda count: count >= scenarios or running.done(), 60)
    running.cancel()
    await asyncio.wait({running})
    await load.settle()


async def test_every_scenario_runs_and_leaves_no_violations(stack: Stack) -> None:
    async with loaded(stack) as load:
        somebody_owns = asyncio.create_task(load.somebody_owns_a_ticket())
        await uses(load)
        assert await somebody_owns

    async def look() -> tuple[list[str], History]:
        everything = await read(stack.settings, load.requests)
        sellers = {request.user for request in load.requests if request.what == "list"}
        tickets = [str(each["_id"]) for each in everything.tickets if each["user_id"] in sellers]
        history = about(tickets, everything)
        return [str(found) for found in violations(history)][:10], history

    async def wrong() -> list[str]:
        return (await look())[0]

    await until(wrong, lambda found: not found, 60)
    _, history = await look()
    assert load.scenarios.keys() == {scenario.__name__ for scenario in SCENARIOS}
    done = {(request.what, request.form) for request in load.requests if request.is_done}
    refused = {request.what for request in load.requests if request.is_refused}
    changes = {"list", "edit", "withdraw", "reserve", "cancel", "pay"}
    assert {(what, False) for what in changes | {"sign up", "sign in", "sign out", "look"}} <= done
    assert {("list", True), ("reserve", True)} <= done
    assert changes <= refused
    assert {303, 402} <= {request.status for request in load.requests if request.what == "pay on page"}
    assert {"complete", "cancelled"} <= {order["status"] for order in history.orders}
    assert "captured" in {payment["status"] for payment in history.payments}
