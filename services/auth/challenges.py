"""Challenges that an authenticator signs, so that an old answer doesn't work again.

A challenge is a number with its expiry and a code (HMAC). Only answered ones are stored, so that nobody can
fill the database by asking for many.
"""

import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256

from pymongo.errors import DuplicateKeyError

from contracts.wire import now
from kit.secrets import derived_keys
from services.auth.documents import UsedChallenge
from services.auth.rules import ChallengeExpired
from settings import Settings

LIFETIME = timedelta(minutes=5)

NUMBER_BYTES, EXPIRY_BYTES, CODE_BYTES = 16, 8, 32
SIZE = NUMBER_BYTES + EXPIRY_BYTES + CODE_BYTES


@dataclass(frozen=True)
class Challenge:
    """A challenge of ours that hasn't expired."""

    text: bytes
    """What the authenticator signs."""
    number: str
    expires_at: datetime


class Challenges:
    """Makes challenges, and accepts each one once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def new(self, purpose: str) -> bytes:
        """A challenge for this purpose only."""
        expires_at = int((now() + LIFETIME).timestamp() * 1000)
        text = secrets.token_bytes(NUMBER_BYTES) + expires_at.to_bytes(EXPIRY_BYTES, "big")
        return text + _code(self._keys[0], purpose, text)

    def opened(self, text: bytes, purpose: str) -> Challenge:
        """A challenge that was made for this purpose.

        Raises:
            ChallengeExpired
        """
        signed, code = text[:-CODE_BYTES], text[-CODE_BYTES:]
        is_ours = any(hmac.compare_digest(_code(key, purpose, signed), code) for key in self._keys)
        if len(text) != SIZE or not is_ours:
            raise ChallengeExpired
        expires_at = datetime.fromtimestamp(int.from_bytes(signed[NUMBER_BYTES:], "big") / 1000, UTC)
        if expires_at <= now():
            raise ChallengeExpired
        return Challenge(text, signed[:NUMBER_BYTES].hex(), expires_at)

    @cached_property
    def _keys(self) -> list[bytes]:
        return derived_keys(self._settings, b"passkey challenges")


async def claim(challenge: Challenge) -> None:
    """Use up a challenge. One of several concurrent requests succeeds.

    Raises:
        ChallengeExpired: it was used before.
    """
    kept_until = challenge.expires_at + LIFETIME  # the clocks of our processes and MongoDB's may differ
    try:
        await UsedChallenge.get_pymongo_collection().insert_one(
            {"_id": challenge.number, "expires_at": kept_until}
        )
    except DuplicateKeyError:
        raise ChallengeExpired from None


def _code(key: bytes, purpose: str, signed: bytes) -> bytes:
    return hmac.new(key, purpose.encode() + b"\0" + signed, sha256).digest()
