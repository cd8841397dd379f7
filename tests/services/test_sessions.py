from datetime import timedelta
from http.cookies import Morsel, SimpleCookie

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.identity import Identity
from contracts.wire import now
from services.kit.tokens import Signer
from tests.services.conftest import SettingsWith
from tests.services.served import Served, messages, new_id, serving, token_for

ANN = {"email": "ann@example.com", "password": "correct horse"}
NOBODY = {"currentUser": None}


async def sign_up(auth: Served) -> httpx.Response:
    answer = await auth.ask("POST", "/api/users/signup", json=ANN)
    assert answer.status_code == 201, answer.text
    return answer


def session_cookie(answer: httpx.Response) -> "Morsel[str]":
    (header,) = answer.headers.get_list("set-cookie")
    return SimpleCookie(header)["session"]


async def current_user(auth: Served, token: str) -> object:
    auth.http.cookies.clear()
    answer = await auth.ask("GET", "/api/users/currentuser", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    return answer.json()


async def test_the_session_cookie_is_kept_from_scripts_and_other_sites(auth: Served) -> None:
    cookie = session_cookie(await sign_up(auth))
    assert cookie["httponly"] is True
    assert cookie["samesite"].lower() == "lax"
    assert cookie["path"] == "/"
    assert not cookie["secure"]
    assert 43_190 <= int(cookie["max-age"]) <= 43_200


async def test_behind_tls_the_session_cookie_is_sent_over_tls_only(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(cookie_secure=True)) as auth:
        assert session_cookie(await sign_up(auth))["secure"] is True
        assert session_cookie(await auth.ask("POST", "/api/users/signout"))["secure"] is True


async def test_signing_in_begins_another_session(auth: Served) -> None:
    first = session_cookie(await sign_up(auth)).value
    second = session_cookie(await auth.ask("POST", "/api/users/signin", json=ANN)).value
    await auth.ask("POST", "/api/users/signout", headers={"Authorization": f"Bearer {second}"})
    assert await current_user(auth, second) == NOBODY
    assert await current_user(auth, first) != NOBODY


async def test_a_token_counts_as_cookie_and_as_bearer(auth: Served) -> None:
    answer = await sign_up(auth)
    token = session_cookie(answer).value
    assert await current_user(auth, token) == {"currentUser": answer.json()}
    cookie = {"Cookie": f"session={token}"}
    by_cookie = await auth.ask("GET", "/api/users/currentuser", headers=cookie)
    assert by_cookie.json() == {"currentUser": answer.json()}


async def test_signing_out_ends_the_session_and_tells_everybody(auth: Served) -> None:
    token = session_cookie(await sign_up(auth)).value
    answer = await auth.ask("POST", "/api/users/signout")
    assert (answer.status_code, answer.json()) == (200, {})
    assert session_cookie(answer).value == ""
    assert session_cookie(answer)["max-age"] == "0"
    assert await current_user(auth, token) == NOBODY
    session = jwt.decode(token, options={"verify_signature": False})["sid"]
    ((subject, body),) = await auth.outbox("sessions", session)
    assert (subject, body["sessionId"]) == ("session.ended", session)


async def test_signing_out_twice_or_as_nobody_tells_nothing_more(auth: Served) -> None:
    token = session_cookie(await sign_up(auth)).value
    for credentials in (token, token, "made up", ""):
        headers = {"Authorization": f"Bearer {credentials}"}
        answer = await auth.ask("POST", "/api/users/signout", headers=headers)
        assert (answer.status_code, answer.json()) == (200, {})
    session = jwt.decode(token, options={"verify_signature": False})["sid"]
    assert len(await auth.outbox("sessions", session)) == 1


async def test_a_session_that_another_copy_ended_is_nobodys_at_once(auth: Served) -> None:
    token = session_cookie(await sign_up(auth)).value
    await auth.database["sessions"].update_one({}, {"$set": {"ended_at": now()}})
    assert await current_user(auth, token) == NOBODY


async def test_signing_up_and_in_tell_nobody_of_a_session(auth: Served) -> None:
    session_cookie(await sign_up(auth))
    (session,) = [session async for session in auth.database["sessions"].find()]
    assert session["outbox"] == []


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "null", "é"])
async def test_a_malformed_token_is_nobody(auth: Served, token: str) -> None:
    auth.http.cookies.clear()
    headers = {"Authorization": f"Bearer {token}".encode()}
    answer = await auth.ask("GET", "/api/users/currentuser", headers=headers)
    assert (answer.status_code, answer.json()) == (200, NOBODY)


async def test_a_forged_unsigned_or_expired_token_is_nobodys(tickets: Served) -> None:
    user = new_id()
    genuine = token_for(user)
    claims = jwt.decode(genuine, options={"verify_signature": False})
    kid = {"kid": jwt.get_unverified_header(genuine)["kid"]}
    forged = {
        "by another key": token_for(user, signer=Signer(Ed25519PrivateKey.generate())),
        "by another key of the same name": jwt.encode(
            claims, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers=kid
        ),
        "expired": token_for(user, lifetime=timedelta(seconds=-1)),
        "unsigned": jwt.encode(claims, "", algorithm="none", headers=kid),
        "by a shared secret": jwt.encode(claims, "public" * 8, algorithm="HS256", headers=kid),
        "changed": genuine[:-6] + ("AAAAAA" if genuine[-6:] != "AAAAAA" else "BBBBBB"),
    }
    for kind, token in forged.items():
        answer = await tickets.ask("GET", "/api/tickets/mine", headers={"Authorization": f"Bearer {token}"})
        assert messages(answer, 401) == ["Sign in first"], kind
    assert (await tickets.ask("GET", "/api/tickets/mine", by=user)).status_code == 200


async def test_an_expired_session_is_nobodys(auth: Served) -> None:
    token = session_cookie(await sign_up(auth)).value
    claims = jwt.decode(token, options={"verify_signature": False})
    who = Identity(id=claims["sub"], email=claims["email"], session_id=claims["sid"])
    signer: Signer = auth.app.state.auth.signer
    assert await current_user(auth, signer.sign(who, now() + timedelta(minutes=1))) != NOBODY
    assert await current_user(auth, signer.sign(who, now() - timedelta(seconds=1))) == NOBODY


async def test_other_services_refuse_a_session_they_heard_the_end_of(tickets: Served) -> None:
    token = token_for(new_id())
    headers = {"Authorization": f"Bearer {token}"}
    assert (await tickets.ask("GET", "/api/tickets/mine", headers=headers)).status_code == 200
    session = jwt.decode(token, options={"verify_signature": False})["sid"]
    tickets.app.state.sessions.ended.add(session, now())
    assert messages(await tickets.ask("GET", "/api/tickets/mine", headers=headers), 401) == ["Sign in first"]


async def test_the_published_keys_have_no_private_part(auth: Served) -> None:
    answer = await auth.ask("GET", "/.well-known/jwks.json")
    assert answer.status_code == 200
    (key,) = answer.json()["keys"]
    assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("OKP", "Ed25519", "EdDSA", "sig")
    token = session_cookie(await sign_up(auth)).value
    assert jwt.get_unverified_header(token) == {"typ": "JWT", "alg": "EdDSA", "kid": key["kid"]}
    jwt.decode(token, jwt.PyJWK(key), algorithms=["EdDSA"], issuer="stagedoor-auth")
