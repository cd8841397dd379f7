"""A process's connection to NATS. The process starts without waiting for NATS and reconnects forever."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol

from faststream import StreamMessage
from faststream.nats import NatsBroker, NatsMessage
from nats.aio.msg import Msg
from nats.errors import SlowConsumerError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from contracts.events import Event, SessionEnded
from kit.nats import (
    EVENTS,
    LIVE_PREFIX,
    OUTAGE,
    StoredMessage,
    connect,
    connection_options,
    leave_leaderless_servers,
    read_subject,
    sequence_number,
)
from kit.secrets import nats_servers
from kit.sessions import EndedSessions, EndedSessionsFeed
from settings import Settings
from streams.delivery import Listener
from streams.stream_watch import CHECK_SECONDS, StreamWatch
from streams.topology import Consumer

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5

PROVISIONING_SECONDS = 20.0
"""Missing consumers are reported only after this time, because `just up` creates them during the start."""

LANES = 8
"""Number of messages of one consumer that a process handles concurrently. Handlers spend most of their time
waiting for the database or Stripe. With four lanes, payments fell behind the order events under load.
"""

Decode = Callable[[StreamMessage[Msg]], Awaitable[Event | None]]
"""Reads the event in a live message; None if it can't be read."""

NumberedEvent = tuple[Event | None, int | None]
"""A live event and its sequence number."""


class Feed(Protocol):
    """Follows events as they are published. Some are missed while the process isn't connected."""

    def connected(self) -> None:
        """Events arrive from now on. Earlier ones may have been missed."""

    def disconnected(self) -> None:
        """No events arrive."""

    def follow(self, event: Any, position: int) -> None:
        """Apply an event with this sequence number. It is None if it can't be read."""


