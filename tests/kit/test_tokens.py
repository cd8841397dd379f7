import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from http.client import IncompleteRead
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from contracts.identity import Identity
from contracts.wire import now
from services.kit import tokens
from services.kit.errors import Unavailable
from services.kit.tokens import (
    ALGORITHM,
    ISSUER,
    PAUSE_AFTER_FAILURE_SECONDS,
    REFETCH_SECONDS,
    EndedSessions,
    Sessions,
    Signer,
)

LIFETIME = timedelta(hours=1)
ADA = Identity(id="65f0c0ffee0000000000000a", email="ada@example.com", session_id="65f0c0ffee0000000000000b")

PRIVATE = Ed25519PrivateKey.generate()
SIGNER = Signer(PRIVATE)
OTHER = Signer(Ed25519PrivateKey.generate())


class Auth:
    """Auth's keys as another service sees them; counts how often it asks."""

    def __init__(self, *signers: Signer) -> None:
        self.signers = signers
        self.asked = 0
        self.down = False

    async def keys(self) -> Mapping[str, Any]:
        self.asked += 1
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
    """As JSON has it: times in seconds."""
    return {
        name: int(value.timestamp()) if isinstance(value, datetime) else value
        for name, value in content.items()
    }


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def token_of_parts(header: object, content: Mapping[str, Any], secret: bytes | None) -> str:
    """What no honest library writes: any header, signed by HMAC or not at all."""
    head = f"{base64url(json.dumps(header).encode())}.{base64url(json.dumps(plain(content)).encode())}"
    signature = b"" if secret is None else hmac.new(secret, head.encode(), hashlib.sha256).digest()
    return f"{head}.{base64url(signature)}"


async def test_a_token_says_whose_it_is(sessions: Sessions) -> None:
    assert await sessions.identify(SIGNER.sign(ADA, now() + LIFETIME)) == ADA


async def test_a_token_made_by_hand_with_all_claims_is_as_good(sessions: Sessions) -> None:
    """The control of all forgeries below: nothing else is wrong with them."""
    assert await sessions.identify(signed(claims())) == ADA


async def test_a_changed_claim_breaks_the_signature(sessions: Sessions) -> None:
    header, _, signature = signed(claims()).split(".")
    _, content, _ = signed(claims(sub="65f0c0ffee0000000000000f")).split(".")
    assert await sessions.identify(f"{header}.{content}.{signature}") is None


async def test_a_cut_or_absent_signature_is_nobodys(sessions: Sessions) -> None:
    token = signed(claims())
    assert await sessions.identify(token[:-4]) is None
    assert await sessions.identify(token.rpartition(".")[0] + ".") is None


async def test_a_token_of_another_key_is_nobodys(sessions: Sessions) -> None:
    stolen_name = signed(claims(), by=Ed25519PrivateKey.generate(), kid=SIGNER.key_id)
    assert await sessions.identify(stolen_name) is None
    assert await sessions.identify(OTHER.sign(ADA, now() + LIFETIME)) is None


@pytest.mark.parametrize("form", ["raw", "pem", "jwk"])
async def test_the_public_key_is_no_shared_secret(sessions: Sessions, form: str) -> None:
    """The classic forgery: sign with HMAC, and what everybody knows as its secret."""
    public = PRIVATE.public_key()
    secret = {
        "raw": public.public_bytes(Encoding.Raw, PublicFormat.Raw),
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(SIGNER.jwks["keys"][0]).encode(),
    }[form]
    header = {"alg": "HS256", "typ": "JWT", "kid": SIGNER.key_id}
    assert await sessions.identify(token_of_parts(header, claims(), secret)) is None


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None])
async def test_a_token_that_says_it_needs_no_signature_is_nobodys(
    sessions: Sessions, algorithm: str | None
) -> None:
    header = {"alg": algorithm, "typ": "JWT", "kid": SIGNER.key_id}
    assert await sessions.identify(token_of_parts(header, claims(), None)) is None


async def test_an_expired_token_is_nobodys(sessions: Sessions) -> None:
    assert await sessions.identify(SIGNER.sign(ADA, now() - timedelta(seconds=1))) is None


async def test_a_token_from_an_auth_whose_clock_is_ahead_counts_at_once(sessions: Sessions) -> None:
    issued = now() + timedelta(minutes=5)
    assert await sessions.identify(signed(claims(iat=issued, exp=issued + LIFETIME))) == ADA


async def test_a_token_of_another_issuer_is_nobodys(sessions: Sessions) -> None:
    assert await sessions.identify(signed(claims(iss="somebody-else"))) is None


@pytest.mark.parametrize("claim", ["iss", "sub", "email", "sid", "iat", "exp"])
async def test_a_token_without_a_claim_is_nobodys(sessions: Sessions, claim: str) -> None:
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
async def test_a_claim_of_the_wrong_kind_is_nobodys_though_auth_signed_it(
    sessions: Sessions, wrong: dict[str, Any]
) -> None:
    content = json.dumps(plain(claims(**wrong))).encode()
    token = jwt.PyJWS().encode(content, PRIVATE, algorithm=ALGORITHM, headers={"kid": SIGNER.key_id})
    assert await sessions.identify(token) is None


