"""Who is signed in at the console. Everything is in memory: a restart signs everybody out."""

import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ops.operators import Unreadable, hash_of, operator_with
from settings import Settings

log = logging.getLogger(__name__)

COOKIE = "operator"
PATH = "/ops"
SESSION_SECONDS = 3600
"""How long an operator stays signed in. Use doesn't extend it."""

MAX_SESSIONS = 100
"""Above it, the oldest session ends."""

MAX_FAILURES = 10
"""Failed attempts to sign in per minute, of everybody together: through a tunnel, all have one address."""


class WrongToken(Exception):
    """Nobody has this personal token."""


class TooManyAttempts(Exception):
    """The limit of failed attempts of this minute is reached."""


@dataclass
class Session:
    """One operator who is signed in."""

    operator: str
    """The name that the personal token was granted to."""
    token_hash: str
    expires_at: float
    notes: list[str] = field(default_factory=list)
    """Results of actions, for the next page."""

    def take_notes(self) -> list[str]:
        notes, self.notes = self.notes, []
        return notes


class Sessions:
    """The sessions by the hash of their cookie."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._failures: deque[float] = deque(maxlen=MAX_FAILURES)

    def sign_in(self, token: str) -> str:
        """Exchange a personal token for the value of a cookie.

        Raises:
            TooManyAttempts, WrongToken, Unreadable
        """
        now = self._clock()
        if len(self._failures) == MAX_FAILURES and now - self._failures[0] < 60:
            raise TooManyAttempts
        token_hash = hash_of(token.strip())
        operator = operator_with(self._settings, token_hash)
        if operator is None:
            self._failures.append(now)
            raise WrongToken
        value = secrets.token_urlsafe(32)
        self._drop_expired(now)
        while len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[hash_of(value)] = Session(operator.name, token_hash, now + SESSION_SECONDS)
        return value

    def find(self, value: str | None) -> Session | None:
        """The session of this cookie, if it hasn't ended and the operator's token wasn't revoked."""
        session = self._sessions.get(hash_of(value)) if value else None
        if session is None or session.expires_at <= self._clock():
            return None
        # The file is read each time, so that `revoke` has an effect at once.
        return session if self._is_granted(session.token_hash) else None

    def end(self, value: str | None) -> None:
        self._sessions.pop(hash_of(value or ""), None)

    def _is_granted(self, token_hash: str) -> bool:
        try:
            return operator_with(self._settings, token_hash) is not None
        except Unreadable as error:
            log.error("nobody can use the console: %s", error)
            return False

    def _drop_expired(self, now: float) -> None:
        self._sessions = {key: each for key, each in self._sessions.items() if each.expires_at > now}
