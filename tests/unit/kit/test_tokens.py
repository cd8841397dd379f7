import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http.client import IncompleteRead
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from contracts.identity import Identity
from contracts.wire import now
from kit import tokens
from kit.errors import Unavailable
from kit.sessions import EndedSessions
from kit.tokens import (
    ALGORITHM,
    AUDIENCE,
    ISSUER,
    PAUSE_AFTER_FAILURE_SECONDS,
    REFETCH_SECONDS,
    REQUEST_LIFETIME,
    Sessions,
    Signer,
)

LIFETIME = timedelta(hours=1)
ADA = Identity(id="65f0c0ffee0000000000000a", email="ada@example.com", session_id="65f0c0ffee0000000000000b")

PRIVATE = Ed25519PrivateKey.generate()
SIGNER = Signer(PRIVATE)
OTHER = Signer(Ed25519PrivateKey.generate())


class Auth:
    """Serves auth's keys to other services and counts the requests."""

    def __init__(self, *signers: Signer) -> None:
        self.signers = signers
        self.requests = 0
        self.down = False

    async def keys(self) -> Mapping[str, Any]:
        self.requests += 1
        await asyncio.sleep(0)
        if self.down:
            raise OSError("connection refused")
        return {"keys": [key for signer in self.signers for key in signer.jwks["keys"]]}


class Clock(SimpleNamespace):
    def __init__(self) -> None:
        super().__init__(seconds=1000.0)

    def monotonic(self) -> float:
        return float(self.seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(tokens, "time", clock)
    return clock


@pytest.fixture
def auth() -> Auth:
    return Auth(SIGNER)


@pytest.fixture
def sessions(auth: Auth) -> Sessions:
    return Sessions(auth.keys, EndedSessions(LIFETIME))


def claims(**special: Any) -> dict[str, Any]:
    usual = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": ADA.id,
        "email": ADA.email,
        "sid": ADA.session_id,
        "iat": now(),
        "exp": now() + LIFETIME,
    }
    return {**usual, **special}


def without(claim: str) -> dict[str, Any]:
    return {name: value for name, value in claims().items() if name != claim}


def signed(content: Mapping[str, Any], *, by: Ed25519PrivateKey = PRIVATE, kid: str | None = None) -> str:
    return jwt.encode(dict(content), by, algorithm=ALGORITHM, headers={"kid": kid or SIGNER.key_id})


def plain(content: Mapping[str, Any]) -> dict[str, Any]:
    """Claims for JSON, with times in seconds."""
    return {
        name: int(value.timestamp()) if isinstance(value, datetime) else value
        for name, value in content.items()
    }


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def token_of_parts(header: object, content: Mapping[str, Any], secret: bytes | None) -> str:
    """A token that no library would create, with any header, and signed with HMAC or not signed at all."""
    head = f"{base64url(json.dumps(header).encode())}.{base64url(json.dumps(plain(content)).encode())}"
    signature = b"" if secret is None else hmac.new(secret, head.encode(), hashlib.sha256).digest()
    return f"{head}.{base64url(signature)}"


async def test_a_token_identifies_its_user(sessions: Sessions) -> None:
    assert await sessions.identify(SIGNER.sign(ADA, now() + LIFETIME)) == ADA


async def test_a_token_says_when_its_user_signed_in(
    sessions: Sessions,
) -> None:
    signed_in = ADA.model_copy(update={"signed_in_at": datetime(2027, 3, 1, 18, 30, tzinfo=UTC)})
    assert await sessions.identify(SIGNER.sign(signed_in, now() + LIFETIME)) == signed_in


async def test_control_a_manually_built_token_with_all_claims_is_accepted(sessions: Sessions) -> None:
    """The forged tokens of the following tests differ from this token only in what they test."""
    assert await sessions.identify(signed(claims())) == ADA


async def test_a_token_with_a_changed_claim_is_rejected(sessions: Sessions) -> None:
    header, _, signature = signed(claims()).split(".")
    _, content, _ = signed(claims(sub="65f0c0ffee0000000000000f")).split(".")
    assert await sessions.identify(f"{header}.{content}.{signature}") is None


