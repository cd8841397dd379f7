"""Session tokens: signed by auth (EdDSA, RFC 8037), checked by every service without asking it."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from http.client import HTTPException
from typing import Any
from urllib.request import urlopen

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.algorithms import OKPAlgorithm
from pydantic import ValidationError

from contracts.identity import Identity
from contracts.wire import now
from services.kit.errors import Unavailable

log = logging.getLogger(__name__)

ALGORITHM = "EdDSA"
ISSUER = "stagedoor-auth"
REFETCH_SECONDS = 5
"""A token that names an unknown key makes us ask auth for its keys, but not more often than this."""

PAUSE_AFTER_FAILURE_SECONDS = 0.5
"""Keys that couldn't be had are not asked for again at once: those who wait would wait one after another."""

PublicKeys = Mapping[str, Ed25519PublicKey]
"""By key id."""


class Signer:
    """Auth's private key."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        public = OKPAlgorithm.to_jwk(private_key.public_key(), as_dict=True)
        self.key_id = public["x"][:16]
        self.jwks = {"keys": [{**public, "kid": self.key_id, "use": "sig", "alg": ALGORITHM}]}
        """The public half, as RFC 7517 writes it."""

    async def own_keys(self) -> Mapping[str, Any]:
        """For auth itself, which asks nobody."""
        return self.jwks

    def sign(self, identity: Identity, expires_at: datetime) -> str:
        """A token that says who holds it until `expires_at`."""
        claims = {
            "iss": ISSUER,
            "sub": identity.id,
            "email": identity.email,
            "sid": identity.session_id,
            "iat": now(),
            "exp": expires_at,
        }
        return jwt.encode(claims, self._private_key, algorithm=ALGORITHM, headers={"kid": self.key_id})


class EndedSessions:
    """Sessions that users ended before their tokens expire."""

    def __init__(self, lifetime: timedelta) -> None:
        self._lifetime = lifetime
        self._ended: dict[str, datetime] = {}

    def add(self, session_id: str, ended_at: datetime) -> None:
        """Remember until the token of the session has expired by itself."""
        oldest = now() - self._lifetime
        if ended_at < oldest:
            return
        self._ended[session_id] = ended_at
        while self._ended and (first := next(iter(self._ended.items())))[1] < oldest:
            del self._ended[first[0]]

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._ended


class Sessions:
    """Tells whose token it is."""

    def __init__(self, fetch_keys: Callable[[], Awaitable[Mapping[str, Any]]], ended: EndedSessions) -> None:
        self.ended = ended
        self._fetch_keys = fetch_keys
        self._keys: PublicKeys = {}
        self._no_fetch_before = float("-inf")
        self._fetching = asyncio.Lock()

    async def identify(self, token: str) -> Identity | None:
        """Who signed in with this token; None if it is malformed, forged, expired or ended.

        Raises:
            Unavailable: the keys of auth are not known yet and can't be had now.
        """
        try:
            key = await self._key(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                # Its times are read by this process's one clock, below. When it was issued isn't checked: a
                # clock that is a little behind auth's would refuse whoever signed in just now.
                options={
                    "require": ["exp", "iat", "sub", "sid"],
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
            expired = int(claims["exp"]) <= now().timestamp()
            identity = Identity(id=claims["sub"], email=claims["email"], session_id=claims["sid"])
        except (jwt.PyJWTError, ValidationError, KeyError, TypeError, ValueError):
            return None
        return None if expired or identity.session_id in self.ended else identity

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
            self._keys = keys or self._keys
            pause = REFETCH_SECONDS
        self._no_fetch_before = time.monotonic() + pause


def fetch_from(url: str) -> Callable[[], Awaitable[Mapping[str, Any]]]:
    """Fetches the JSON Web Key Set at `url`, off the event loop."""

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