class Bus:
    """A service's broker and subscriptions. `run` connects."""

    def __init__(self, settings: Settings, listener: Listener, ended: EndedSessions) -> None:
        self.service = listener.service
        self.consumers = listener.consumers
        self._live = listener.live
        self.started = asyncio.Event()
        self.broker = NatsBroker(
            **connection_options(nats_servers(settings, listener.service), listener.service),
            name=f"stagedoor-{listener.service}",
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnect,
            reconnected_cb=self._on_reconnect,
            logger=logging.getLogger("bus"),
            graceful_timeout=5.0,
            apply_types=False,  # handlers get decoded events, so that nothing is left to convert
        )
        self._watch = StreamWatch(self.consumers)
        self._sessions = EndedSessionsFeed(ended, self._stored_session_ends)
        self._feeds: list[Feed] = []
        self.provided: dict[str, Any] = {}
        """Further arguments of handlers, by name. They are added before the bus starts."""
        self.broker.include_router(listener.router(LANES, self.provided))

        @self.broker.subscriber(
            f"{LIVE_PREFIX}.{SessionEnded.subject}",
            decoder=_session_ended,
            no_reply=True,
            title="every-process-session-ended",
            description=(SessionEnded.__doc__ or "").strip(),
        )
        async def end_session(event: SessionEnded) -> None:
            """Refuse the tokens of this session from now on."""
            self._sessions.apply(event)

    def feed(self, feed: Feed, subject: str, decode: Decode) -> None:
        """Pass on live events from the start of the bus. The service's listener declares `subject`."""
        assert subject in self._live, f"{self.service} doesn't declare that it follows {subject}"
        self._feeds.append(feed)

        async def decode_with_position(message: StreamMessage[Msg]) -> NumberedEvent:
            return await decode(message), sequence_number(message.headers)

        @self.broker.subscriber(
            f"{LIVE_PREFIX}.{subject}", decoder=decode_with_position, no_reply=True, include_in_schema=False
        )
        async def pass_on(numbered: NumberedEvent) -> None:
            event, position = numbered
            if position is not None:
                feed.follow(event, position)

    async def last_position(self) -> int | None:
        """The sequence number of the last event; None while NATS is unavailable."""
        if not self.broker.connection.is_connected:
            return None
        try:
            info = await self.broker.connection.jetstream(timeout=2).stream_info(EVENTS)
        except (NotFoundError, *OUTAGE):
            return None
        return info.state.last_seq

    async def run(self) -> None:
        """Connect, subscribe when all consumers exist, and follow ended sessions until cancelled."""
        await connect(self.broker)
        await asyncio.gather(leave_leaderless_servers(self.broker), self._listen(), self._watch_streams())

    async def _listen(self) -> None:
        """Subscribe only when all consumers exist: nats-py would create a missing one with its own
        settings."""
        expected_at = time.monotonic() + PROVISIONING_SECONDS
        while missing := await self.missing():
            if time.monotonic() > expected_at:
                log.warning("waiting for %s: run `just provision`", ", ".join(missing))
            await asyncio.sleep(RETRY_SECONDS)
        while not self.started.is_set():
            try:
                await self._check_streams()  # before messages arrive, which hide what is missing
                await self.broker.start()
                await self._sessions.catch_up()
            except NotFoundError:  # only in auth, which has no consumers to wait for
                if time.monotonic() > expected_at:
                    log.warning("waiting for the stream %s: run `just provision`", EVENTS)
                await asyncio.sleep(RETRY_SECONDS)
            except OUTAGE as error:
                log.warning("NATS became unavailable during the start, trying again: %r", error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self.started.set()
                for feed in self._feeds:
                    feed.connected()
        log.info("listening to %s consumers", len(self.consumers))
        await self._sessions.keep_up()

    async def _watch_streams(self) -> None:
        """Check the streams now and then. Never ends."""
        await self.started.wait()
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self._check_streams()

    async def _check_streams(self) -> None:
        """Check the streams. An outage is reported elsewhere."""
        with suppress(NotFoundError, *OUTAGE):
            await self._watch.check(self.broker.connection.jetstream(timeout=2))

    async def stop(self) -> None:
        """Let handlers finish, then disconnect."""
        self.started.clear()
        await self.broker.stop()

    async def is_idle(self) -> bool:
        """Whether no event waits to be delivered to this service. False while NATS is unreachable."""
        if not (self.started.is_set() and self.broker.connection.is_connected):
            return False
        js = self.broker.connection.jetstream(timeout=2)
        try:
            found = [await js.consumer_info(consumer.stream, consumer.name) for consumer in self.consumers]
        except (NotFoundError, *OUTAGE):
            return False
        return not any(info.num_pending for info in found)

    async def missing(self) -> list[str]:
        """The names of the missing consumers, or NATS if the server is unreachable.

        The process doesn't receive the events of a missing consumer.
        """
        if not self.broker.connection.is_connected:
            return ["NATS"]
        js = self.broker.connection.jetstream(timeout=2)
        found = await asyncio.gather(*(self._exists(js, consumer) for consumer in self.consumers))
        return [consumer.name for consumer, exists in zip(self.consumers, found, strict=True) if not exists]

    async def _exists(self, js: JetStreamContext, consumer: Consumer) -> bool:
        try:
            await js.consumer_info(consumer.stream, consumer.name)
        except (NotFoundError, *OUTAGE):
            return False
        return True

    def _stored_session_ends(self, start: datetime) -> AsyncGenerator[StoredMessage, None]:
        return read_subject(self.broker.connection, self.service, EVENTS, SessionEnded.subject, start)

    async def _on_error(self, error: Exception) -> None:
        # While the server is down, nats-py reports each failed attempt to connect. These errors are expected
        # and logged for debugging only. Before the first start, only OSErrors are expected: a wrong password,
        # for example, is logged as a warning.
        expected = isinstance(error, OSError) or (
            self.started.is_set() and not self.broker.connection.is_connected
        )
        log.log(logging.DEBUG if expected else logging.WARNING, "NATS: %r", error)
        if isinstance(error, SlowConsumerError):  # the client dropped a message
            for feed in self._feeds:
                feed.disconnected()
                feed.connected()

    async def _on_disconnect(self) -> None:
        for feed in self._feeds:
            feed.disconnected()
        if self.started.is_set():
            log.warning("NATS is unavailable: events stay in the outbox")

    async def _on_reconnect(self) -> None:
        log.info("NATS is available again")
        self._sessions.missed.set()
        if self.started.is_set():
            for feed in self._feeds:
                feed.connected()


async def _session_ended(message: NatsMessage) -> SessionEnded:
    return SessionEnded.model_validate_json(message.body)
