"""Each invalid event becomes a dead letter with its error, and the next event is handled."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, get_args, get_origin

import httpx
import nats
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError
from pymongo import AsyncMongoClient

from contracts.events import (
    ALL_EVENTS,
    AlertMatched,
    Event,
    ExpirationComplete,
    LinkEvent,
    OrderCreated,
    PayoutEvent,
    SessionEnded,
    SessionStarted,
    UserEvent,
)
from contracts.examples import EVENT_EXAMPLES
from contracts.wire import now
from kit.aggregates import WITHOUT_OUTBOX
from kit.nats import EVENTS
from settings import SERVICES
from streams.delivery import DeadLetter
from streams.processes import CONSUMERS
from streams.topology import DEAD, Consumer
from tests.support.people import Person, signed_up
from tests.support.polling import until
from tests.support.stack import Stack

CONSUMERS_OF_EVENTS = [consumer for consumer in CONSUMERS if consumer.stream == EVENTS]

Bodies = dict[type[Event], dict[str, Any]]

APART = (AlertMatched, ExpirationComplete, LinkEvent, PayoutEvent, SessionEnded, SessionStarted, UserEvent)
"""Events that aren't about the ticket that is bought, or that come long after the purchase."""

JSON = {"content-type": "application/json"}
OBJECTS: list[Any] = [{"$ne": None}, [], ["x"], {"a": {"a": {"a": []}}}]
UNKNOWN_FIELDS: dict[str, Any] = {
    "addedLater": {"by": "somebody"},
    "$set": {"status": "sold"},
    "__proto__": None,
    "deep": json.loads("[" * 200 + "]" * 200),
    "long": "x" * 300_000,
    "\u0000": 10**30,
}
"""Fields that a newer publisher might add."""


class Bus:
    """Publishes any bytes to EVENTS, and reads the dead letters that result."""

    def __init__(self, js: JetStreamContext, dead_before: int) -> None:
        self.js = js
        self._sent: list[int] = []
        self._dead_letters: list[RawStreamMsg] = []
        self._next_dead_letter = dead_before + 1

    async def publish(self, subject: str, body: bytes) -> None:
        ack = await self.js.publish(subject, body, stream=EVENTS, headers=JSON)
        self._sent.append(ack.seq)

    async def dead_letters(self) -> list[RawStreamMsg]:
        """All dead letters since this object was created."""
        while self._next_dead_letter <= (await self.js.stream_info(DEAD)).state.last_seq:
            self._dead_letters.append(await self.js.get_msg(DEAD, self._next_dead_letter))
            self._next_dead_letter += 1
        return self._dead_letters

    async def unhandled(self) -> list[str]:
        """The consumers that haven't handled the last event of their subject.

        The server counts a new message as pending only some time after storing it. A consumer's
        acknowledgement floor is reliable at once.
        """
        is_behind = await asyncio.gather(*map(self._is_behind, CONSUMERS_OF_EVENTS))
        return [each.name for each, behind in zip(CONSUMERS_OF_EVENTS, is_behind, strict=True) if behind]

    async def _is_behind(self, consumer: Consumer) -> bool:
        with suppress(NotFoundError):  # no event has this subject
            last = await self.js.get_last_msg(EVENTS, consumer.subject)
            info = await self.js.consumer_info(EVENTS, consumer.name)
            return (last.seq or 0) > (info.ack_floor.stream_seq if info.ack_floor else 0)
        return False

    async def clean_up(self) -> None:
        """Delete all published messages, because other tests use the same marketplace."""
        for seq in self._sent:
            await self.js.delete_msg(EVENTS, seq)
        for letter in await self.dead_letters():
            await self.js.delete_msg(DEAD, letter.seq or 0)


@asynccontextmanager
async def on_the_bus(stack: Stack) -> AsyncIterator[Bus]:
    connection = await nats.connect(stack.bus)
    js = connection.jetstream(timeout=30)
    bus = Bus(js, (await js.stream_info(DEAD)).state.last_seq)
    try:
        yield bus
    finally:
        await bus.clean_up()
        await connection.close()


async def test_an_invalid_event_becomes_a_dead_letter_and_has_no_effect(stack: Stack) -> None:
    assert await publish_bad_events(stack, every=6) > 60


async def publish_bad_events(stack: Stack, every: int) -> int:
    """Publish every n-th bad body of each event. Return the number of dead letters: one per consumer."""
    async with on_the_bus(stack) as bus, signed_up(stack.web, 2) as (seller, buyer):
        events = await valid_events(bus, seller, buyer)
        assert set(events) == set(ALL_EVENTS)
        before = await documents(stack, seller, buyer)
        expected: Counter[tuple[str, bytes]] = Counter()
        for kind, event in events.items():
            for body in bad_bodies(kind, event)[::every]:
                await bus.publish(kind.subject, body)
                expected.update((consumer, body) for consumer in consumers_of(kind))

        async def missing() -> Counter[tuple[str, bytes]]:
            return expected - Counter(map(original_of, await bus.dead_letters()))

        await until(missing, lambda missing: not missing, 300)
        letters = await bus.dead_letters()
        assert len(letters) == expected.total()
        assert {header(each, DeadLetter.ATTEMPTS) for each in letters} == {"1"}
        assert all(header(each, DeadLetter.ERROR) for each in letters)
        assert await documents(stack, seller, buyer) == before
        await buy_a_ticket(seller, buyer)
        await all_live(stack)
        return expected.total()


