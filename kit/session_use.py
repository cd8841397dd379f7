"""Reports to auth which sessions are in use, because tokens are verified without calling auth."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http.client import HTTPException
from time import monotonic
from urllib.request import Request, urlopen

from litestar.types import Scope

log = logging.getLogger(__name__)

REPORT_PATH = "/api/users/session-use"

MAX_SESSIONS = 20_000
"""Sessions whose last report is remembered: about 4 MB. A forgotten session is reported again earlier."""

MAX_WAITING = 1_000
"""Reports that may wait for auth. Further ones are dropped, and made with the session's next request."""

RETRY_SECONDS = 5.0
"""Time after a failed report until the session's next request causes another one."""

Report = Callable[[str], Awaitable[None]]
"""A function that reports to auth that the session of a token is in use. It raises an OSError if it fails."""


def counts_as_use(scope: Scope) -> bool:
    """Whether a request shows that somebody uses the session.

    A page that is open in an unattended browser keeps fetching changes by scripts, which doesn't count.
    """
    if scope["method"] not in {"GET", "HEAD"}:  # type: ignore[typeddict-item]
        return True
    mode = next((value for name, value in scope["headers"] if name == b"sec-fetch-mode"), b"navigate")
    return mode == b"navigate"


class SessionUse:
    """Collects the sessions in use. Nobody waits for a report.

    Args:
        interval: minimum seconds between two reports of one session.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._noted: dict[str, float] = {}
        """When a session's use was last passed on, oldest first."""
        self._waiting: asyncio.Queue[tuple[str, str]] = asyncio.Queue(MAX_WAITING)

    def note(self, session_id: str, token: str) -> None:
        """Note that a session is in use."""
        moment = monotonic()
        noted = self._noted.get(session_id)
        if (noted is not None and moment - noted < self._interval) or self._waiting.full():
            return
        self._set(session_id, moment)
        self._waiting.put_nowait((session_id, token))

    async def report(self, report: Report) -> None:
        """Report one session after the other. Never ends."""
        while True:
            session_id, token = await self._waiting.get()
            try:
                await report(token)
            except (OSError, HTTPException) as error:
                log.debug("the use of a session wasn't reported: %r", error)
                self._set(session_id, monotonic() - self._interval + RETRY_SECONDS)

    def _set(self, session_id: str, moment: float) -> None:
        self._noted.pop(session_id, None)
        self._noted[session_id] = moment
        if len(self._noted) > MAX_SESSIONS:
            del self._noted[next(iter(self._noted))]


def report_to(auth: str) -> Report:
    """A function that reports to auth, whose address is given, in a thread."""

    def post(token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        request = Request(f"{auth}{REPORT_PATH}", method="POST", headers=headers)  # noqa: S310 - an operator's setting
        with urlopen(request, timeout=3):  # noqa: S310 - the address is an operator's setting
            pass

    return lambda token: asyncio.to_thread(post, token)
