"""Sessions: cookies, tokens, signing out, and the published public keys."""

import asyncio
from datetime import datetime, timedelta
from http.cookies import Morsel, SimpleCookie
from typing import Any

import httpx
import jwt
import pytest
from bson import ObjectId
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from contracts.identity import SECURE_SESSION_COOKIE, SESSION_COOKIE, Identity
from contracts.wire import now
from kit.client_address import CLIENT, Vouching
from kit.tokens import Signer
from services.auth import actions
from services.auth.documents import Session
from services.auth.idle_sessions import end_idle_sessions
from tests.support.polling import until
from tests.support.service import Served, SettingsWith, messages, new_id, refusal, serving, token_for

ANN = {"email": "ann@example.com", "password": "correct horse"}
ANONYMOUS = {"currentUser": None}


async def sign_up(auth: Served) -> httpx.Response:
    answer = await auth.ask("POST", "/api/users/signup", json=ANN)
    assert answer.status_code == 201, answer.text
    return answer


def session_cookie(answer: httpx.Response, name: str = SESSION_COOKIE) -> "Morsel[str]":
    header = next(it for it in answer.headers.get_list("set-cookie") if it.startswith(f"{name}="))
    return SimpleCookie(header)[name]


async def current_user(auth: Served, token: str) -> object:
    auth.http.cookies.clear()
    answer = await auth.ask("GET", "/api/users/currentuser", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    return answer.json()


async def test_the_session_cookie_is_hidden_from_scripts_and_other_sites(auth: Served) -> None:
    cookie = session_cookie(await sign_up(auth))
    assert cookie["httponly"] is True
    assert cookie["samesite"].lower() == "lax"
    assert cookie["path"] == "/"
    assert not cookie["secure"]
    assert 43_190 <= int(cookie["max-age"]) <= 43_200


@pytest.mark.parametrize(("path", "status"), [("/api/users/signup", 201), ("/api/users/signin", 200)])
async def test_a_program_can_ask_for_the_session_token_when_it_signs_up_or_in(
    auth: Served, path: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    if path.endswith("signin"):
        await sign_up(auth)
    answer = await auth.ask("POST", path, json=ANN, params={"token": "true"})
    assert answer.status_code == status, answer.text
    token = answer.json()["token"]
    assert set(answer.json()) == {"id", "email", "token"}
    assert token == session_cookie(answer).value
    assert answer.headers["cache-control"] == "no-store"
    assert token not in caplog.text
    user = {"id": answer.json()["id"], "email": ANN["email"]}
    assert await current_user(auth, token) == {"currentUser": user}


@pytest.mark.parametrize("params", [{}, {"token": "false"}])
async def test_a_response_has_no_session_token_unless_the_request_asks_for_it(
    auth: Served, params: dict[str, str]
) -> None:
    signed_up = await auth.ask("POST", "/api/users/signup", json=ANN, params=params)
    signed_in = await auth.ask("POST", "/api/users/signin", json=ANN, params=params)
    assert set(signed_up.json()) == set(signed_in.json()) == {"id", "email"}


async def test_no_other_response_contains_a_session_token(auth: Served) -> None:
    token = session_cookie(await sign_up(auth)).value
    passwords = {"currentPassword": ANN["password"], "newPassword": "battery staple"}
    for method, path, body in (
        ("GET", "/api/users/currentuser", None),
        ("POST", "/api/users/password", passwords),
        ("POST", "/api/users/signout", None),
    ):
        answer = await auth.ask(method, path, json=body, params={"token": "true"})
        assert answer.is_success, answer.text
        assert "token" not in answer.text
        assert token not in answer.text


async def test_a_value_of_token_that_is_no_boolean_is_refused(auth: Served) -> None:
    answer = await auth.ask("POST", "/api/users/signin", json=ANN, params={"token": "please"})
    assert refusal(answer, 400) == [("token", "Token isn't valid")]


async def test_behind_tls_only_a_secure_cookie_of_this_host_is_accepted(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(cookie_secure=True)) as auth:
        answers = [await sign_up(auth), await auth.ask("POST", "/api/users/signout")]
        cookies = [session_cookie(answer, SECURE_SESSION_COOKIE) for answer in answers]
        for cookie in cookies:
            assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "")
        auth.http.cookies.clear()
        token = session_cookie(
            await auth.ask("POST", "/api/users/signin", json=ANN), SECURE_SESSION_COOKIE
        ).value
        auth.http.cookies.clear()
        for name, is_accepted in ((SESSION_COOKIE, False), (SECURE_SESSION_COOKIE, True)):
            headers = {"Cookie": f"{name}={token}"}
            answer = await auth.ask("GET", "/api/users/currentuser", headers=headers)
            assert (answer.json() != ANONYMOUS) is is_accepted


@pytest.mark.parametrize("path", ["/api/users/signin", "/api/users/signup"])
async def test_a_new_session_ends_the_previous_one_of_the_same_browser(auth: Served, path: str) -> None:
    previous = session_cookie(await sign_up(auth)).value
    account = ANN if path.endswith("signin") else {**ANN, "email": "bob@example.com"}
    answer = await auth.ask("POST", path, json=account)
    assert answer.is_success
    assert await current_user(auth, previous) == ANONYMOUS
    assert await current_user(auth, session_cookie(answer).value) != ANONYMOUS
    session = jwt.decode(previous, options={"verify_signature": False})["sid"]
    assert [subject for subject, _ in await auth.outbox("sessions", session)] == ["session.ended"]


async def test_a_failed_attempt_to_sign_in_leaves_the_session_of_the_browser(auth: Served) -> None:
    token = session_cookie(await sign_up(auth)).value
    wrong = {**ANN, "password": "another password"}
    assert (await auth.ask("POST", "/api/users/signin", json=wrong)).status_code == 401
    assert await current_user(auth, token) != ANONYMOUS


async def test_signing_in_with_another_browser_starts_a_separate_session(auth: Served) -> None:
    first = session_cookie(await sign_up(auth)).value
    auth.http.cookies.clear()
    second = session_cookie(await auth.ask("POST", "/api/users/signin", json=ANN)).value
    await auth.ask("POST", "/api/users/signout", headers={"Authorization": f"Bearer {second}"})
    assert await current_user(auth, second) == ANONYMOUS
    assert await current_user(auth, first) != ANONYMOUS


async def test_a_token_is_accepted_as_a_cookie_and_as_a_bearer_token(auth: Served) -> None:
    answer = await sign_up(auth)
    token = session_cookie(answer).value
    assert await current_user(auth, token) == {"currentUser": answer.json()}
    cookie = {"Cookie": f"session={token}"}
    by_cookie = await auth.ask("GET", "/api/users/currentuser", headers=cookie)
    assert by_cookie.json() == {"currentUser": answer.json()}


async def test_the_use_of_a_session_is_stored_once_a_minute_and_publishes_nothing(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in_at = now()
    token = session_cookie(await sign_up(auth)).value
    used_at = []
    for seconds in (30, 90, 100):
        moment = signed_in_at + timedelta(seconds=seconds)
        monkeypatch.setattr(actions, "now", lambda moment=moment: moment)
        headers = {"Authorization": f"Bearer {token}"}
        assert (await auth.ask("POST", "/api/users/session-use", headers=headers)).status_code == 204
        (stored,) = await auth.database["sessions"].find().to_list()
        used_at.append(stored["used_at"])
    assert used_at[0] < signed_in_at + timedelta(seconds=30)
    assert used_at[1:] == [signed_in_at + timedelta(seconds=90)] * 2
    assert (stored["version"], stored["outbox"]) == (-1, [])


async def test_idle_sessions_end_and_publish_session_ended(auth: Served) -> None:
    idle = session_cookie(await sign_up(auth)).value
    auth.http.cookies.clear()
    active = session_cookie(await auth.ask("POST", "/api/users/signin", json=ANN)).value
    session = jwt.decode(idle, options={"verify_signature": False})["sid"]
    await store_use(auth, session, now() - timedelta(hours=2, seconds=1))
    await end_idle_sessions(timedelta(hours=2), auth.app.state.sessions.ended)
    assert await current_user(auth, idle) == ANONYMOUS
    assert await current_user(auth, active) != ANONYMOUS
    assert [subject for subject, _ in await auth.outbox("sessions", session)] == ["session.ended"]


async def test_several_instances_end_an_idle_session_only_once(auth: Served) -> None:
    token = session_cookie(await sign_up(auth)).value
    session = jwt.decode(token, options={"verify_signature": False})["sid"]
    await store_use(auth, session, now() - timedelta(hours=3))
    ended = auth.app.state.sessions.ended
    await asyncio.gather(*(end_idle_sessions(timedelta(hours=2), ended) for _ in range(6)))
    assert len(await auth.outbox("sessions", session)) == 1


async def test_a_session_that_is_used_while_its_end_is_decided_goes_on(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = session_cookie(await sign_up(auth)).value
    session = jwt.decode(token, options={"verify_signature": False})["sid"]
    await store_use(auth, session, now() - timedelta(hours=3))
    save = Session.save_and_publish

    async def save_after_use(self: Session, *arguments: Any, **expected: Any) -> Session | None:
        await store_use(auth, session, now())
        return await save(self, *arguments, **expected)

    monkeypatch.setattr(Session, "save_and_publish", save_after_use)
    await end_idle_sessions(timedelta(hours=2), auth.app.state.sessions.ended)
    assert await current_user(auth, token) != ANONYMOUS


async def test_auth_ends_idle_sessions_by_itself(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(session_idle_seconds=1)) as auth:
        token = session_cookie(await sign_up(auth)).value
        session = jwt.decode(token, options={"verify_signature": False})["sid"]

        async def has_ended() -> bool:
            return bool(await auth.outbox("sessions", session))

        await until(has_ended)
        assert await current_user(auth, token) == ANONYMOUS


async def test_a_service_notes_the_use_of_sessions_only_in_requests_that_bypass_web(tickets: Served) -> None:
    noted = tickets.app.state.use._noted
    for expected, headers in ((1, {}), (0, {CLIENT: Vouching(tickets.app.state.settings).sign("192.0.2.1")})):
        headers["Authorization"] = f"Bearer {token_for(new_id())}"
        before = len(noted)
        await tickets.ask("GET", "/api/tickets/mine", headers=headers)
        assert len(noted) - before == expected


async def store_use(auth: Served, session: str, moment: datetime) -> None:
    await auth.database["sessions"].update_one({"_id": ObjectId(session)}, {"$set": {"used_at": moment}})


async def test_only_signed_in_users_can_report_the_use_of_a_session(auth: Served) -> None:
    assert messages(await auth.ask("POST", "/api/users/session-use"), 401) == ["Sign in first"]


async def test_signing_out_ends_the_session_and_publishes_session_ended(auth: Served) -> None:
    token = session_cookie(await sign_up(auth)).value
    answer = await auth.ask("POST", "/api/users/signout")
    assert (answer.status_code, answer.json()) == (200, {})
    assert session_cookie(answer).value == ""
    assert session_cookie(answer)["max-age"] == "0"
    assert await current_user(auth, token) == ANONYMOUS
    session = jwt.decode(token, options={"verify_signature": False})["sid"]
    ((subject, body),) = await auth.outbox("sessions", session)
    assert (subject, body["sessionId"]) == ("session.ended", session)


async def test_repeated_or_anonymous_sign_outs_publish_no_further_event(auth: Served) -> None:
    token = session_cookie(await sign_up(auth)).value
    for credentials in (token, token, "invalid", ""):
        headers = {"Authorization": f"Bearer {credentials}"}
        answer = await auth.ask("POST", "/api/users/signout", headers=headers)
        assert (answer.status_code, answer.json()) == (200, {})
    session = jwt.decode(token, options={"verify_signature": False})["sid"]
    assert len(await auth.outbox("sessions", session)) == 1


async def test_a_session_ended_by_another_instance_is_invalid_at_once(auth: Served) -> None:
    token = session_cookie(await sign_up(auth)).value
    await auth.database["sessions"].update_one({}, {"$set": {"ended_at": now()}})
    assert await current_user(auth, token) == ANONYMOUS


async def test_signing_up_publishes_no_session_event(auth: Served) -> None:
    session_cookie(await sign_up(auth))
    (session,) = [session async for session in auth.database["sessions"].find()]
    assert session["outbox"] == []


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "null", "é"])
async def test_a_malformed_token_counts_as_anonymous(auth: Served, token: str) -> None:
    auth.http.cookies.clear()
    headers = {"Authorization": f"Bearer {token}".encode()}
    answer = await auth.ask("GET", "/api/users/currentuser", headers=headers)
    assert (answer.status_code, answer.json()) == (200, ANONYMOUS)


async def test_a_forged_unsigned_or_expired_token_is_refused(tickets: Served) -> None:
    user = new_id()
    genuine = token_for(user)
    claims = jwt.decode(genuine, options={"verify_signature": False})
    kid = {"kid": jwt.get_unverified_header(genuine)["kid"]}
    invalid = {
        "signed with another key": token_for(user, signer=Signer(Ed25519PrivateKey.generate())),
        "signed with another key of the same name": jwt.encode(
            claims, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers=kid
        ),
        "expired": token_for(user, lifetime=timedelta(seconds=-1)),
        "unsigned": jwt.encode(claims, "", algorithm="none", headers=kid),
        "signed with a shared secret": jwt.encode(claims, "public" * 8, algorithm="HS256", headers=kid),
        "changed": genuine[:-6] + ("AAAAAA" if genuine[-6:] != "AAAAAA" else "BBBBBB"),
    }
    for kind, token in invalid.items():
        answer = await tickets.ask("GET", "/api/tickets/mine", headers={"Authorization": f"Bearer {token}"})
        assert messages(answer, 401) == ["Sign in first"], kind
    assert (await tickets.ask("GET", "/api/tickets/mine", by=user)).status_code == 200


async def test_an_expired_session_counts_as_anonymous(auth: Served) -> None:
    token = session_cookie(await sign_up(auth)).value
    claims = jwt.decode(token, options={"verify_signature": False})
    identity = Identity(id=claims["sub"], email=claims["email"], session_id=claims["sid"])
    signer: Signer = auth.app.state.auth.signer
    assert await current_user(auth, signer.sign(identity, now() + timedelta(minutes=1))) != ANONYMOUS
    assert await current_user(auth, signer.sign(identity, now() - timedelta(seconds=1))) == ANONYMOUS


async def test_other_services_refuse_a_session_in_their_list_of_ended_sessions(tickets: Served) -> None:
    token = token_for(new_id())
    headers = {"Authorization": f"Bearer {token}"}
    assert (await tickets.ask("GET", "/api/tickets/mine", headers=headers)).status_code == 200
    session = jwt.decode(token, options={"verify_signature": False})["sid"]
    tickets.app.state.sessions.ended.add(session, now())
    assert messages(await tickets.ask("GET", "/api/tickets/mine", headers=headers), 401) == ["Sign in first"]


async def test_the_published_keys_contain_no_private_key(auth: Served) -> None:
    answer = await auth.ask("GET", "/.well-known/jwks.json")
    assert answer.status_code == 200
    (key,) = answer.json()["keys"]
    assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("OKP", "Ed25519", "EdDSA", "sig")
    token = session_cookie(await sign_up(auth)).value
    assert jwt.get_unverified_header(token) == {"typ": "JWT", "alg": "EdDSA", "kid": key["kid"]}
    jwt.decode(token, jwt.PyJWK(key), algorithms=["EdDSA"], issuer="stagedoor-auth", audience="stagedoor")


def pems() -> tuple[str, str]:
    """A new private key and its public key."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


async def test_sessions_of_the_previous_key_are_valid_while_auth_verifies_with_it(
    settings_with: SettingsWith,
) -> None:
    (old, old_public), (new, _) = pems(), pems()
    async with serving("auth", settings_with(session_private_key=old)) as auth:
        token = session_cookie(await sign_up(auth)).value
    conf = settings_with(session_private_key=new, session_verification_keys=old_public)
    async with serving("auth", conf, fresh=False) as auth:
        assert await current_user(auth, token) != ANONYMOUS
        keys = (await auth.ask("GET", "/.well-known/jwks.json")).json()["keys"]
        signed_in = session_cookie(await auth.ask("POST", "/api/users/signin", json=ANN)).value
        kid = jwt.get_unverified_header(signed_in)["kid"]
        assert [key["kid"] for key in keys] == [kid, jwt.get_unverified_header(token)["kid"]]
    async with serving("auth", settings_with(session_private_key=new), fresh=False) as auth:
        assert await current_user(auth, token) == ANONYMOUS
        assert await current_user(auth, signed_in) != ANONYMOUS
