"""Reads the history of a marketplace that has come to rest: databases, streams, and Stripe's books."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import nats
from nats.js import JetStreamContext
from nats.js.api import Header, RawStreamMsg
from nats.js.errors import NotFoundError
from pymongo import AsyncMongoClient

from settings import Settings
from streams.topology import DEAD, EVENTS, TIMERS
from tests.chaos.history import History, Kind, Request, Said, Stored, Timer

STRIPE = "https://api.stripe.com"
KINDS: dict[str, Kind] = {"ticket": "ticket", "order": "order", "payment": "payment"}


async def read(
    settings: Settings, requests: Sequence[Request] = (), poisoned: frozenset[str] = frozenset()
) -> History:
    """Everything that is stored now, with what the clients noted.

    Raises:
        pymongo.errors.PyMongoError, nats.errors.Error, httpx.HTTPError: something can't be read.
    """
    history = History(datetime.now(UTC), requests=requests, poisoned=poisoned)
    history = await _with_documents(history, settings.database)
    history = await _with_messages(history, settings.bus)
    return replace(history, intents=[intent async for intent in _intents(settings)])


async def _with_documents(history: History, url: str) -> History:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(url, tz_aware=True)
    async with client:

        async def all_of(database: str, collection: str) -> list[Stored]:
            return [*await client[database][collection].find().to_list()]

        return replace(
            history,
            tickets=await all_of("tickets", "tickets"),
            orders=await all_of("orders", "orders"),
            payments=await all_of("payments", "payments"),
            tickets_known_to_orders=await all_of("orders", "tickets"),
            orders_known_to_payments=await all_of("payments", "orders"),
        )


async def _with_messages(history: History, servers: Sequence[str]) -> History:
    connection = await nats.connect(list(servers))
    try:
        js = connection.jetstream(timeout=10)
        return replace(
            history,
            events=[event async for message in _messages(js, EVENTS) if (event := said(message))],
            dead=[_header(message, Header.MSG_ID) async for message in _messages(js, DEAD)],
            timers=[_timer(message) async for message in _messages(js, TIMERS) if _is_set(message)],
        )
    finally:
        await connection.close()


async def _messages(js: JetStreamContext, stream: str) -> AsyncIterator[RawStreamMsg]:
    sequence = (await js.stream_info(stream)).state.first_seq
    while True:
        try:
            message = await js.get_msg(stream, seq=sequence, subject=">", next=True)
        except NotFoundError:
            return
        yield message
        sequence = (message.seq or sequence) + 1


def _header(message: RawStreamMsg, name: str) -> str:
    return str((message.headers or {}).get(name, ""))


def said(message: RawStreamMsg) -> Said | None:
    """The event that a message is; None of other things, and of poison, which says nothing.

    A service whose own event can't be read is found all the same: its version is missing.
    """
    kind = KINDS.get((message.subject or "").partition(".")[0])
    try:
        body = json.loads(message.data or b"")
        about, version = body["id"], body["version"]
    except (ValueError, LookupError, TypeError):
        return None
    return Said(_header(message, Header.MSG_ID), kind, about, version, body) if kind else None


def _is_set(message: RawStreamMsg) -> bool:
    """Whether it is a timer that still runs, and not one that was just due."""
    return (message.subject or "").startswith("timers.set.")


def _timer(message: RawStreamMsg) -> Timer:
    """Its subject ends with its order and the milliseconds of its deadline."""
    _, _, order, milliseconds = (message.subject or "").split(".")
    return Timer(order, datetime.fromtimestamp(int(milliseconds) / 1000, UTC))


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
