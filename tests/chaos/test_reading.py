"""A real marketplace is read as it is: what happened in it breaks nothing, what is tampered with does."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient

from tests.chaos.excerpts import about
from tests.chaos.history import History, Request
from tests.chaos.invariants import violations
from tests.chaos.reading import Message, read, said
from tests.people import Person, signed_up, until
from tests.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def trade(seller: Person, buyer: Person) -> tuple[list[str], list[Request]]:
    """One ticket is sold, one let go of, one declined and let go of, and one nobody wants."""
    requests, tickets = [], []
    for ending in ("sold", "let go", "declined", "unwanted"):
        asked = {"title": f"The one that is {ending}", "price": "19.99"}
        ticket = (await seller.offers(**asked))["id"]
        tickets.append(ticket)
        requests.append(Request("offer", seller.id, status=201, made=ticket, asked=asked))
        if ending == "unwanted":
            continue
        order = (await buyer.reserves(ticket))["id"]
        requests.append(Request("reserve", buyer.id, ticket, 201, order))
        if ending != "let go":
            card = "tok_visa" if ending == "sold" else "tok_chargeDeclined"
            paid = await buyer.pays(order, card)
            made = paid.json().get("id", "")
            requests.append(Request("pay", buyer.id, order, paid.status_code, made, asked={"card": card}))
        if ending != "sold":
            requests.append(Request("cancel", buyer.id, order, (await buyer.cancels(order)).status_code))
    return tickets, requests


async def rests(stack: Stack, tickets: Collection[str], requests: Sequence[Request]) -> History:
    async def look() -> History:
        return about(tickets, await read(stack.settings, requests))

    return await until(look, lambda history: not violations(history))


async def test_a_marketplace_that_was_used_breaks_nothing(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        history = await rests(stack, *await trade(seller, buyer))
    assert sorted(order["status"] for order in history.orders) == ["cancelled", "cancelled", "complete"]
    assert [intent["amount_received"] for intent in history.intents if intent["amount_received"]] == [1999]


async def test_what_somebody_changed_by_hand_is_found(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        tickets, requests = await trade(seller, buyer)
        await rests(stack, tickets, requests)
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(stack.settings.database)
    async with client:
        by_hand = {"$set": {"status": "available", "order_id": None}}
        await client["tickets"]["tickets"].update_one({"_id": ObjectId(tickets[0])}, by_hand)
    found = violations(about(tickets, await read(stack.settings, requests)))
    assert {words.partition(":")[0] for words in found} == {
        "tickets_follow_orders",
        "copies_are_up_to_date",
        "what_was_said_last_is_so",
    }


@pytest.mark.parametrize(
    "body", [b"{]", b"", b"[]", b"7", b"null", b"\xff", b'{"id": "1"}', b'{"version": 1}']
)
async def test_poison_in_the_stream_says_nothing_and_stops_nobody(body: bytes) -> None:
    assert said(Message("order.created", 1, datetime.now(UTC), {}, body)) is None
