"""Receives events from NATS and applies them to the process's feed."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial

from faststream import StreamMessage
from faststream.nats import NatsBroker
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from contracts.events import ALL_EVENTS, Event, SessionEnded, TicketCreated, TicketUpdated
from kit.background import cancel
from kit.nats import (
    EVENTS,
    LIVE_PREFIX,
    MESSAGE_SECONDS,
    OUTAGE,
    StoredMessage,
    connect,
    connection_options,
    leave_leaderless_servers,
    read_subject,
    sequence_number,
)
from kit.secrets import nats_servers
from kit.sessions import EndedSessionsFeed
from settings import Settings
from web.live.feed import Feed

log = logging.getLogger(__name__)

USER = "web"
"""The web processes' user in deploy/nats/users.conf."""

RETRY_SECONDS = 1.0

IsReachable = Callable[[], Awaitable[bool]]
"""A function that returns whether NATS responds."""

NumberedEvent = tuple[Event | None, int | None]
"""An event and its position in the stream. The position is None if the message comes from no stream."""

_EVENTS = {event.subject: event for event in ALL_EVENTS}


async def decode(message: StreamMessage[Msg]) -> NumberedEvent:
    """The event in a message and its position.

    The event is None if the subject is unknown or the body is malformed.
    """
    subject = message.raw_message.subject.removeprefix(f"{LIVE_PREFIX}.")
    position = sequence_number(message.headers)
    if (kind := _EVENTS.get(subject)) is None:
        return None, position
    try:
        return kind.model_validate_json(message.body), position
    except ValidationError as error:
        log.warning("A message on %s violates its contract: %s", subject, error)
        return None, position


def subscribe(broker: NatsBroker, feed: Feed) -> None:
    """Apply each republished event, in the order of the stream.

    One subscription receives all events, so that they stay in order: nats-py runs each subscription in a task
    of its own. Unknown and malformed events are passed on, too, because the hub would mistake their missing
    numbers for a gap.
    """

    @broker.subscriber(f"{LIVE_PREFIX}.>", decoder=decode, no_reply=True)
    async def pass_on(numbered: NumberedEvent) -> None:
        event, position = numbered
        if position is not None:
            feed.apply(event, position)


@asynccontextmanager
async def listening(settings: Settings, feed: Feed) -> AsyncIterator[IsReachable]:
    """Subscribe in the background. The process also starts and serves pages while NATS is down."""
    reconnected = asyncio.Event()

    async def on_disconnect() -> None:
        reconnected.clear()
        feed.forget()

    async def on_reconnect() -> None:
        feed.resync()
        sessions.missed.set()
        reconnected.set()

    broker = NatsBroker(
        **connection_options(nats_servers(settings, USER), USER),
        disconnected_cb=on_disconnect,
        reconnected_cb=on_reconnect,
        logger=None,
        apply_types=False,  # `decode` returns what `pass_on` needs
    )
    subscribe(broker, feed)
    sessions = EndedSessionsFeed(feed.ended, partial(_stored_session_ends, broker))

    async def start() -> None:
        await connect(broker)
        await broker.start()
        await on_reconnect()
        await asyncio.gather(
            leave_leaderless_servers(broker), sessions.keep_up(), _confirm_pages(broker, feed, reconnected)
        )

    starting = asyncio.create_task(start())
    try:
        yield partial(broker.ping, 0.2)
    finally:
        await cancel(starting)
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await broker.stop()


def _stored_session_ends(broker: NatsBroker, start: datetime) -> AsyncGenerator[StoredMessage, None]:
    return read_subject(broker.connection, USER, EVENTS, SessionEnded.subject, start)


async def _last_position(broker: NatsBroker, event: type[Event]) -> int:
    """The position of the last event of a type, or 0. Web may ask only for events of tickets."""
    js = broker.connection.jetstream(timeout=MESSAGE_SECONDS)
    try:
        return (await js.get_last_msg(EVENTS, event.subject, direct=True)).seq or 0
    except NotFoundError:
        return 0


async def _confirm_pages(broker: NatsBroker, feed: Feed, reconnected: asyncio.Event) -> None:
    """After each connection, find the last event about a ticket. Never ends.

    All later ones are received, so pages with newer data may be kept until an event invalidates them.
    """
    while True:
        await reconnected.wait()
        try:
            last = max([await _last_position(broker, event) for event in (TicketCreated, TicketUpdated)])
        except OUTAGE as error:
            log.warning("pages are kept only briefly, because the last event is unknown: %r", error)
            await asyncio.sleep(RETRY_SECONDS)
            continue
        if reconnected.is_set():  # otherwise the connection was lost meanwhile
            feed.pages.confirm(last)
            reconnected.clear()
