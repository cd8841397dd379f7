"""Reads the history of a marketplace that has come to rest: databases, streams, and Stripe's books."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import nats
import nats.errors
import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import Header, RawStreamMsg
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from settings import Settings
from streams.delivery import DeadLetter
from streams.topology import DEAD, EVENTS, LISTENS, TIMERS, consumers
from tests.chaos.history import Burial, History, Kind, Request, Said, Stored, Timer
from tests.chaos.invariants import violations

ECHO = "Stagedoor-Echo"
"""A header of what was published again on purpose, under another id."""

STRIPE = "https://api.stripe.com"
KINDS: Mapping[str, Kind] = {
    "ticket": "ticket",
    "order": "order",
    "payment": "payment",
    "session": "session",
    "expiration": "expiration",
}
OUTBOXES = (("tickets", "tickets"), ("orders", "orders"), ("payments", "payments"), ("auth", "sessions"))
"""Database and collection."""
LOOK_SECONDS = 0.5
MESSAGE_SECONDS = 10.0


class Incomplete(Exception):
    """Not all of a stream was read: it changed, or the way to it broke."""


UNREADABLE = (PyMongoError, nats.errors.Error, httpx.HTTPError, OSError, TimeoutError, Incomplete)
"""What goes wrong with reading while something is still away."""


@dataclass(frozen=True)
class Message:
    """One of a stream."""

    subject: str
    sequence: int
    at: datetime
    headers: Mapping[str, str]
    data: bytes

    @property
    def id(self) -> str:
        return self.headers.get(Header.MSG_ID) or self.headers.get("ce-id", "")

    @property
    def says(self) -> tuple[str, bytes]:
        return self.subject, self.data


async def at_rest(
    settings: Settings, requests: Sequence[Request], poisoned: frozenset[str], seconds: float
) -> History:
    """The history once there is nothing to object to, or the last one that could be read in these seconds.

    Raises:
        pymongo.errors.PyMongoError, nats.errors.Error, httpx.HTTPError, OSError, TimeoutError, Incomplete:
            something can't be read when the time is over.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if not await _is_busy(settings, timedelta(seconds=deadline - time.monotonic())):
                history = await read(settings, requests, poisoned)
                if not violations(history):
                    return history
        except UNREADABLE:
            pass
        await asyncio.sleep(LOOK_SECONDS)
    return await read(settings, requests, poisoned)


async def read(
    settings: Settings, requests: Sequence[Request] = (), poisoned: frozenset[str] = frozenset()
) -> History:
    """Everything that is stored now, with what the clients noted.

    Raises:
        pymongo.errors.PyMongoError, nats.errors.Error, httpx.HTTPError, OSError, TimeoutError, Incomplete:
            something can't be read.
    """
    history = History(datetime.now(UTC), requests=requests)
    history = await _with_documents(history, settings.database)
    history = await with_messages(history, settings.bus, poisoned)
    return replace(history, intents=[intent async for intent in _intents(settings)])


