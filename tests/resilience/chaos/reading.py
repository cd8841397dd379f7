"""Read the history of a marketplace that is at rest: its databases, its streams and Stripe's objects."""

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

from contracts.events import SessionEnded
from kit.nats import EVENTS
from kit.secrets import OPERATOR, nats_servers
from services.mail.rendering import Stationery
from settings import Settings
from streams.delivery import DeadLetter
from streams.processes import CONSUMERS, OUTBOXES
from streams.topology import DEAD, TIMERS
from tests.resilience.chaos.history import (
    Copy,
    DeadMessage,
    History,
    Kind,
    PublishedEvent,
    Request,
    Stored,
    Timer,
)
from tests.resilience.chaos.invariants import violations

ECHO = "Stagedoor-Echo"
"""A header that marks messages that faults published: poison messages, and events with a new message id."""

STRIPE = "https://api.stripe.com"
KINDS: Mapping[str, Kind] = {
    "ticket": "ticket",
    "order": "order",
    "payment": "payment",
    "session": "session",
    "expiration": "expiration",
}
LOOK_SECONDS = 0.5
MESSAGE_SECONDS = 10.0


class Incomplete(Exception):
    """A stream was read incompletely, because it changed or the connection broke."""


UNREADABLE = (PyMongoError, nats.errors.Error, httpx.HTTPError, OSError, TimeoutError, Incomplete)
"""Errors that occur while a server is still down."""


@dataclass(frozen=True)
class Message:
    """A message of a stream."""

    subject: str
    sequence: int
    at: datetime
    headers: Mapping[str, str]
    data: bytes

    @property
    def id(self) -> str:
        return self.headers.get(Header.MSG_ID) or self.headers.get("ce-id", "")

    @property
    def content(self) -> tuple[str, bytes]:
        return self.subject, self.data


async def at_rest(
    settings: Settings,
    requests: Sequence[Request],
    poisoned: frozenset[str],
    seconds: float,
    received: Sequence[Copy] | None = None,
) -> History:
    """Read the history until it violates no invariant or the time is over, and return the last one read.

    Args:
        received: what the run's mail server has received. It may get more meanwhile.

    Raises:
        pymongo.errors.PyMongoError, nats.errors.Error, httpx.HTTPError, OSError, TimeoutError, Incomplete:
            a server can't be read when the time is over.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if not await _is_busy(settings, timedelta(seconds=deadline - time.monotonic())):
                history = await read(settings, requests, poisoned, received)
                if not violations(history):
                    return history
        except UNREADABLE:
            pass
        await asyncio.sleep(LOOK_SECONDS)
    return await read(settings, requests, poisoned, received)


async def read(
    settings: Settings,
    requests: Sequence[Request] = (),
    poisoned: frozenset[str] = frozenset(),
    received: Sequence[Copy] | None = None,
) -> History:
    """Everything that is stored now, and the clients' requests.

    Raises:
        pymongo.errors.PyMongoError, nats.errors.Error, httpx.HTTPError, OSError, TimeoutError, Incomplete:
            a server can't be read.
    """
    history = History(datetime.now(UTC), requests=requests)
    history = await _with_documents(history, settings.database)
    message_id = Stationery(settings.sender, settings.site).message_id
    messages = [{**each, "message_id": message_id(each["_id"])} for each in history.messages]
    # What the mail server has received is read last: a message that is sent by now has arrived by now.
    history = replace(history, messages=messages, received=None if received is None else [*received])
    history = await with_messages(history, nats_servers(settings, OPERATOR), poisoned)
    return replace(
        history,
        intents=[intent async for intent in _stripe_objects(settings, "payment_intents", "latest_charge")],
        pages=[page async for page in _stripe_objects(settings, "checkout/sessions")],
        transfers=[transfer async for transfer in _stripe_objects(settings, "transfers")],
    )


async def _is_busy(settings: Settings, left: timedelta) -> bool:
    """Whether work is obviously under way. This check is much cheaper than reading everything."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        settings.database, tz_aware=True, timeoutMS=30_000
    )
    async with client:
        for database, collection in OUTBOXES:
            if await client[database][collection].find_one({"outbox.id": {"$gt": ""}}, {"_id": 1}):
                return True
        over = datetime.now(UTC) + left  # don't wait for orders with a later deadline, set by a wrong clock
        async for order in client["orders"]["orders"].find({"live": True}, {"expires_at": 1}):
            if order["expires_at"] < over:
                return True
        promised = {"status": "complete", "delivery": "due", "details.delivery": {"$ne": "seller"}}
        async for order in client["orders"]["orders"].find(promised, {"deliver_by": 1}):
            if order["deliver_by"] < over:
                return True
        due = {"state": "due", "needs_account": False, "planned": None}
        if await client["payouts"]["sales"].find_one(due, {"_id": 1}):
            return True
        for status in ("authorized", "refunding"):
            if await client["payments"]["payments"].find_one({"status": status}, {"_id": 1}):
                return True
    connection = await nats.connect(
        nats_servers(settings, OPERATOR), connect_timeout=5, max_reconnect_attempts=3
    )
    try:
        return any((await _unhandled(connection.jetstream(timeout=MESSAGE_SECONDS))).values())
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
            sales=await all_of("payouts", "sales"),
            ledger=await all_of("payouts", "ledger"),
            messages=await all_of("mail", "messages"),
            webhooks=await all_of("payments", "webhook_events"),
            tickets_known_to_orders=await all_of("orders", "tickets"),
            orders_known_to_payments=await all_of("payments", "orders"),
        )


