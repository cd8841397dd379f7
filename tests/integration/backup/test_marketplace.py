"""Back up a whole marketplace while it is used and while its services are stopped, and restore it."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ops.backup.folder import checked
from sandbox.processes import FROM_CHECKOUT, Process
from settings import SERVICES
from tests.resilience.chaos.history import History
from tests.resilience.chaos.invariants import INVARIANTS, answers
from tests.resilience.chaos.reading import read
from tests.support.people import Person, signed_up
from tests.support.polling import until
from tests.support.stack import Stack, stagedoor

PROCESSES = (*SERVICES, "web")
TIMEOUT = 150.0
"""Seconds to wait. An event that was being handled during the snapshot is redelivered after a minute."""


async def run(stack: Stack, command: str, *arguments: str) -> None:
    program = (sys.executable, "-m", "ops", command, *arguments)
    await stack.run(Process(name=command, command=program, ready=None, environment=FROM_CHECKOUT))


async def reserve(seller: Person, buyer: Person) -> str:
    """Reserve a new ticket as soon as the orders service knows the ticket, and return the order's id."""
    ticket = (await seller.lists_ticket())["id"]
    answer = await until(
        lambda: buyer.tries_to_reserve(ticket), lambda answer: answer.status_code != 404, TIMEOUT
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def buy(seller: Person, buyer: Person, token: str = "tok_visa") -> str:
    order = await reserve(seller, buyer)
    answer = await until(lambda: buyer.pays(order, token), lambda answer: answer.status_code != 404, TIMEOUT)
    assert answer.status_code == (201 if token == "tok_visa" else 402), answer.text
    return order


async def wait_until_consistent(stack: Stack) -> History:
    """Wait until all invariants hold, and return the state of the marketplace.

    The invariants about responses that clients have received don't apply, because a restored backup may lack
    the newest changes.
    """
    states: list[History] = []
    invariants = [each for each in INVARIANTS if each.__module__ != answers.__name__]

    async def violations() -> list[str]:
        states.append(await read(stack.settings))
        return [violation for each in invariants for violation in each(states[-1])][:10]

    await until(violations, lambda found: not found, TIMEOUT)
    return states[-1]


@asynccontextmanager
async def trading(seller: Person, buyer: Person) -> AsyncIterator[None]:
    """List, reserve and release tickets continuously during the block."""

    async def trade() -> None:
        while not stopped.is_set():
            if order := await reserve_ticket((await seller.lists_ticket())["id"]):
                await buyer.cancels(order)

    async def reserve_ticket(ticket: str) -> str | None:
        """Return the order's id, or None if the block ends before the orders service knows the ticket."""
        answer = await until(
            lambda: buyer.tries_to_reserve(ticket),
            lambda answer: answer.status_code != 404 or stopped.is_set(),
            TIMEOUT,
        )
        if answer.status_code == 404:
            return None
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    stopped = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(trade())
        yield
        stopped.set()


async def stop_services(stack: Stack) -> None:
    await asyncio.gather(*(stack.stop(name) for name in PROCESSES))


async def replace_servers(stack: Stack) -> None:
    """Replace the database server and the NATS server by new ones without data."""
    for name in ("nats", "mongo"):
        await stack.stop(name)
        shutil.rmtree(stack.folder / name)
    await stack.start("nats", "mongo")


async def test_a_restored_marketplace_continues_from_its_backup(tmp_path: Path) -> None:
    async with (
        stagedoor(tmp_path / "market", variants=False) as stack,
        signed_up(stack.web, 3) as (seller, buyer, trader),
    ):
        unpaid = await reserve(seller, buyer)
        sold = await buy(seller, buyer)
        await buy(seller, buyer, "tok_chargeDeclined")
        await until(lambda: buyer.payment(sold), lambda seen: seen["status"] == "captured", TIMEOUT)
        async with trading(seller, trader):
            await run(stack, "backup", str(tmp_path / "in-use"))
        before = await wait_until_consistent(stack)
        await stop_services(stack)
        # Until they stop, services note when they look at payments next.
        stopped = replace(await read(stack.settings), at=before.at, intents=before.intents)
        await run(stack, "backup", str(tmp_path / "stopped"))

        await replace_servers(stack)
        await run(stack, "restore", str(tmp_path / "in-use"))
        await stack.start(*PROCESSES)
        restored = await wait_until_consistent(stack)
        assert checked(tmp_path / "in-use").at_rest is False
        assert {order["_id"] for order in restored.orders} <= {order["_id"] for order in before.orders}
        assert (await buyer.order(sold))["status"] == "complete"
        await buyer.pays(unpaid)
        await until(lambda: buyer.payment(unpaid), lambda seen: seen["status"] == "captured", TIMEOUT)
        await wait_until_consistent(stack)

        await stop_services(stack)
        with pytest.raises(RuntimeError, match="give --replace to delete the existing data"):
            await run(stack, "restore", str(tmp_path / "stopped"))
        await run(stack, "restore", str(tmp_path / "stopped"), "--replace")
        again = replace(await read(stack.settings), at=before.at, intents=before.intents)
        assert asdict(again) == asdict(stopped)

        # The restored database lacks a payment that Stripe has. Paying again uses the same intent.
        await stack.start(*PROCESSES)
        assert (await buyer.order(unpaid))["status"] == "created"
        assert (await buyer.pays(unpaid)).status_code == 201
        await until(lambda: buyer.order(unpaid), lambda seen: seen["status"] == "complete", TIMEOUT)
        intents = (await wait_until_consistent(stack)).intents
        assert len([intent for intent in intents if intent["metadata"]["order_id"] == unpaid]) == 1
