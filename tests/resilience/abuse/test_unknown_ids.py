"""Requests with made-up ids of tickets and orders."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.people import Person, signed_up
from tests.support.service import new_id
from tests.support.stack import Stack

ATTACKERS = 20
"""Concurrent requests with made-up ids: more than web serves at the same time."""


async def test_reservations_with_made_up_ids_that_look_new_do_not_hold_up_other_buyers(stack: Stack) -> None:
    async with signed_up(stack.web, 3) as (attacker, seller, buyer):
        ticket = await seller.lists_ticket()
        order = await buyer.reserves(ticket["id"])
        async with _sending_made_up_ids(attacker, "/api/orders", "ticketId") as attack:
            answers = [await buyer.client.get(f"/api/orders/{order['id']}") for _ in range(20)]
        assert {answer.status_code for answer in answers} == {200}
        assert {404} <= attack <= {404, 503}


async def test_payments_with_made_up_ids_that_look_new_do_not_hold_up_other_buyers(stack: Stack) -> None:
    async with signed_up(stack.web, 3) as (attacker, seller, buyer):
        ticket = await seller.lists_ticket()
        order = await buyer.reserves(ticket["id"])
        async with _sending_made_up_ids(attacker, "/api/payments", "orderId", token="tok_visa") as attack:
            answers = [await buyer.pays(order["id"]) for _ in range(20)]
        assert {answer.status_code for answer in answers} == {201}
        assert {404} <= attack <= {404, 503}


@asynccontextmanager
async def _sending_made_up_ids(
    attacker: Person, path: str, field: str, **more: str
) -> AsyncIterator[set[int]]:
    """Send requests with ids that contain the current time during the block. Yields the set of statuses."""
    statuses: set[int] = set()

    async def send() -> None:
        for _ in range(3):
            answer = await attacker.client.post(path, json={field: new_id(), **more})
            statuses.add(answer.status_code)

    async with asyncio.TaskGroup() as group:
        for _ in range(ATTACKERS):
            group.create_task(send())
        yield statuses


async def test_a_made_up_id_is_an_outage_while_its_owner_does_not_answer(stack: Stack) -> None:
    async with signed_up(stack.web, 1) as (person,):
        async with stack.paused("tickets"):
            answer = await person.tries_to_reserve(new_id())
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert (await person.tries_to_reserve(new_id())).status_code == 404
