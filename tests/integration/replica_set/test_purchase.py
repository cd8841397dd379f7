"""Purchases in a whole marketplace, whose processes run on a replica set, across elections."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.operate import operate
from tests.support.people import Person, signed_up
from tests.support.polling import until
from tests.support.replica_set import ReplicaSet
from tests.support.stack import Stack, stagedoor

FAILOVERS = 4


@pytest_asyncio.fixture(scope="session")
async def stack(shared_set: ReplicaSet, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("stagedoor") / "data"
    async with stagedoor(folder, variants=False, MONGO_URL=shared_set.url) as stack:
        yield stack


async def insist(request: Callable[[], Awaitable[httpx.Response]]) -> dict[str, Any]:
    """Repeat a request while services are unavailable, and return the body of its successful answer."""
    answer = await until(request, lambda answer: answer.status_code < 500)
    assert answer.is_success, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def buy(seller: Person, buyer: Person) -> str:
    """Buy a ticket. Return the order's id."""
    listing = {"title": "Low Roar", "price": 19.99}
    key = {"Idempotency-Key": f"listing-for-{buyer.id}"}
    ticket = await insist(partial(seller.client.post, "/api/tickets", json=listing, headers=key))
    order = await insist(partial(buyer.tries_to_reserve, ticket["id"]))
    await insist(partial(buyer.pays, order["id"]))
    await until(partial(buyer.client.get, f"/api/tickets/{ticket['id']}"), partial(is_, "sold"))
    payments = partial(buyer.client.get, "/api/payments", params={"orderId": order["id"]})
    await until(payments, partial(is_, "captured"))
    return str(order["id"])


def is_(status: str, answer: httpx.Response) -> bool:
    return answer.is_success and f'"{status}"' in answer.text


async def audit(stack: Stack, orders: list[str]) -> None:
    """Check that orders, payments and Stripe agree about these orders, with one charge each."""
    given = stack.settings
    assert given.mongo_url is not None
    environment = {
        "MONGO_URL": given.mongo_url.get_secret_value(),
        "STRIPE_SANDBOX_PORT": str(given.stripe_sandbox_port),
        "DATA_DIR": str(given.data_dir),
    }
    ran = await operate("audit", "--settled", environment=environment)
    assert ran.code == 0, ran
    for order in orders:
        (line,) = [line for line in ran.out.splitlines() if order in line]
        assert "complete" in line, line


async def test_a_purchase_that_an_election_interrupts_completes(members: ReplicaSet, stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        ticket = await seller.lists_ticket()
        order = await buyer.reserves(ticket["id"])
        await members.step_down()
        paying = asyncio.create_task(insist(partial(buyer.pays, order["id"])))
        await asyncio.wait({paying}, timeout=0.5)
        assert not paying.done()
        await members.elect()
        await paying
        await until(lambda: buyer.payment(order["id"]), lambda seen: seen["status"] == "captured")
        await audit(stack, [order["id"]])


async def test_purchases_complete_while_failovers_roll_their_writes_back(
    members: ReplicaSet, stack: Stack
) -> None:
    async with signed_up(stack.web, 5) as (seller, *buyers):
        buying = asyncio.gather(*(buy(seller, buyer) for buyer in buyers))

        async def can_lose_a_write() -> bool:
            return buying.done() or bool(members.unreplicated)

        lost = 0
        for _ in range(FAILOVERS):
            members.stop_replication()
            await until(can_lose_a_write)
            lost += len(members.unreplicated)
            await members.fail_over()
        orders = await buying
        assert lost >= FAILOVERS
        await audit(stack, orders)
