"""Tokens that auth signs (EdDSA, RFC 8037), and that every service verifies without calling auth.

Session tokens identify users. Request tokens identify auth itself when it asks another service.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
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
from settings import ServiceName

log = logging.getLogger(__name__)

ALGORITHM = "EdDSA"
ISSUER = "stagedoor-auth"
AUDIENCE = "stagedoor"
"""All processes of the marketplace. Tokens for anybody else must not open sessions here."""

REQUEST_LIFETIME = timedelta(minutes=2)
"""How long a request token is valid: longer than a request, because clocks differ."""

REFETCH_SECONDS = 5
"""Minimum time between two fetches of auth's keys. A token with an unknown key id triggers a fetch."""

PAUSE_AFTER_FAILURE_SECONDS = 0.5
"""Minimum time from a failed fetch to the next, so that the requests that waited don't each fetch again."""

MAX_VERIFIED = 10_000
"""Tokens whose verification is remembered: about 10 MB."""

PublicKeys = Mapping[str, Ed25519PublicKey]
"""Public keys by key id."""


class Signer:
    """Signs tokens with auth's private key.

    Args:
        others: public keys of which tokens are valid as well.
    """

    def __init__(self, private_key: Ed25519PrivateKey, others: Sequence[Ed25519PublicKey] = ()) -> None:
        self._private_key = private_key
        own = _jwk(private_key.public_key())
        self.key_id = own["kid"]
        by_id = {key["kid"]: key for key in (own, *map(_jwk, others))}
        self.jwks = {"keys": [*by_id.values()]}
        """The public keys as a JSON Web Key Set (RFC 7517), the one that signs first."""

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
            **({"unconfirmed": True} if identity.unconfirmed else {}),
            **({"unidentified": True} if identity.unidentified else {}),
            **({"auth_time": int(identity.signed_in_at.timestamp())} if identity.signed_in_at else {}),
        }
        return self._encode(claims)

    def sign_request(self, service: ServiceName) -> str:
        """A token with which auth asks this service. No other service accepts it, nor as a session."""
        moment = now()
        audience = _audience_for_auth(service)
        return self._encode({"iss": ISSUER, "aud": audience, "iat": moment, "exp": moment + REQUEST_LIFETIME})

    def _encode(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self._private_key, algorithm=ALGORITHM, headers={"kid": self.key_id})


class Verified(NamedTuple):
    """What a token with a valid signature says."""

    identity: Identity
    expires_at: int
    """In seconds since 1970."""


class Sessions:
    """Verifies the tokens that auth signs."""

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

    async def is_request_of_auth(self, token: str, service: ServiceName) -> bool:
        """Whether auth has signed the token to ask this service (`Signer.sign_request`).

        Raises:
            Unavailable: as `identify`
        """
        audience = _audience_for_auth(service)
        try:
            return await self._claims(token, audience, ["exp"], verify_exp=True) is not None
        except (jwt.PyJWTError, TypeError, ValueError):
            return False

    async def _verify(self, token: str) -> Verified | None:
        try:
            # `identify` checks the expiry.
            claims = await self._claims(token, AUDIENCE, ["exp", "iat", "sub", "sid"], verify_exp=False)
            if claims is None:
                return None
            identity = Identity(
                id=claims["sub"],
                email=claims["email"],
                session_id=claims["sid"],
                unconfirmed=claims.get("unconfirmed", False),
                unidentified=claims.get("unidentified", False),
                signed_in_at=_moment(claims.get("auth_time")),
            )
            verified = Verified(identity, int(claims["exp"]))
        except (jwt.PyJWTError, ValidationError, KeyError, TypeError, ValueError):
            return None
        self._verified[token] = verified
        if len(self._verified) > MAX_VERIFIED:
            del self._verified[next(iter(self._verified))]
        return verified

    async def _claims(
        self, token: str, audience: str, required: list[str], *, verify_exp: bool
    ) -> dict[str, Any] | None:
        """What a token for this audience says. None if no key of auth has its id.

        The issue time isn't checked: who has just signed in would be rejected if this clock is slightly
        behind auth's.

        Raises:
            PyJWTError: the token is malformed, forged, or for another audience.
            Unavailable: as `identify`
        """
        key = await self._key(str(jwt.get_unverified_header(token).get("kid")))
        if key is None:
            return None
        return jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=audience,
            options={"require": required, "verify_exp": verify_exp, "verify_iat": False},
        )

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


def _moment(seconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None


def _audience_for_auth(service: ServiceName) -> str:
    """The audience of tokens with which auth asks a service. It differs from that of sessions."""
    return f"{AUDIENCE}-{service}"


def _jwk(key: Ed25519PublicKey) -> dict[str, Any]:
    public = OKPAlgorithm.to_jwk(key, as_dict=True)
    return {**public, "kid": public["x"][:16], "use": "sig", "alg": ALGORITHM}


def _public_key(jwk: Mapping[str, Any]) -> Ed25519PublicKey:
    key = OKPAlgorithm.from_jwk(dict(jwk))
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"key {jwk.get('kid')} is no Ed25519 public key")
    return key