@pytest.mark.parametrize(
    "rubbish",
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
async def test_rubbish_is_nobodys(sessions: Sessions, rubbish: str) -> None:
    assert await sessions.identify(rubbish) is None


async def test_an_ended_session_is_nobodys(sessions: Sessions) -> None:
    token = SIGNER.sign(ADA, now() + LIFETIME)
    other = SIGNER.sign(ADA.model_copy(update={"session_id": "65f0c0ffee0000000000000c"}), now() + LIFETIME)
    sessions.ended.add(ADA.session_id, now())
    assert await sessions.identify(token) is None
    assert await sessions.identify(other) is not None


async def test_auth_is_asked_for_its_keys_once(sessions: Sessions, auth: Auth, clock: Clock) -> None:
    token = signed(claims())
    assert await asyncio.gather(*(sessions.identify(token) for _ in range(20))) == [ADA] * 20
    clock.seconds += 3600
    assert await sessions.identify(token) == ADA
    assert auth.asked == 1


async def test_unknown_keys_do_not_make_us_ask_auth_at_will(
    sessions: Sessions, auth: Auth, clock: Clock
) -> None:
    forged = [signed(claims(), kid=f"made-up-{number}") for number in range(20)]
    assert await asyncio.gather(*map(sessions.identify, forged)) == [None] * 20
    assert auth.asked == 1
    clock.seconds += REFETCH_SECONDS + 1
    assert await asyncio.gather(*map(sessions.identify, forged)) == [None] * 20
    assert auth.asked == 2


async def test_a_key_that_auth_took_into_use_later_is_found(
    sessions: Sessions, auth: Auth, clock: Clock
) -> None:
    assert await sessions.identify(signed(claims())) == ADA
    auth.signers = (SIGNER, OTHER)
    token = OTHER.sign(ADA, now() + LIFETIME)
    assert await sessions.identify(token) is None
    clock.seconds += REFETCH_SECONDS + 1
    assert await sessions.identify(token) == ADA


async def test_a_key_that_auth_gave_up_is_forgotten(sessions: Sessions, auth: Auth, clock: Clock) -> None:
    token = signed(claims())
    assert await sessions.identify(token) == ADA
    auth.signers = (OTHER,)
    clock.seconds += REFETCH_SECONDS + 1
    assert await sessions.identify(OTHER.sign(ADA, now() + LIFETIME)) == ADA
    assert await sessions.identify(token) is None


async def test_without_any_key_nobody_is_turned_away_as_a_stranger(sessions: Sessions, auth: Auth) -> None:
    auth.down = True
    with pytest.raises(Unavailable):
        await sessions.identify(signed(claims()))


async def test_once_the_keys_are_known_auth_may_be_away(sessions: Sessions, auth: Auth, clock: Clock) -> None:
    token = signed(claims())
    assert await sessions.identify(token) == ADA
    auth.down = True
    clock.seconds += 3600
    assert await sessions.identify(signed(claims(), kid="made-up")) is None
    assert await sessions.identify(token) == ADA


async def test_auth_being_away_is_not_asked_again_at_once(
    sessions: Sessions, auth: Auth, clock: Clock
) -> None:
    auth.down = True
    token = signed(claims())
    for _ in range(5):
        with pytest.raises(Unavailable):
            await sessions.identify(token)
    assert auth.asked == 1
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
async def test_an_answer_that_holds_no_keys_turns_nobody_away(answer: Any) -> None:
    async def odd() -> Mapping[str, Any]:
        keys: Mapping[str, Any] = answer
        return keys

    with pytest.raises(Unavailable):
        await Sessions(odd, EndedSessions(LIFETIME)).identify(signed(claims()))


@pytest.mark.parametrize("answer", NO_KEYS, ids=range(len(NO_KEYS)))
async def test_an_answer_that_holds_no_keys_takes_none_away(answer: Any, clock: Clock) -> None:
    answers: list[Mapping[str, Any]] = [answer, SIGNER.jwks]

    async def keys() -> Mapping[str, Any]:
        return answers.pop()

    sessions = Sessions(keys, EndedSessions(LIFETIME))
    assert await sessions.identify(signed(claims())) == ADA
    clock.seconds += REFETCH_SECONDS + 1
    assert await sessions.identify(signed(claims(), kid="made-up")) is None
    assert answers == []
    assert await sessions.identify(signed(claims())) == ADA


async def test_an_answer_that_breaks_off_is_an_outage() -> None:
    async def cut() -> Mapping[str, Any]:
        raise IncompleteRead(b"{")

    with pytest.raises(Unavailable):
        await Sessions(cut, EndedSessions(LIFETIME)).identify(signed(claims()))


async def test_auth_itself_asks_nobody() -> None:
    sessions = Sessions(SIGNER.own_keys, EndedSessions(LIFETIME))
    assert await sessions.identify(SIGNER.sign(ADA, now() + LIFETIME)) == ADA


def test_what_auth_publishes_is_the_public_half_alone() -> None:
    (key,) = SIGNER.jwks["keys"]
    assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}
    assert key["kid"] == SIGNER.key_id
    assert SIGNER.key_id != OTHER.key_id


def test_an_ended_session_is_remembered_until_its_token_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = EndedSessions(LIFETIME)
    start = now()
    ended.add("first", start)
    ended.add("second", start + LIFETIME / 2)
    monkeypatch.setattr(tokens, "now", lambda: start + LIFETIME)
    ended.add("third", start + LIFETIME)
    assert ["first" in ended, "second" in ended, "third" in ended] == [True, True, True]
    monkeypatch.setattr(tokens, "now", lambda: start + LIFETIME + timedelta(milliseconds=1))
    ended.add("fourth", start + LIFETIME)
    assert ["first" in ended, "second" in ended, "third" in ended] == [False, True, True]


def test_a_session_that_ended_longer_ago_than_any_token_lives_is_not_remembered() -> None:
    ended = EndedSessions(LIFETIME)
    ended.add("new", now())
    ended.add("old", now() - LIFETIME - timedelta(seconds=1))
    assert "new" in ended
    assert "old" not in ended


def test_hearing_twice_that_a_session_ended_is_harmless() -> None:
    ended = EndedSessions(LIFETIME)
    moment = now()
    ended.add("first", moment)
    ended.add("first", moment)
    assert "first" in ended
    assert "second" not in ended
