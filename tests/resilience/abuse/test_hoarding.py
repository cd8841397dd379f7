"""Attacks that keep tickets from other buyers without paying."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.people import Person, signed_up
from tests.support.stack import Stack, stagedoor

MAX_LIVE = 4
ATTACKER, ELSEWHERE = "8.8.8.8", "1.1.1.1"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def limited(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A marketplace with the default limits of holds, but a lower one per network."""
    folder = tmp_path_factory.mktemp("hoarding") / "data"
    async with stagedoor(
        folder,
        variants=False,
        RESERVE_COOL_DOWN_SECONDS="60",
        MAX_TICKET_HOLD_SECONDS="3600",
        MAX_LIVE_PER_NETWORK=str(MAX_LIVE),
    ) as stack:
        yield stack


def move_to(address: str, *people: Person) -> None:
    """Let the requests of these people come from this address, as a trusted proxy reports it."""
    for person in people:
        person.client.headers["X-Forwarded-For"] = address


async def test_nobody_keeps_a_ticket_by_reserving_and_releasing_it_again_and_again(limited: Stack) -> None:
    async with signed_up(limited.web, 3) as (seller, attacker, buyer):
        ticket = (await seller.lists_ticket())["id"]
        held = 0
        for _ in range(20):
            answer = await attacker.tries_to_reserve(ticket)
            if answer.status_code == 201:
                held += 1
                await attacker.cancels(answer.json()["id"])
        assert held == 2
        assert (answer.status_code, answer.json()["type"]) == (429, "/problems/reserved-too-often")
        assert int(answer.headers["retry-after"]) > 0
        await buyer.reserves(ticket)


async def test_the_accounts_of_one_network_do_not_keep_all_tickets_from_others(limited: Stack) -> None:
    async with signed_up(limited.web, 5) as (seller, buyer, *attackers):
        tickets = [(await seller.lists_ticket())["id"] for _ in range(2 * len(attackers))]
        move_to(ATTACKER, *attackers)
        move_to(ELSEWHERE, buyer)
        statuses = []
        for number, ticket in enumerate(tickets):
            answer = await attackers[number % len(attackers)].tries_to_reserve(ticket)
            statuses.append(answer.status_code)
        assert statuses == [201] * MAX_LIVE + [429] * (len(tickets) - MAX_LIVE)
        await buyer.reserves(tickets[-1])


async def test_the_accounts_of_one_network_do_not_keep_a_ticket_by_taking_turns(limited: Stack) -> None:
    async with signed_up(limited.web, 8) as (seller, buyer, *attackers):
        ticket = (await seller.lists_ticket())["id"]
        held = 0
        move_to("9.9.9.9", *attackers)
        move_to(ELSEWHERE, buyer)
        for attacker in attackers:
            answer = await attacker.tries_to_reserve(ticket)
            if answer.status_code == 201:
                held += 1
                await attacker.cancels(answer.json()["id"])
        assert held == 4
        await buyer.reserves(ticket)
