"""A real marketplace is read as it is: what happened in it breaks nothing, what is tampered with does."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import pytest
from bson import ObjectId
from nats.js.api import RawStreamMsg
from pymongo import AsyncMongoClient

from tests.chaos.history import History, Request
from tests.chaos.invariants import violations
from tests.chaos.reading import read, said
from tests.people import Person, signed_up, until
from tests.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


def only(history: History, tickets: Collection[str]) -> History:
    """What is about these tickets: others use the same marketplace."""
    orders = [order for order in history.orders if order["ticket_id"] in tickets]
    of = {str(order["_id"]) for order in orders}
    payments = [payment for payment in history.payments if payment["order_id"] in of]
    mine = {*tickets, *of, *(str(payment["_id"]) for payment in payments)}
    return replace(
        history,
        tickets=[each for each in history.tickets if str(each["_id"]) in tickets],
        orders=orders,
        payments=payments,
        tickets_known_to_orders=[
            each for each in history.tickets_known_to_orders if str(each["_id"]) in mine
        ],
        orders_known_to_payments=[
            each for each in history.orders_known_to_payments if str(each["_id"]) in mine
        ],
        events=[event for event in history.events if event.about in mine],
        intents=[intent for intent in history.intents if intent["metadata"].get("order_id") in of],
        timers=(),
        dead=(),
    )


async def trade(seller: Person, buyer: Person) -> tuple[list[str], list[Request]]:
    """One ticket is sold, one let go of, one declined and let go of, and one nobody wants."""
    requests, tickets = [], []
    for ending in ("sold", "let go", "declined", "unwanted"):
        ticket = (await seller.offers())["id"]
        tickets.append(ticket)
        requests.append(Request("offer", seller.id, status=201, made=ticket))
        if ending == "unwanted":
            continue
        order = (await buyer.reserves(ticket))["id"]
        requests.append(Request("reserve", buyer.id, ticket, 201, order))
        if ending != "let go":
            token = "tok_visa" if ending == "sold" else "tok_chargeDeclined"
            requests.append(Request("pay", buyer.id, order, (await buyer.pays(order, token)).status_code))
        if ending != "sold":
            requests.append(Request("cancel", buyer.id, order, (await buyer.cancels(order)).status_code))
    return tickets, requests


async def rests(stack: Stack, tickets: Collection[str], requests: Sequence[Request]) -> History:
    async def look() -> History:
        return only(await read(stack.settings, requests), tickets)

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
    found = violations(only(await read(stack.settings, requests), tickets))
    assert {words.partition(":")[0] for words in found} == {"tickets_follow_orders", "copies_are_up_to_date"}


@pytest.mark.parametrize("body", [b"{]", b"", b"[]", b"7", b"\xff", b'{"id": "1"}'])
async def test_poison_in_the_stream_says_nothing_and_stops_nobody(body: bytes) -> None:
    assert said(RawStreamMsg(subject="order.created", data=body)) is None
