"""Tokens with which a message lets its recipient stop messages of its kind, without signing in."""

import hmac
import re
from hashlib import sha256
from typing import NamedTuple

from kit.secrets import accepted_internal_secrets
from settings import Settings

_TOKEN = re.compile(r"(?P<user>[0-9a-f]{24})\.(?P<kind>[a-z-]{1,50})\.(?P<mac>[0-9a-f]{32})", re.ASCII)


class Choice(NamedTuple):
    user_id: str
    kind: str


class Tokens:
    """Makes and reads tokens. A token has no end, because people unsubscribe from old messages too."""

    def __init__(self, settings: Settings) -> None:
        self._secrets = accepted_internal_secrets(settings)

    def make(self, choice: Choice) -> str:
        return f"{choice.user_id}.{choice.kind}.{_mac(self._secrets[0], choice)}"

    def read(self, token: str) -> Choice | None:
        """What the token is for, or None if it isn't ours."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        choice = Choice(match["user"], match["kind"])
        valid = [hmac.compare_digest(match["mac"], _mac(secret, choice)) for secret in self._secrets]
        return choice if any(valid) else None


def _mac(secret: str, choice: Choice) -> str:
    text = f"unsubscribe {choice.user_id} {choice.kind}"
    return hmac.new(secret.encode(), text.encode(), sha256).hexdigest()[:32]
