"""Ended sessions. Every process rejects their tokens, even if a session ended while the process was down."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from datetime import datetime, timedelta

from pydantic import ValidationError

from contracts.events import SessionEnded
from contracts.wire import now
from kit.nats import OUTAGE, StoredMessage

log = logging.getLogger(__name__)

OVERLAP = timedelta(minutes=1)
"""`catch_up` reads from this long before the last known event, because server clocks differ slightly."""

CATCH_UP_SECONDS = 60.0
"""Seconds between two calls of `catch_up`, in case a live message was lost."""

RETRY_SECONDS = 0.5

ReadFrom = Callable[[datetime], AsyncGenerator[StoredMessage, None]]
"""A function that reads the stored session.ended events from a time up to now, oldest first."""


class EndedSessions:
    """Sessions that users ended before their tokens expire."""

    def __init__(self, lifetime: timedelta) -> None:
        self.lifetime = lifetime
        self._ended: dict[str, datetime] = {}

    def add(self, session_id: str, ended_at: datetime) -> None:
        """Remember a session until its token has expired."""
        oldest = now() - self.lifetime
        if ended_at < oldest:
            return
        self._ended[session_id] = ended_at
        while self._ended and (first := next(iter(self._ended.items())))[1] < oldest:
            del self._ended[first[0]]

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._ended


class EndedSessionsFeed:
    """Keeps a set of ended sessions up to date.

    `apply` receives each event when it is published. `catch_up` reads events that were published earlier or
    were missed. An ordered consumer of nats-py could do both, but version 2.16 can't resume one that started
    at a given time.
    """

    def __init__(self, ended: EndedSessions, stored: ReadFrom) -> None:
        self.missed = asyncio.Event()
        """A flag that is set when live events may have been missed."""
        self._ended = ended
        self._stored = stored
        self._complete_until = now() - ended.lifetime
        """All ended sessions are known up to this time.

        From the first event on, it is a time by the NATS server's clock, because this process's clock may be
        ahead.
        """

    def apply(self, event: SessionEnded) -> None:
        """Reject the tokens of this session from now on."""
        self._ended.add(event.session_id, event.ended_at)

    async def catch_up(self) -> None:
        """Read the sessions that ended since the last call. The first call reads back one session lifetime.

        Raises:
            nats.errors.Error, TimeoutError: not everything was read.
        """
        async with aclosing(self._stored(self._complete_until - OVERLAP)) as messages:
            async for message in messages:
                try:
                    self.apply(SessionEnded.model_validate_json(message.body))
                except ValidationError as error:
                    log.warning("ignored a malformed session.ended: %s", error)
                self._complete_until = max(self._complete_until, message.stored_at)

    async def keep_up(self) -> None:
        """Catch up whenever events may have been missed, and every minute. Never ends."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(CATCH_UP_SECONDS):
                    await self.missed.wait()
            self.missed.clear()
            try:
                await self.catch_up()
            except OUTAGE as error:
                log.warning("not all ended sessions are known yet: %r", error)
                await asyncio.sleep(RETRY_SECONDS)
                self.missed.set()
