"""A whole marketplace is saved while people use it, and after that; both are put back, and all goes on."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from sandbox.processes import FROM_CHECKOUT, Process
from streams.backup.folder import checked
from tests.chaos.history import History
from tests.chaos.invariants import INVARIANTS, answers
from tests.chaos.reading import read
from tests.people import Person, signed_up, until
from tests.stack import Stack, stagedoor

pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVICES = ("auth", "tickets", "orders", "payments", "expiration", "web")
SECONDS = 150.0
"""What was under way when a snapshot was made comes again once ACK_WAIT is over, a minute."""


async def run(stack: Stack, command: str, *arguments: str) -> None:
    module = f"streams.backup.{command}"
    whole = (sys.executable, "-m", module, *arguments)
    await stack.run(Process(name=command, command=whole, ready=None, environment=FROM_CHECKOUT))


async def reserves(seller: Person, buyer: Person) -> str:
    """An order of a new ticket, however long orders takes to hear of that."""
    ticket = (await seller.offers())["id"]
    answer = await until(lambda: buyer.asks_for(ticket), lambda it: it.status_code != 404, SECONDS)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def buys(seller: Person, buyer: Person, token: str = "tok_visa") -> str:
    order = await reserves(seller, buyer)
    answer = await until(lambda: buyer.pays(order, token), lambda it: it.status_code != 404, SECONDS)
    assert answer.status_code == (201 if token == "tok_visa" else 402), answer.text
    return order


async def rests(stack: Stack) -> History:
    """What there is once nothing is wrong with it.

    What its clients were told isn't asked: of some of that a backup knows nothing.
    """
    seen: list[History] = []
    invariants = [each for each in INVARIANTS if each.__module__ != answers.__name__]

    async def look() -> list[str]:
        seen.append(await read(stack.settings))
        return [words for each in invariants for words in each(seen[-1])][:10]

    await until(look, lambda wrong: not wrong, SECONDS)
    return seen[-1]


@asynccontextmanager
async def busy(seller: Person, buyer: Person) -> AsyncIterator[None]:
    """Somebody lists, reserves and lets go of tickets all the time."""

    async def trade() -> None:
        while not enough.is_set():
            if order := await reserved((await seller.offers())["id"]):
                await buyer.cancels(order)

    async def reserved(ticket: str) -> str | None:
        """The order, unless there is enough before orders has heard of the ticket."""
        answer = await until(
            lambda: buyer.asks_for(ticket), lambda it: it.status_code != 404 or enough.is_set(), SECONDS
        )
        if answer.status_code == 404:
            return None
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    enough = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(trade())
        yield
        enough.set()


async def services_stop(stack: Stack) -> None:
    await asyncio.gather(*(stack.stop(name) for name in SERVICES))


async def servers_are_lost(stack: Stack) -> None:
    """New ones with nothing on their disks take their places."""
    for name in ("nats", "mongo"):
        await stack.stop(name)
        shutil.rmtree(stack.folder / name)
    await stack.start("nats", "mongo")


async def test_a_marketplace_goes_on_where_its_backup_was_made(tmp_path: Path) -> None:
    async with (
        stagedoor(tmp_path / "market", copies=False) as stack,
        signed_up(stack.web, 3) as (seller, buyer, trader),
    ):
        opened = await reserves(seller, buyer)
        sold = await buys(seller, buyer)
        await buys(seller, buyer, "tok_chargeDeclined")
        await until(lambda: buyer.payment(sold), lambda seen: seen["status"] == "captured", SECONDS)
        async with busy(seller, trader):
            await run(stack, "save", str(tmp_path / "busy"))
        whole = await rests(stack)
        await services_stop(stack)
        await run(stack, "save", str(tmp_path / "rested"))

        await servers_are_lost(stack)
        await run(stack, "restore", str(tmp_path / "busy"))
        await stack.start(*SERVICES)
        then = await rests(stack)
        assert checked(tmp_path / "busy").at_rest is False
        assert {order["_id"] for order in then.orders} <= {order["_id"] for order in whole.orders}
        assert (await buyer.order(sold))["status"] == "complete"
        await buyer.pays(opened)
        await until(lambda: buyer.payment(opened), lambda seen: seen["status"] == "captured", SECONDS)
        await rests(stack)

        await services_stop(stack)
        with pytest.raises(RuntimeError, match="give --replace to lose all of that"):
            await run(stack, "restore", str(tmp_path / "rested"))
        await run(stack, "restore", str(tmp_path / "rested"), "--replace")
        again = replace(await read(stack.settings), at=whole.at, intents=whole.intents)
        assert asdict(again) == asdict(whole)

        # Stripe still has the payment that was lost: paid again, it is the same.
        await stack.start(*SERVICES)
        assert (await buyer.order(opened))["status"] == "created"
        assert (await buyer.pays(opened)).status_code == 201
        await until(lambda: buyer.order(opened), lambda seen: seen["status"] == "complete", SECONDS)
        intents = (await rests(stack)).intents
        assert len([intent for intent in intents if intent["metadata"]["order_id"] == opened]) == 1
