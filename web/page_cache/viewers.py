"""Who is signed in, as a segment of a shared page."""

from collections.abc import Callable
from functools import lru_cache

from contracts.identity import SESSION_COOKIE, Identity
from kit.tokens import Sessions
from web.page_cache.segments import Segment

MAX_SEGMENTS = 5_000
"""Users whose segment is kept: about 5 MB."""

_PREFIX = f"{SESSION_COOKIE}=".encode()


class Viewers:
    """Identifies users by their session cookies.

    Args:
        render: the part of the masthead for a signed-in user.
    """

    def __init__(self, sessions: Sessions, render: Callable[[Identity], str]) -> None:
        self._sessions = sessions
        self._render = lru_cache(MAX_SEGMENTS)(lambda identity: Segment(render(identity).encode()))

    async def identify(self, cookies: bytes) -> Identity | None:
        """The user of the session cookie in a Cookie header, if it is valid.

        Raises:
            Unavailable: auth's keys are not known yet.
        """
        for cookie in cookies.split(b"; "):
            if cookie.startswith(_PREFIX):
                return await self._sessions.identify(cookie[len(_PREFIX) :].decode("latin-1"))
        return None

    def segment(self, identity: Identity) -> Segment:
        return self._render(identity)