async def test_a_token_with_a_truncated_or_missing_signature_is_rejected(sessions: Sessions) -> None:
    token = signed(claims())
    assert await sessions.identify(token[:-4]) is None
    assert await sessions.identify(token.rpartition(".")[0] + ".") is None


async def test_a_token_signed_with_another_key_is_rejected(sessions: Sessions) -> None:
    same_key_id = signed(claims(), by=Ed25519PrivateKey.generate(), kid=SIGNER.key_id)
    assert await sessions.identify(same_key_id) is None
    assert await sessions.identify(OTHER.sign(ADA, now() + LIFETIME)) is None


@pytest.mark.parametrize("form", ["raw", "pem", "jwk"])
async def test_a_token_signed_with_the_public_key_as_an_hmac_secret_is_rejected(
    sessions: Sessions, form: str
) -> None:
    public = PRIVATE.public_key()
    secret = {
        "raw": public.public_bytes(Encoding.Raw, PublicFormat.Raw),
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(SIGNER.jwks["keys"][0]).encode(),
    }[form]
    header = {"alg": "HS256", "typ": "JWT", "kid": SIGNER.key_id}
    assert await sessions.identify(token_of_parts(header, claims(), secret)) is None


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None])
async def test_a_token_with_the_algorithm_none_is_rejected(sessions: Sessions, algorithm: str | None) -> None:
    header = {"alg": algorithm, "typ": "JWT", "kid": SIGNER.key_id}
    assert await sessions.identify(token_of_parts(header, claims(), None)) is None


async def test_an_expired_token_is_rejected(sessions: Sessions) -> None:
    assert await sessions.identify(SIGNER.sign(ADA, now() - timedelta(seconds=1))) is None


async def test_a_token_from_an_auth_service_with_a_fast_clock_is_accepted_at_once(sessions: Sessions) -> None:
    issued = now() + timedelta(minutes=5)
    assert await sessions.identify(signed(claims(iat=issued, exp=issued + LIFETIME))) == ADA


async def test_a_token_of_another_issuer_is_rejected(sessions: Sessions) -> None:
    assert await sessions.identify(signed(claims(iss="somebody-else"))) is None


async def test_a_token_for_another_audience_is_rejected(sessions: Sessions) -> None:
    assert await sessions.identify(signed(claims(aud="another-marketplace"))) is None


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "email", "sid", "iat", "exp"])
async def test_a_token_that_lacks_a_claim_is_rejected(sessions: Sessions, claim: str) -> None:
    assert await sessions.identify(signed(without(claim))) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"sub": "nobody"},
        {"sub": {"$ne": None}},
        {"email": ["ada@example.com"]},
        {"sid": 5},
        {"sid": {"$ne": None}},
        {"exp": "soon"},
        {"exp": None},
        {"exp": [1]},
        {"exp": 0},
    ],
    ids=repr,
)
async def test_a_signed_token_with_an_invalid_claim_is_rejected(
    sessions: Sessions, wrong: dict[str, Any]
) -> None:
    content = json.dumps(plain(claims(**wrong))).encode()
    token = jwt.PyJWS().encode(content, PRIVATE, algorithm=ALGORITHM, headers={"kid": SIGNER.key_id})
    assert await sessions.identify(token) is None


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        ".",
        "..",
        "...",
        "token",
        "a.b.c",
        "e30.e30.",
        "\x00.\x00.\x00",
        "é.ü.ß",
        "\ud800.a.b",
        "x" * 100_000,
        f"{base64url(b'[]')}.{base64url(b'{}')}.x",
        f"{base64url(b'[' * 3000)}.{base64url(b'{}')}.x",
        f"{base64url(json.dumps({'alg': ALGORITHM, 'kid': ['x']}).encode())}.e30.x",
    ],
    ids=lambda text: ascii(text[:12]),
)
async def test_a_malformed_token_is_rejected(sessions: Sessions, malformed: str) -> None:
    assert await sessions.identify(malformed) is None