async def test_additional_fields_of_an_event_are_ignored(stack: Stack) -> None:
    async with on_the_bus(stack) as bus, signed_up(stack.web, 2) as (seller, buyer):
        events = await valid_events(bus, seller, buyer)
        before = await documents(stack, seller, buyer)
        for kind, event in events.items():
            await bus.publish(kind.subject, json.dumps({**event, **UNKNOWN_FIELDS}).encode())
        await until(bus.unhandled, lambda names: not names, 90)
        assert not await bus.dead_letters()
        assert await documents(stack, seller, buyer) == before
        await all_live(stack)


async def valid_events(bus: Bus, seller: Person, buyer: Person) -> Bodies:
    """One event of each kind, about a ticket that is reserved, released and bought. All are handled."""
    js = bus.js
    start = (await js.stream_info(EVENTS)).state.last_seq + 1
    order_id, ticket_id = await buy_a_ticket(seller, buyer)
    of_subject = {kind.subject: kind for kind in ALL_EVENTS}

    async def published() -> Bodies:
        found: Bodies = {}
        for seq in range(start, (await js.stream_info(EVENTS)).state.last_seq + 1):
            message = await js.get_msg(EVENTS, seq)
            event = json.loads(message.data or b"{}")
            about = {event.get("id"), event.get("orderId"), event.get("ticket", {}).get("id")}
            kind = of_subject[message.subject or ""]
            if about & {order_id, ticket_id} and not issubclass(kind, APART):
                found[kind] = event
        return found

    about_ticket = {kind for kind in ALL_EVENTS if not issubclass(kind, APART)}
    found = await until(published, lambda found: found.keys() == about_ticket, 60)
    found |= {
        type(event): json.loads(event.to_json()) for event in EVENT_EXAMPLES if isinstance(event, APART)
    }
    expires_at = found[OrderCreated]["expiresAt"]
    found[ExpirationComplete] = {"orderId": order_id, "expiresAt": expires_at}
    found[SessionEnded] = json.loads(SessionEnded(session_id="0" * 24, ended_at=now()).to_json())
    await until(bus.unhandled, lambda names: not names, 90)
    return found


async def buy_a_ticket(seller: Person, buyer: Person) -> tuple[str, str]:
    """Buy a ticket after cancelling it once. Return the ids of the order and the ticket."""
    ticket = await seller.lists_ticket()
    first = await until(
        lambda: buyer.tries_to_reserve(ticket["id"]), lambda answer: answer.status_code == 201, 60
    )
    await buyer.cancels(first.json()["id"])
    order = await until(
        lambda: buyer.tries_to_reserve(ticket["id"]), lambda answer: answer.status_code == 201, 60
    )
    order_id = order.json()["id"]
    await until(lambda: buyer.pays(order_id), lambda answer: answer.status_code == 201, 60)
    await until(lambda: buyer.payment(order_id), lambda seen: seen["status"] == "captured", 60)
    await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["status"] == "sold", 60)
    return order_id, ticket["id"]


def bad_bodies(kind: type[Event], event: Mapping[str, Any]) -> list[bytes]:
    """Invalid variants of an event, each with one mistake."""
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
    """Values that look like the type of the field but are invalid, whatever the version of the contract.

    An unknown status isn't: it waits for an upgrade (tests/integration/streams/test_unknown_values.py).
    """
    kinds = {annotation, *(get_args(annotation) if get_origin(annotation) not in (None, Literal) else ())}
    if int in kinds:
        return [-1, 1.5, "many", 10**30]
    if name == "id" or name.endswith("Id"):
        return ["", "x", "G" * 24, "0" * 23, 5] if name != "stripeId" else [5]
    if name.endswith(("At", "Until")):
        return [0, 1e12, "soon", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00"]
    if name in ("price", "faceValue"):
        return [0, -1, 0.001, 1e308, "free"]
    return [5]


def consumers_of(kind: type[Event]) -> list[str]:
    """The durable consumers of an event."""
    return [consumer.name for consumer in CONSUMERS if consumer.subject == kind.subject]


def header(letter: RawStreamMsg, name: str) -> str:
    return str((letter.headers or {}).get(name, ""))


def original_of(letter: RawStreamMsg) -> tuple[str, bytes]:
    return header(letter, DeadLetter.CONSUMER), letter.data or b""


async def documents(stack: Stack, *people: Person) -> dict[str, Any]:
    """All documents of the services about these users, without outboxes, which are emptied later."""
    mine = {"user_id": {"$in": [person.id for person in people]}}
    places = "tickets.tickets orders.tickets orders.orders payments.orders payments.payments"
    async with AsyncMongoClient[dict[str, Any]](stack.settings.database) as client:
        found: dict[str, Any] = {}
        for place in places.split():
            database, _, name = place.partition(".")
            found[place] = await client[database][name].find(mine, WITHOUT_OUTBOX).sort("_id").to_list()
            assert found[place], f"the control: {place} has documents"
        return found


async def all_live(stack: Stack) -> None:
    urls = [stack.web, *(stack.settings.url_of(service) for service in SERVICES)]
    async with httpx.AsyncClient(timeout=60) as client:
        for url in urls:
            for state in ("live", "ready"):
                assert (await client.get(f"{url}/health/{state}")).status_code == 200, f"{url} isn't {state}"
