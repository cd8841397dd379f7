"""Who is signed in, as a segment of a shared page."""

from collections.abc import Callable
from functools import lru_cache

from litestar.types import Scope

from contracts.identity import Identity
from kit.session_use import SessionUse, counts_as_use
from kit.texts import language
from kit.tokens import Sessions
from web.page_cache.segments import Segment

MAX_SEGMENTS = 5_000
"""Users whose segment is kept, in each language that they use: about 5 MB."""


class Viewers:
    """Identifies users by their session cookies, and notes the use of their sessions.

    Args:
        cookie: the name of the cookie.
        render: the part of the masthead for a signed-in user.
    """

    def __init__(
        self, sessions: Sessions, use: SessionUse, cookie: str, render: Callable[[Identity], str]
    ) -> None:
        self._sessions = sessions
        self._use = use
        self._prefix = f"{cookie}=".encode()
        self._render = lru_cache(MAX_SEGMENTS)(lambda identity, _language: Segment(render(identity).encode()))

    async def identify(self, cookies: bytes, scope: Scope) -> Identity | None:
        """The user of the session cookie in the request's Cookie header, if it is valid.

        Raises:
            Unavailable: auth's keys are not known yet.
        """
        for cookie in reversed(cookies.split(b"; ")):  # of two, the app reads the last
            if cookie.startswith(self._prefix):
                token = cookie[len(self._prefix) :].decode("latin-1")
                identity = await self._sessions.identify(token)
                if identity is not None and counts_as_use(scope):
                    self._use.note(identity.session_id, token)
                return identity
        return None

    def segment(self, identity: Identity) -> Segment:
        return self._render(identity, language())
