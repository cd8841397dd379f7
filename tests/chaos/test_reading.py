"""A real marketplace is read as it is: what happened in it breaks nothing, what is tampered with does."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import nats
import pytest
from bson import ObjectId
from faststream.nats import NatsBroker
from nats.js import JetStreamContext
from nats.js.api import Header, PubAck
from pymongo import AsyncMongoClient

from contracts.events import ExpirationComplete
from sandbox.testing import nats_server
from streams.delivery import DeadLetter
from streams.timers import JetStreamTimers
from streams.topology import DEAD, EVENTS, provision
from tests.chaos.excerpts import about
from tests.chaos.history import History, Request, Timer
from tests.chaos.invariants import violations
from tests.chaos.invariants.orders import only_poison_is_buried
from tests.chaos.reading import ECHO, Message, at_rest, messages_of, read, said, with_messages
from tests.people import Person, signed_up, until
from tests.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

POISONED = frozenset({"poison-1", "poison-2", "never arrived"})


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


@asynccontextmanager
async def bus(folder: Path) -> AsyncIterator[tuple[str, JetStreamContext]]:
    async with nats_server(folder) as url:
        connection = await nats.connect(url)
        try:
            await provision(connection.jetstream())
            yield url, connection.jetstream()
        finally:
            await connection.close()


async def test_a_long_stream_is_read_whole_and_in_order(tmp_path: Path) -> None:
    async with bus(tmp_path) as (_, js):
        for some in range(0, 3000, 500):
            await asyncio.gather(
                *(js.publish("ticket.created", str(number).encode()) for number in range(some, some + 500))
            )
        await js.delete_msg(EVENTS, 1500)
        messages = await messages_of(js, EVENTS)
    assert [message.sequence for message in messages] == [*range(1, 1500), *range(1501, 3001)]
    assert {int(message.data) for message in messages} == set(range(3000)) - {1499}


async def test_an_empty_stream_has_nothing_to_read(tmp_path: Path) -> None:
    async with bus(tmp_path) as (_, js):
        assert await messages_of(js, DEAD) == []


async def test_dead_letters_are_known_by_what_they_were(tmp_path: Path) -> None:
    """Poison has an id that was chosen for it, also where the same comes twice; its echo is poison too. Each
    that hears it buries it, and again if it didn't get to know of that.
    """
    hear = ("tickets-order-created", "expiration-order-created", "payments-order-created")
    async with bus(tmp_path) as (url, js):

        async def publish(body: bytes, message_id: str, **headers: str) -> None:
            await js.publish("order.created", body, headers={Header.MSG_ID: message_id, **headers})

        async def bury(sequence: int, by: str) -> PubAck:
            headers = {Header.MSG_ID: f"{by}:{EVENTS}:{sequence}", DeadLetter.CONSUMER: by}
            return await js.publish(f"dead.{by}.order.created", headers=headers)

        await publish(b"{", "poison-1", **{ECHO: "1"})
        await publish(b"{", "poison-2", **{ECHO: "1"})
        await publish(b"{", "echo-1", **{ECHO: "1"})
        await publish(b"[]", "nobody's")
        for by in hear:
            for sequence in (1, 2, 3):
                await bury(sequence, by)
        await js.update_stream(name=DEAD, subjects=["dead.>"], duplicate_window=0.1)
        await until(lambda: bury(1, hear[0]), lambda ack: not ack.duplicate)
        sound = await with_messages(History(datetime.now(UTC)), [url], POISONED)
        await bury(4, hear[0])
        await js.delete_msg(DEAD, 5)
        history = await with_messages(History(datetime.now(UTC)), [url], POISONED)
    assert history.events == []
    assert sorted(history.poisoned) == sorted(product(("poison-1", "poison-2", "echo-1"), hear))
    assert list(only_poison_is_buried(sound)) == []
    assert list(only_poison_is_buried(history)) == [
        f"nobody's is a dead letter of {hear[0]}",
        f"poison-2 was poison, and isn't buried by {hear[1]}",
    ]


async def test_timers_and_what_no_listener_has_handled_are_read(tmp_path: Path) -> None:
    order, due = "a" * 24, datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    async with bus(tmp_path) as (url, js):
        broker = NatsBroker(url, logger=None)
        async with broker:
            await JetStreamTimers(broker).set(ExpirationComplete(order_id=order, expires_at=due))
        await js.publish("order.created", b"{}")
        history = await with_messages(History(datetime.now(UTC)), [url])
    assert history.timers == [Timer(order, due)]
    heard_by = {"tickets-order-created", "expiration-order-created", "payments-order-created"}
    assert {consumer for consumer, count in history.unheard.items() if count} == heard_by


async def test_what_does_not_come_to_rest_in_time_is_given_as_it_is(stack: Stack) -> None:
    """Here: that somebody was signed up whom nobody asked for, as far as is known."""
    async with signed_up(stack.web, 1) as (stranger,):
        history = await at_rest(stack.settings, [], frozenset(), seconds=1)
    assert stranger.id in {str(user["_id"]) for user in history.users}
    assert any("nobody asked for" in words for words in violations(history))