async def with_messages(
    history: History, servers: Sequence[str], poisoned: frozenset[str] = frozenset()
) -> History:
    """The history with the streams' messages, the poison messages among them, and the timers."""
    connection = await nats.connect(list(servers), connect_timeout=5, max_reconnect_attempts=3)
    try:
        js = connection.jetstream(timeout=MESSAGE_SECONDS)
        events, letters = await messages_of(js, EVENTS), await messages_of(js, DEAD)
        # The echo of a poison message has the same content, isn't an event, and becomes another dead letter.
        poison = {message.content for message in events if message.id in poisoned}
        return replace(
            history,
            events=[event for each in events if each.content not in poison and (event := event_of(each))],
            dead=_dead_messages(letters, {each.sequence: each.id for each in events}),
            poisoned=[
                (each.id, name)
                for each in events
                if each.content in poison
                for name in _consumers_of(each.subject)
            ],
            timers=[_timer(message) async for message in _waiting_timers(js)],
            unhandled=await _unhandled(js),
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
            # An ordered consumer may start again, and deliver messages twice.
            if not messages or message.sequence > messages[-1].sequence:
                messages.append(message)
    finally:
        await subscription.unsubscribe()
    read = [message for message in messages if message.sequence <= state.last_seq]
    if len(read) != state.messages:
        raise Incomplete(f"{len(read)} of {state.messages} messages of {stream} were read")
    return read


def event_of(message: Message) -> PublishedEvent | None:
    """The event in a message; None if the message isn't an event, as with poison messages.

    If a service published the unreadable event, an invariant reports that its version is missing.
    """
    kind = KINDS.get(message.subject.partition(".")[0])
    try:
        body = json.loads(message.data)
        match kind:
            case None:
                return None
            case "session" if message.subject != SessionEnded.subject:
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
    return PublishedEvent(message.id, kind, about, version, body, message.subject, message.at, echo=echo)


def _consumers_of(subject: str) -> list[str]:
    """The consumers of a subject."""
    return [each.name for each in CONSUMERS if (each.stream, each.subject) == (EVENTS, subject)]


def _dead_messages(letters: Iterable[Message], ids: Mapping[int, str]) -> list[DeadMessage]:
    """The original messages of dead letters, taken from the dead letters' ids.

    Dead letters with the same id are counted once. A consumer publishes a dead letter again if the
    acknowledgement was lost, and the stream deduplicates for two minutes only.
    """
    dead = []
    for letter in {letter.id: letter for letter in letters}.values():
        _, stream, sequence = letter.id.rsplit(":", 2)
        came_as = ids.get(int(sequence), letter.id) if stream == EVENTS else letter.id
        dead.append((came_as, letter.headers.get(DeadLetter.CONSUMER, "")))
    return dead


async def _waiting_timers(js: JetStreamContext) -> AsyncIterator[RawStreamMsg]:
    """Read timers one by one, because a work queue allows no second consumer."""
    sequence = (await js.stream_info(TIMERS)).state.first_seq
    while True:
        try:
            message = await js.get_msg(TIMERS, seq=sequence, subject="timers.set.>", next=True)
        except nats.js.errors.NotFoundError:
            return
        yield message
        sequence = (message.seq or sequence) + 1


def _timer(message: RawStreamMsg) -> Timer:
    """Read the order and the deadline (in milliseconds) from the end of the subject."""
    _, _, order, milliseconds = (message.subject or "").split(".")
    return Timer(order, datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(milliseconds)))


async def _unhandled(js: JetStreamContext) -> dict[str, int]:
    waiting = {}
    for consumer in CONSUMERS:
        info = await js.consumer_info(consumer.stream, consumer.name)
        waiting[consumer.name] = (info.num_pending or 0) + (info.num_ack_pending or 0)
    return waiting


async def _stripe_objects(settings: Settings, kind: str, expanded: str = "") -> AsyncIterator[dict[str, Any]]:
    key = settings.stripe_key.get_secret_value() if settings.stripe_key else "sk_test_reading"
    headers = {"Authorization": f"Bearer {key}"}
    query = {"limit": "100"} | ({"expand[]": f"data.{expanded}"} if expanded else {})
    async with httpx.AsyncClient(
        base_url=settings.stripe_base or STRIPE, headers=headers, timeout=30
    ) as stripe:
        while True:
            answer = await stripe.get(f"/v1/{kind}", params=query)
            answer.raise_for_status()
            page = answer.json()
            for found in page["data"]:
                yield found
            if not page["has_more"]:
                return
            query["starting_after"] = page["data"][-1]["id"]