async def test_a_token_of_an_ended_session_is_rejected(sessions: Sessions) -> None:
    token = SIGNER.sign(ADA, now() + LIFETIME)
    other = SIGNER.sign(ADA.model_copy(update={"session_id": "65f0c0ffee0000000000000c"}), now() + LIFETIME)
    sessions.ended.add(ADA.session_id, now())
    assert await sessions.identify(token) is None
    assert await sessions.identify(other) is not None


async def test_the_keys_of_auth_are_fetched_once(sessions: Sessions, auth: Auth, clock: Clock) -> None:
    token = signed(claims())
    assert await asyncio.gather(*(sessions.identify(token) for _ in range(20))) == [ADA] * 20
    clock.seconds += 3600
    assert await sessions.identify(token) == ADA
    assert auth.requests == 1


async def test_tokens_with_unknown_keys_cause_at_most_one_fetch_per_interval(
    sessions: Sessions, auth: Auth, clock: Clock
) -> None:
    forged = [signed(claims(), kid=f"made-up-{number}") for number in range(20)]
    assert await asyncio.gather(*map(sessions.identify, forged)) == [None] * 20
    assert auth.requests == 1
    clock.seconds += REFETCH_SECONDS + 1
    assert await asyncio.gather(*map(sessions.identify, forged)) == [None] * 20
    assert auth.requests == 2


async def test_a_key_that_auth_added_is_accepted_after_the_next_fetch(
    sessions: Sessions, auth: Auth, clock: Clock
) -> None:
    assert await sessions.identify(signed(claims())) == ADA
    auth.signers = (SIGNER, OTHER)
    token = OTHER.sign(ADA, now() + LIFETIME)
    assert await sessions.identify(token) is None
    clock.seconds += REFETCH_SECONDS + 1
    assert await sessions.identify(token) == ADA


async def test_a_key_that_auth_removed_is_rejected_after_the_next_fetch(
    sessions: Sessions, auth: Auth, clock: Clock
) -> None:
    token = signed(claims())
    assert await sessions.identify(token) == ADA
    auth.signers = (OTHER,)
    clock.seconds += REFETCH_SECONDS + 1
    assert await sessions.identify(OTHER.sign(ADA, now() + LIFETIME)) == ADA
    assert await sessions.identify(token) is None


async def test_while_a_key_is_replaced_tokens_are_valid_whichever_instance_serves_the_keys() -> None:
    old, new = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    steps = (
        Signer(old),
        Signer(old, [new.public_key()]),
        Signer(new, [old.public_key()]),
        Signer(new),
    )
    for signs, serves in ((1, 2), (2, 1), (1, 0), (2, 3)):
        sessions = Sessions(Auth(steps[serves]).keys, EndedSessions(LIFETIME))
        assert await sessions.identify(steps[signs].sign(ADA, now() + LIFETIME)) == ADA


async def test_control_an_old_instance_that_does_not_know_the_next_key_invalidates_tokens() -> None:
    old, new = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    sessions = Sessions(Auth(Signer(old)).keys, EndedSessions(LIFETIME))
    assert await sessions.identify(Signer(new, [old.public_key()]).sign(ADA, now() + LIFETIME)) is None


async def test_identification_is_unavailable_before_the_keys_could_be_fetched(
    sessions: Sessions, auth: Auth
) -> None:
    auth.down = True
    with pytest.raises(Unavailable):
        await sessions.identify(signed(claims()))


async def test_known_keys_are_used_while_auth_is_down(sessions: Sessions, auth: Auth, clock: Clock) -> None:
    token = signed(claims())
    assert await sessions.identify(token) == ADA
    auth.down = True
    clock.seconds += 3600
    assert await sessions.identify(signed(claims(), kid="made-up")) is None
    assert await sessions.identify(token) == ADA


async def test_after_a_failed_fetch_the_keys_are_not_fetched_again_until_a_pause_is_over(
    sessions: Sessions, auth: Auth, clock: Clock
) -> None:
    auth.down = True
    token = signed(claims())
    for _ in range(5):
        with pytest.raises(Unavailable):
            await sessions.identify(token)
    assert auth.requests == 1
    auth.down = False
    clock.seconds += PAUSE_AFTER_FAILURE_SECONDS
    assert await sessions.identify(token) == ADA


