"""Sessions: cookies, tokens, signing out, and the published public keys."""

from datetime import timedelta
from http.cookies import Morsel, SimpleCookie

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.identity import Identity
from contracts.wire import now
from kit.tokens import Signer
from services.auth import actions
from tests.support.service import Served, SettingsWith, messages, new_id, serving, token_for

ANN = {"email": "ann@example.com", "password": "correct horse"}
ANONYMOUS = {"currentUser": None}


async def sign_up(auth: Served) -> httpx.Response:
    answer = await auth.ask("POST", "/api/users/signup", json=ANN)
    assert answer.status_code == 201, answer.text
    return answer


def session_cookie(answer: httpx.Response) -> "Morsel[str]":
    header = next(it for it in answer.headers.get_list("set-cookie") if it.startswith("session="))
    return SimpleCookie(header)["session"]


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


async def test_the_session_cookie_is_secure_if_so_configured(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(cookie_secure=True)) as auth:
        assert session_cookie(await sign_up(auth))["secure"] is True
        assert session_cookie(await auth.ask("POST", "/api/users/signout"))["secure"] is True


async def test_signing_in_starts_a_separate_session(auth: Served) -> None:
    first = session_cookie(await sign_up(auth)).value
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
    jwt.decode(token, jwt.PyJWK(key), algorithms=["EdDSA"], issuer="stagedoor-auth")
