"""The history of a real marketplace has no violations unless the data is changed by hand."""

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
from kit.nats import EVENTS
from ops.provision import provision
from sandbox.testing import nats_server
from streams.delivery import DeadLetter
from streams.topology import DEAD
from tests.integration.streams.conftest import expiration_timers
from tests.resilience.chaos.excerpts import about
from tests.resilience.chaos.history import History, Request, Timer
from tests.resilience.chaos.invariants import violations
from tests.resilience.chaos.invariants.orders import only_poison_is_a_dead_letter
from tests.resilience.chaos.reading import ECHO, Message, at_rest, event_of, messages_of, read, with_messages
from tests.support.people import Person, signed_up
from tests.support.polling import until
from tests.support.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

POISONED = frozenset({"poison-1", "poison-2", "never arrived"})


async def trade(seller: Person, buyer: Person) -> tuple[list[str], list[Request]]:
    """Four tickets: sold, cancelled, declined and cancelled, and never reserved."""
    requests, tickets = [], []
    for ending in ("sold", "cancelled", "declined", "unwanted"):
        asked = {"title": f"The ticket that is {ending}", "price": "19.99"}
        ticket = (await seller.lists_ticket(**asked))["id"]
        tickets.append(ticket)
        requests.append(Request("list", seller.id, status=201, made=ticket, asked=asked))
        if ending == "unwanted":
            continue
        order = (await buyer.reserves(ticket))["id"]
        requests.append(Request("reserve", buyer.id, ticket, 201, order))
        if ending != "cancelled":
            card = "tok_visa" if ending == "sold" else "tok_chargeDeclined"
            paid = await buyer.pays(order, card)
            made = paid.json().get("id", "")
            requests.append(Request("pay", buyer.id, order, paid.status_code, made, asked={"card": card}))
        if ending != "sold":
            requests.append(Request("cancel", buyer.id, order, (await buyer.cancels(order)).status_code))
    return tickets, requests


async def rests(stack: Stack, tickets: Collection[str], requests: Sequence[Request]) -> History:
    """Wait until the history of these tickets has no violations, and return it."""

    async def look() -> History:
        return about(tickets, await read(stack.settings, requests))

    return await until(look, lambda history: not violations(history))


async def test_a_marketplace_after_some_trade_has_no_violations(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        history = await rests(stack, *await trade(seller, buyer))
    assert sorted(order["status"] for order in history.orders) == ["cancelled", "cancelled", "complete"]
    assert [intent["amount_received"] for intent in history.intents if intent["amount_received"]] == [1999]


async def test_a_manual_change_in_the_database_is_found(stack: Stack) -> None:
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
        "replicas_are_up_to_date",
        "newest_event_matches_database",
    }


@pytest.mark.parametrize(
    "body", [b"{]", b"", b"[]", b"7", b"null", b"\xff", b'{"id": "1"}', b'{"version": 1}']
)
async def test_a_poison_message_is_not_read_as_an_event(body: bytes) -> None:
    assert event_of(Message("order.created", 1, datetime.now(UTC), {}, body)) is None


@asynccontextmanager
async def bus(folder: Path) -> AsyncIterator[tuple[str, JetStreamContext]]:
    async with nats_server(folder) as url:
        connection = await nats.connect(url)
        try:
            await provision(connection.jetstream())
            yield url, connection.jetstream()
        finally:
            await connection.close()


async def test_a_long_stream_is_read_completely_and_in_order(tmp_path: Path) -> None:
    async with bus(tmp_path) as (_, js):
        for some in range(0, 3000, 500):
            await asyncio.gather(
                *(js.publish("ticket.created", str(number).encode()) for number in range(some, some + 500))
            )
        await js.delete_msg(EVENTS, 1500)
        messages = await messages_of(js, EVENTS)
    assert [message.sequence for message in messages] == [*range(1, 1500), *range(1501, 3001)]
    assert {int(message.data) for message in messages} == set(range(3000)) - {1499}


async def test_an_empty_stream_has_no_messages(tmp_path: Path) -> None:
    async with bus(tmp_path) as (_, js):
        assert await messages_of(js, DEAD) == []


async def test_dead_letters_are_identified_by_their_original_messages(tmp_path: Path) -> None:
    """A poison message is identified by its message id. An echo of it has the same body and counts as a
    poison message too. Each consumer publishes a dead letter, and again if the acknowledgement was lost.
    """
    services = ("tickets", "expiration", "payments", "payouts")
    consumers = [f"{service}-order-created" for service in services]
    async with bus(tmp_path) as (url, js):

        async def publish(body: bytes, message_id: str, **headers: str) -> None:
            await js.publish("order.created", body, headers={Header.MSG_ID: message_id, **headers})

        async def publish_dead_letter(sequence: int, by: str) -> PubAck:
            headers = {Header.MSG_ID: f"{by}:{EVENTS}:{sequence}", DeadLetter.CONSUMER: by}
            return await js.publish(f"dead.{by.partition('-')[0]}.order.created", headers=headers)

        await publish(b"{", "poison-1", **{ECHO: "1"})
        await publish(b"{", "poison-2", **{ECHO: "1"})
        await publish(b"{", "echo-1", **{ECHO: "1"})
        await publish(b"[]", "nobody's")
        for by in consumers:
            for sequence in (1, 2, 3):
                await publish_dead_letter(sequence, by)
        await js.update_stream(name=DEAD, subjects=["dead.>"], duplicate_window=0.1)
        await until(lambda: publish_dead_letter(1, consumers[0]), lambda ack: not ack.duplicate)
        valid = await with_messages(History(datetime.now(UTC)), [url], POISONED)
        await publish_dead_letter(4, consumers[0])
        await js.delete_msg(DEAD, 5)
        history = await with_messages(History(datetime.now(UTC)), [url], POISONED)
    assert history.events == []
    assert sorted(history.poisoned) == sorted(product(("poison-1", "poison-2", "echo-1"), consumers))
    assert list(only_poison_is_a_dead_letter(valid)) == []
    assert list(only_poison_is_a_dead_letter(history)) == [
        f"nobody's is a dead letter of {consumers[0]}",
        f"poison-2 was a poison message, but isn't a dead letter of {consumers[1]}",
    ]


async def test_timers_and_unprocessed_messages_are_read(tmp_path: Path) -> None:
    order, due = "a" * 24, datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    async with bus(tmp_path) as (url, js):
        broker = NatsBroker(url, logger=None)
        async with broker:
            await expiration_timers(broker).set(ExpirationComplete(order_id=order, expires_at=due))
        await js.publish("order.created", b"{}")
        history = await with_messages(History(datetime.now(UTC)), [url])
    assert history.timers == [Timer(order, due)]
    services = ("tickets", "expiration", "payments", "payouts")
    consumers = {f"{service}-order-created" for service in services}
    assert {consumer for consumer, count in history.unhandled.items() if count} == consumers


async def test_at_rest_returns_the_last_history_when_the_time_is_over(stack: Stack) -> None:
    """The violation here is a user whose sign-up isn't among the requests."""
    async with signed_up(stack.web, 1) as (stranger,):
        history = await at_rest(stack.settings, [], frozenset(), seconds=1)
    assert stranger.id in {str(user["_id"]) for user in history.users}
    assert any("nobody requested" in words for words in violations(history))
