"""Events that no publisher of ours would send: each is buried with its error, and the next one is handled."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, get_args, get_origin

import httpx
import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from pymongo import AsyncMongoClient

from contracts.events import ALL_EVENTS, Event, ExpirationComplete, OrderCreated, SessionEnded
from contracts.wire import now
from settings import SERVICES
from streams.delivery import DeadLetter
from streams.topology import DEAD, EVENTS, consumers
from tests.people import Person, signed_up, until
from tests.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")  # that of the marketplace

Said = dict[type[Event], dict[str, Any]]

JSON = {"content-type": "application/json"}
OBJECTS: list[Any] = [{"$ne": None}, [], ["x"], {"a": {"a": {"a": []}}}]
LATER: dict[str, Any] = {
    "addedLater": {"by": "somebody"},
    "$set": {"status": "sold"},
    "__proto__": None,
    "deep": json.loads("[" * 200 + "]" * 200),
    "long": "x" * 300_000,
    "\u0000": 10**30,
}
"""What a newer publisher might say beside what we know."""


class Bus:
    """EVENTS as somebody uses it who may say anything, and what is buried meanwhile."""

    def __init__(self, js: JetStreamContext, buried_before: int) -> None:
        self.js = js
        self._sent: list[int] = []
        self._buried: list[RawStreamMsg] = []
        self._next_buried = buried_before + 1

    async def say(self, subject: str, body: bytes) -> None:
        ack = await self.js.publish(subject, body, stream=EVENTS, headers=JSON)
        self._sent.append(ack.seq)

    async def buried(self) -> list[RawStreamMsg]:
        """All dead letters since the beginning."""
        while self._next_buried <= (await self.js.stream_info(DEAD)).state.last_seq:
            self._buried.append(await self.js.get_msg(DEAD, self._next_buried))
            self._next_buried += 1
        return self._buried

    async def waiting(self) -> int:
        """Events that some service has yet to handle."""
        heard = [consumer for service in SERVICES for consumer in consumers(service)]
        names = [consumer.name for consumer in heard if consumer.stream == EVENTS]
        states = await asyncio.gather(*(self.js.consumer_info(EVENTS, name) for name in names))
        return sum((state.num_pending or 0) + (state.num_ack_pending or 0) for state in states)

    async def clean_up(self) -> None:
        """Others use the marketplace after this, and look at what is said there."""
        for seq in self._sent:
            await self.js.delete_msg(EVENTS, seq)
        for letter in await self.buried():
            await self.js.delete_msg(DEAD, letter.seq or 0)


@asynccontextmanager
async def on_the_bus(stack: Stack) -> AsyncIterator[Bus]:
    connection = await nats.connect(stack.settings.bus)
    js = connection.jetstream(timeout=30)
    bus = Bus(js, (await js.stream_info(DEAD)).state.last_seq)
    try:
        yield bus
    finally:
        await bus.clean_up()
        await connection.close()


async def test_an_event_that_is_not_as_its_contract_says_is_buried_and_does_nothing(stack: Stack) -> None:
    assert await bury(stack, every=6) > 60


async def bury(stack: Stack, every: int) -> int:
    """Say one of so many bad bodies of each event. Gives how many were buried, each for one that heard it."""
    async with on_the_bus(stack) as bus, signed_up(stack.web, 2) as (seller, buyer):
        told = await genuine_events(bus, seller, buyer)
        assert set(told) == set(ALL_EVENTS)
        before = await documents(stack, seller, buyer)
        expected: Counter[tuple[str, bytes]] = Counter()
        for kind, event in told.items():
            for body in bad_bodies(kind, event)[::every]:
                await bus.say(kind.subject, body)
                expected.update((consumer, body) for consumer in hearing(kind))

        async def missing() -> Counter[tuple[str, bytes]]:
            return expected - Counter(map(what_it_was, await bus.buried()))

        await until(missing, lambda missing: not missing, 300)
        letters = await bus.buried()
        assert len(letters) == expected.total()
        assert {header(each, DeadLetter.ATTEMPTS) for each in letters} == {"1"}
        assert all(header(each, DeadLetter.ERROR) for each in letters)
        assert await documents(stack, seller, buyer) == before
        await a_purchase_ends_well(seller, buyer)
        await all_live(stack)
        return expected.total()


async def test_what_a_newer_publisher_adds_to_an_event_is_ignored(stack: Stack) -> None:
    async with on_the_bus(stack) as bus, signed_up(stack.web, 2) as (seller, buyer):
        told = await genuine_events(bus, seller, buyer)
        before = await documents(stack, seller, buyer)
        for kind, event in told.items():
            await bus.say(kind.subject, json.dumps({**event, **LATER}).encode())
        await until(bus.waiting, lambda waiting: waiting == 0, 90)
        assert not await bus.buried()
        assert await documents(stack, seller, buyer) == before
        await all_live(stack)


async def genuine_events(bus: Bus, seller: Person, buyer: Person) -> Said:
    """One of each kind, as it was said of a ticket that was let go of and then bought. All of it is over."""
    js = bus.js
    start = (await js.stream_info(EVENTS)).state.last_seq + 1
    order_id, ticket_id = await a_purchase_ends_well(seller, buyer)
    of_subject = {kind.subject: kind for kind in ALL_EVENTS}

    async def said() -> Said:
        found: Said = {}
        for seq in range(start, (await js.stream_info(EVENTS)).state.last_seq + 1):
            message = await js.get_msg(EVENTS, seq)
            event = json.loads(message.data or b"{}")
            about = {event.get("id"), event.get("orderId"), event.get("ticket", {}).get("id")}
            if about & {order_id, ticket_id}:
                found[of_subject[message.subject or ""]] = event
        return found

    found = await until(said, lambda found: len(found) == len(ALL_EVENTS) - 2, 60)
    expires_at = found[OrderCreated]["expiresAt"]
    found[ExpirationComplete] = {"orderId": order_id, "expiresAt": expires_at}
    found[SessionEnded] = json.loads(SessionEnded(session_id="0" * 24, ended_at=now()).to_json())
    await until(bus.waiting, lambda waiting: waiting == 0, 90)
    return found


async def a_purchase_ends_well(seller: Person, buyer: Person) -> tuple[str, str]:
    """Gives the order and its ticket."""
    ticket = await seller.offers()
    first = await until(lambda: buyer.asks_for(ticket["id"]), lambda answer: answer.status_code == 201, 60)
    await buyer.cancels(first.json()["id"])
    order = await until(lambda: buyer.asks_for(ticket["id"]), lambda answer: answer.status_code == 201, 60)
    order_id = order.json()["id"]
    await until(lambda: buyer.pays(order_id), lambda answer: answer.status_code == 201, 60)
    await until(lambda: buyer.payment(order_id), lambda seen: seen["status"] == "captured", 60)
    await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["status"] == "sold", 60)
    return order_id, ticket["id"]


def bad_bodies(kind: type[Event], event: Mapping[str, Any]) -> list[bytes]:
    """An event with one thing wrong, in all the ways there are."""
    bodies = [
        b"",
        b"null",
        b"[]",
        b"7",
        b"{",
        b"\x00\xff",
        b'{"id": "\xff"}',
        json.dumps([event]).encode(),
        b"[" * 20_000,
        b'{"a":' * 20_000,
    ]
    changed: list[dict[str, Any]] = []
    for name, field in kind.model_fields.items():
        alias = field.alias or name
        if field.is_required():
            changed.append({key: value for key, value in event.items() if key != alias})
            changed.append({**event, alias: None})
        if alias != "ticket":
            values = [*OBJECTS, *_wrong(alias, field.annotation)]
            changed += [{**event, alias: value} for value in values]
    if "ticket" in event:
        ids: list[Any] = [None, "x", *OBJECTS]
        tickets: list[Any] = ["x", [], {}]
        changed += [{**event, "ticket": {**event["ticket"], "id": value}} for value in ids]
        changed += [{**event, "ticket": value} for value in tickets]
    return bodies + [json.dumps(body).encode() for body in changed]


def _wrong(name: str, annotation: Any) -> list[Any]:
    """What isn't of that type, though it looks a little like it."""
    kinds = {annotation, *(get_args(annotation) if get_origin(annotation) not in (None, Literal) else ())}
    if any(get_origin(kind) is Literal for kind in kinds):
        return ["unheard-of", "", 5]
    if int in kinds:
        return [-1, 1.5, "many", 10**30]
    if name == "id" or name.endswith("Id"):
        return ["", "x", "G" * 24, "0" * 23, 5] if name != "stripeId" else [5]
    if name.endswith(("At", "Until")):
        return [0, 1e12, "soon", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00"]
    if name in ("price", "faceValue"):
        return [0, -1, 0.001, 1e308, "free"]
    return [5]


def hearing(kind: type[Event]) -> list[str]:
    """The durable consumers that an event reaches."""
    heard = (consumer for service in SERVICES for consumer in consumers(service))
    return [consumer.name for consumer in heard if consumer.subject == kind.subject]


def header(letter: RawStreamMsg, name: str) -> str:
    return str((letter.headers or {}).get(name, ""))


def what_it_was(letter: RawStreamMsg) -> tuple[str, bytes]:
    return header(letter, DeadLetter.CONSUMER), letter.data or b""


async def documents(stack: Stack, *people: Person) -> dict[str, Any]:
    """All that the services have of these people's business."""
    mine = {"user_id": {"$in": [person.id for person in people]}}
    places = "tickets.tickets orders.tickets orders.orders payments.orders payments.payments"
    async with AsyncMongoClient[dict[str, Any]](stack.settings.database) as client:
        found: dict[str, Any] = {}
        for place in places.split():
            database, _, name = place.partition(".")
            found[place] = await client[database][name].find(mine).sort("_id").to_list()
            assert found[place], f"the control: {place} has something"
        return found


async def all_live(stack: Stack) -> None:
    urls = [stack.web, *(stack.settings.url_of(service) for service in SERVICES)]
    async with httpx.AsyncClient(timeout=60) as client:
        for url in urls:
            for state in ("live", "ready"):
                assert (await client.get(f"{url}/health/{state}")).status_code == 200, f"{url} isn't {state}"