NO_KEYS: list[Any] = [
    {},
    [],
    None,
    {"keys": None},
    {"keys": [{"alg": ALGORITHM}]},
    {"keys": [{"alg": ALGORITHM, "kid": "x", "kty": "OKP"}]},
    {"keys": [{"alg": "RS256", "kid": SIGNER.key_id}]},
]


@pytest.mark.parametrize("answer", NO_KEYS, ids=range(len(NO_KEYS)))
async def test_identification_is_unavailable_if_the_first_response_contains_no_valid_keys(
    answer: Any,
) -> None:
    async def odd() -> Mapping[str, Any]:
        keys: Mapping[str, Any] = answer
        return keys

    with pytest.raises(Unavailable):
        await Sessions(odd, EndedSessions(LIFETIME)).identify(signed(claims()))


@pytest.mark.parametrize("answer", NO_KEYS, ids=range(len(NO_KEYS)))
async def test_a_response_without_valid_keys_does_not_remove_known_keys(answer: Any, clock: Clock) -> None:
    answers: list[Mapping[str, Any]] = [answer, SIGNER.jwks]

    async def keys() -> Mapping[str, Any]:
        return answers.pop()

    sessions = Sessions(keys, EndedSessions(LIFETIME))
    assert await sessions.identify(signed(claims())) == ADA
    clock.seconds += REFETCH_SECONDS + 1
    assert await sessions.identify(signed(claims(), kid="made-up")) is None
    assert answers == []
    assert await sessions.identify(signed(claims())) == ADA


async def test_identification_is_unavailable_if_the_response_is_incomplete() -> None:
    async def cut() -> Mapping[str, Any]:
        raise IncompleteRead(b"{")

    with pytest.raises(Unavailable):
        await Sessions(cut, EndedSessions(LIFETIME)).identify(signed(claims()))


async def test_auth_verifies_tokens_with_its_own_keys() -> None:
    sessions = Sessions(SIGNER.own_keys, EndedSessions(LIFETIME))
    assert await sessions.identify(SIGNER.sign(ADA, now() + LIFETIME)) == ADA


def test_auth_publishes_only_the_public_part_of_its_key() -> None:
    (key,) = SIGNER.jwks["keys"]
    assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}
    assert key["kid"] == SIGNER.key_id
    assert SIGNER.key_id != OTHER.key_id


async def test_a_service_accepts_what_auth_signed_to_ask_it(sessions: Sessions) -> None:
    assert await sessions.is_request_of_auth(SIGNER.sign_request("orders"), "orders")


async def test_what_auth_signed_to_ask_one_service_asks_no_other_and_is_no_session(
    sessions: Sessions,
) -> None:
    """A service that was taken over gets these tokens, and must not get further with them."""
    token = SIGNER.sign_request("orders")
    assert not await sessions.is_request_of_auth(token, "tickets")
    assert await sessions.identify(token) is None


async def test_neither_a_session_nor_a_forged_or_malformed_token_is_a_request_of_auth(
    sessions: Sessions,
) -> None:
    session = SIGNER.sign(ADA, now() + LIFETIME)
    for token in (session, OTHER.sign_request("orders"), "", "x.y.z", "\0"):
        assert not await sessions.is_request_of_auth(token, "orders")
    assert await sessions.identify(session) == ADA


async def test_a_request_of_auth_expires(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(tokens, "now", lambda: now() - REQUEST_LIFETIME)
        token = SIGNER.sign_request("orders")
    assert not await sessions.is_request_of_auth(token, "orders")


async def test_a_request_of_auth_cannot_be_checked_before_the_keys_could_be_fetched(
    auth: Auth, sessions: Sessions
) -> None:
    auth.down = True
    with pytest.raises(Unavailable):
        await sessions.is_request_of_auth(SIGNER.sign_request("orders"), "orders")