async def _is_busy(settings: Settings, left: timedelta) -> bool:
    """Whether something is plainly under way; much cheaper than to read all and find out."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        settings.database, tz_aware=True, timeoutMS=30_000
    )
    async with client:
        for database, collection in OUTBOXES:
            if await client[database][collection].find_one({"outbox.id": {"$gt": ""}}, {"_id": 1}):
                return True
        over = datetime.now(UTC) + left  # one that lives longer, by a clock that was wrong, isn't waited for
        async for order in client["orders"]["orders"].find({"live": True}, {"expires_at": 1}):
            if order["expires_at"] < over:
                return True
        for status in ("authorized", "refunding"):
            if await client["payments"]["payments"].find_one({"status": status}, {"_id": 1}):
                return True
    connection = await nats.connect(list(settings.bus), connect_timeout=5, max_reconnect_attempts=3)
    try:
        return any((await _unheard(connection.jetstream(timeout=MESSAGE_SECONDS))).values())
    finally:
        await connection.close()


async def _with_documents(history: History, url: str) -> History:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(url, tz_aware=True, timeoutMS=30_000)
    async with client:

        async def all_of(database: str, collection: str) -> list[Stored]:
            return [*await client[database][collection].find().to_list()]

        return replace(
            history,
            users=await all_of("auth", "users"),
            sessions=await all_of("auth", "sessions"),
            tickets=await all_of("tickets", "tickets"),
            orders=await all_of("orders", "orders"),
            payments=await all_of("payments", "payments"),
            notices=await all_of("payments", "notices"),
            tickets_known_to_orders=await all_of("orders", "tickets"),
            orders_known_to_payments=await all_of("payments", "orders"),
        )


async def with_messages(
    history: History, servers: Sequence[str], poisoned: frozenset[str] = frozenset()
) -> History:
    """With what is in the streams, and what of the poison has arrived there."""
    connection = await nats.connect(list(servers), connect_timeout=5, max_reconnect_attempts=3)
    try:
        js = connection.jetstream(timeout=MESSAGE_SECONDS)
        events, letters = await messages_of(js, EVENTS), await messages_of(js, DEAD)
        # An echo of poison is poison too, says nothing either, and is buried for itself.
        poison = {message.says for message in events if message.id in poisoned}
        return replace(
            history,
            events=[event for each in events if each.says not in poison and (event := said(each))],
            dead=_buried(letters, {each.sequence: each.id for each in events}),
            poisoned=[
                (each.id, name) for each in events if each.says in poison for name in _hearing(each.subject)
            ],
            timers=[_timer(message) async for message in _waiting_timers(js)],
            unheard=await _unheard(js),
        )
    finally:
        await connection.close()


async def messages_of(js: JetStreamContext, stream: str) -> list[Message]:
    """All messages, in order.

    Raises:
        Incomplete
    """
    state = (await js.stream_info(stream)).state
    messages: list[Message] = []
    if not state.messages:
        return messages
    subscription = await js.subscribe(">", stream=stream, ordered_consumer=True)
    try:
        while not messages or messages[-1].sequence < state.last_seq:
            got = await subscription.next_msg(timeout=MESSAGE_SECONDS)
            meta, headers = got.metadata, got.headers or {}
            message = Message(got.subject, meta.sequence.stream, meta.timestamp, headers, got.data)
            if not messages or message.sequence > messages[-1].sequence:  # or its reader began anew
                messages.append(message)
    finally:
        await subscription.unsubscribe()
    read = [message for message in messages if message.sequence <= state.last_seq]
    if len(read) != state.messages:
        raise Incomplete(f"{len(read)} of {state.messages} messages of {stream} were read")
    return read


def said(message: Message) -> Said | None:
    """The event that a message is; None of other things, and of poison, which says nothing.

    A service whose own event can't be read is found all the same: its version is missing.
    """
    kind = KINDS.get(message.subject.partition(".")[0])
    try:
        body = json.loads(message.data)
        match kind:
            case None:
                return None
            case "session":
                about, version = body["sessionId"], 0
            case "expiration":
                about, version = body["orderId"], 0
            case _:
                about, version = body["id"], body["version"]
    except (ValueError, LookupError, TypeError):
        return None
    echo = ECHO in message.headers
    return Said(message.id, kind, about, version, body, message.subject, message.at, echo=echo)


def _hearing(subject: str) -> list[str]:
    """The consumers of an event."""
    heard = (consumer for service in LISTENS for consumer in consumers(service))
    return [consumer.name for consumer in heard if (consumer.stream, consumer.subject) == (EVENTS, subject)]


def _buried(letters: Iterable[Message], ids: Mapping[int, str]) -> list[Burial]:
    """What dead letters were in the stream: their own ids tell where they come from.

    One that is there twice under one id is the same: a burial that its consumer didn't get to know of is
    repeated, and the stream remembers ids for two minutes.
    """
    buried = []
    for letter in {letter.id: letter for letter in letters}.values():
        _, stream, sequence = letter.id.rsplit(":", 2)
        came_as = ids.get(int(sequence), letter.id) if stream == EVENTS else letter.id
        buried.append((came_as, letter.headers.get(DeadLetter.CONSUMER, "")))
    return buried


async def _waiting_timers(js: JetStreamContext) -> AsyncIterator[RawStreamMsg]:
    """One by one: a stream that is a queue has no second reader."""
    sequence = (await js.stream_info(TIMERS)).state.first_seq
    while True:
        try:
            message = await js.get_msg(TIMERS, seq=sequence, subject="timers.set.>", next=True)
        except nats.js.errors.NotFoundError:
            return
        yield message
        sequence = (message.seq or sequence) + 1


def _timer(message: RawStreamMsg) -> Timer:
    """Its subject ends with its order and the milliseconds of its deadline."""
    _, _, order, milliseconds = (message.subject or "").split(".")
    return Timer(order, datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(milliseconds)))


async def _unheard(js: JetStreamContext) -> dict[str, int]:
    waiting = {}
    for service in LISTENS:
        for consumer in consumers(service):
            info = await js.consumer_info(consumer.stream, consumer.name)
            waiting[consumer.name] = (info.num_pending or 0) + (info.num_ack_pending or 0)
    return waiting


async def _intents(settings: Settings) -> AsyncIterator[dict[str, Any]]:
    key = settings.stripe_key.get_secret_value() if settings.stripe_key else "sk_test_reading"
    headers = {"Authorization": f"Bearer {key}"}
    query = {"limit": "100", "expand[]": "data.latest_charge"}
    async with httpx.AsyncClient(
        base_url=settings.stripe_base or STRIPE, headers=headers, timeout=30
    ) as stripe:
        while True:
            answer = await stripe.get("/v1/payment_intents", params=query)
            answer.raise_for_status()
            page = answer.json()
            for intent in page["data"]:
                yield intent
            if not page["has_more"]:
                return
            query["starting_after"] = page["data"][-1]["id"]
