"""Reports to auth which sessions are in use, because web verifies tokens without calling auth."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp

from contracts.identity import Identity
from kit.sessions import EndedSessions
from kit.tokens import Sessions
from settings import Settings
from web import upstream

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 300.0
"""Minimum time between two reports of one session."""

MAX_SESSIONS = 20_000
"""Sessions whose last report is remembered: about 4 MB. A forgotten session is reported again earlier."""

MAX_WAITING = 1_000
"""Reports that may wait for auth. Further ones are dropped, and made with the session's next request."""


class SessionUse:
    """Collects the sessions in use. Nobody waits for a report."""

    def __init__(self) -> None:
        self._noted: dict[str, float] = {}
        """When a session's use was last passed on, oldest first."""
        self._waiting: asyncio.Queue[str] = asyncio.Queue(MAX_WAITING)

    def note(self, session_id: str, token: str) -> None:
        """Note that a session is in use."""
        moment = time.monotonic()
        noted = self._noted.get(session_id)
        if (noted is not None and moment - noted < INTERVAL_SECONDS) or self._waiting.full():
            return
        self._noted.pop(session_id, None)
        self._noted[session_id] = moment
        if len(self._noted) > MAX_SESSIONS:
            del self._noted[next(iter(self._noted))]
        self._waiting.put_nowait(token)

    async def report(self, http: aiohttp.ClientSession, settings: Settings) -> None:
        """Report one session after the other. Never ends. A report that fails isn't repeated."""
        address = f"{settings.url_of('auth')}/api/users/session-use"
        while True:
            token = await self._waiting.get()
            headers = {"Authorization": f"Bearer {token}"}
            try:
                async with http.post(address, headers=headers, timeout=upstream.timeout("auth", "POST")):
                    pass
            except (aiohttp.ClientError, TimeoutError) as error:
                log.debug("the use of a session wasn't reported: %r", error)


class UsedSessions(Sessions):
    """Verifies session tokens, and notes that their sessions are in use."""

    def __init__(
        self, fetch_keys: Callable[[], Awaitable[Mapping[str, Any]]], ended: EndedSessions, use: SessionUse
    ) -> None:
        super().__init__(fetch_keys, ended)
        self.use = use

    async def identify(self, token: str) -> Identity | None:
        """As the base class. It doesn't wait for auth."""
        identity = await super().identify(token)
        if identity is not None:
            self.use.note(identity.session_id, token)
        return identity
