"""Session tokens: auth signs them (EdDSA, RFC 8037), and every service verifies them without calling auth."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.request import urlopen

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.algorithms import OKPAlgorithm
from pydantic import ValidationError

from contracts.identity import Identity
from contracts.wire import now
from kit.errors import Unavailable
from kit.sessions import EndedSessions

log = logging.getLogger(__name__)

ALGORITHM = "EdDSA"
ISSUER = "stagedoor-auth"
AUDIENCE = "stagedoor"
"""All processes of the marketplace. Tokens for anybody else must not open sessions here."""

REFETCH_SECONDS = 5
"""Minimum time between two fetches of auth's keys. A token with an unknown key id triggers a fetch."""

PAUSE_AFTER_FAILURE_SECONDS = 0.5
"""Minimum time from a failed fetch to the next, so that the requests that waited don't each fetch again."""

MAX_VERIFIED = 10_000
"""Tokens whose verification is remembered: about 10 MB."""

PublicKeys = Mapping[str, Ed25519PublicKey]
"""Public keys by key id."""


class Signer:
    """Signs session tokens with auth's private key."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        public = OKPAlgorithm.to_jwk(private_key.public_key(), as_dict=True)
        self.key_id = public["x"][:16]
        self.jwks = {"keys": [{**public, "kid": self.key_id, "use": "sig", "alg": ALGORITHM}]}
        """The public key as a JSON Web Key Set (RFC 7517)."""

    async def own_keys(self) -> Mapping[str, Any]:
        """The JSON Web Key Set for auth itself, which doesn't fetch it by HTTP."""
        return self.jwks

    def sign(self, identity: Identity, expires_at: datetime) -> str:
        """A token that identifies the user until `expires_at`."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": identity.id,
            "email": identity.email,
            "sid": identity.session_id,
            "iat": now(),
            "exp": expires_at,
        }
        return jwt.encode(claims, self._private_key, algorithm=ALGORITHM, headers={"kid": self.key_id})


class Verified(NamedTuple):
    """What a token with a valid signature says."""

    identity: Identity
    expires_at: int
    """In seconds since 1970."""


class Sessions:
    """Verifies session tokens."""

    def __init__(self, fetch_keys: Callable[[], Awaitable[Mapping[str, Any]]], ended: EndedSessions) -> None:
        self.ended = ended
        self._fetch_keys = fetch_keys
        self._keys: PublicKeys = {}
        self._verified: dict[str, Verified] = {}
        """Tokens with a valid signature, the oldest first."""
        self._no_fetch_before = float("-inf")
        self._fetching = asyncio.Lock()

    async def identify(self, token: str) -> Identity | None:
        """The user whom a token identifies, or None if the token is invalid, expired, or of an ended session.

        Raises:
            Unavailable: auth's keys are not known yet and can't be fetched now.
        """
        verified = await self.verify(token)
        return verified.identity if verified is not None and self.is_valid(verified) else None

    def is_valid(self, verified: Verified) -> bool:
        """Whether a token hasn't expired, and its session hasn't ended."""
        return verified.expires_at > now().timestamp() and verified.identity.session_id not in self.ended

    async def verify(self, token: str) -> Verified | None:
        """The content of a token, which may have expired; None if the token is malformed or forged.

        Raises:
            Unavailable: as `identify`
        """
        return self._verified.get(token) or await self._verify(token)

    async def _verify(self, token: str) -> Verified | None:
        try:
            key = await self._key(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                # `identify` checks the expiry. The issue time isn't checked: a user who has just
                # signed in would be rejected if this clock is slightly behind auth's.
                options={
                    "require": ["exp", "iat", "sub", "sid"],
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
            identity = Identity(id=claims["sub"], email=claims["email"], session_id=claims["sid"])
            verified = Verified(identity, int(claims["exp"]))
        except (jwt.PyJWTError, ValidationError, KeyError, TypeError, ValueError):
            return None
        self._verified[token] = verified
        if len(self._verified) > MAX_VERIFIED:
            del self._verified[next(iter(self._verified))]
        return verified

    async def _key(self, key_id: str) -> Ed25519PublicKey | None:
        if key_id in self._keys:
            return self._keys[key_id]
        async with self._fetching:
            if key_id not in self._keys and time.monotonic() >= self._no_fetch_before:
                await self._refetch()
        if not self._keys:
            raise Unavailable("Sign-in can't be checked for a moment. Try again")
        return self._keys.get(key_id)

    async def _refetch(self) -> None:
        try:
            jwks = await self._fetch_keys()
            keys = {key["kid"]: _public_key(key) for key in jwks["keys"] if key.get("alg") == ALGORITHM}
        except (OSError, HTTPException, ValueError, LookupError, TypeError, jwt.PyJWTError) as error:
            log.warning("the keys of auth can't be fetched: %r", error)
            pause = PAUSE_AFTER_FAILURE_SECONDS
        else:
            if keys and keys != self._keys:
                self._keys = keys
                self._verified.clear()  # a key that auth withdrew doesn't verify any token
            pause = REFETCH_SECONDS
        self._no_fetch_before = time.monotonic() + pause


def fetch_from(url: str) -> Callable[[], Awaitable[Mapping[str, Any]]]:
    """A function that fetches the JSON Web Key Set at `url` in a thread."""

    def fetch() -> Mapping[str, Any]:
        with urlopen(url, timeout=3) as answer:  # noqa: S310 - the address is an operator's setting
            keys: Mapping[str, Any] = json.load(answer)
            return keys

    return lambda: asyncio.to_thread(fetch)


def _public_key(jwk: Mapping[str, Any]) -> Ed25519PublicKey:
    key = OKPAlgorithm.from_jwk(dict(jwk))
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"key {jwk.get('kid')} is no Ed25519 public key")
    return key
