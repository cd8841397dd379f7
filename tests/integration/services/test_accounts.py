"""Password changes, signing out everywhere, and the public profile of a user."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from kit.networks import Networks
from services.auth.documents import User
from services.auth.passwords import Match, Passwords
from tests.support.service import Served, messages, new_id, refusal

ANN = {"email": "ann@example.com", "password": "correct horse"}
CHANGE = {"currentPassword": "correct horse", "newPassword": "battery staple"}
ANONYMOUS = {"currentUser": None}


async def start_session(auth: Served, how: str = "signin", **fields: str) -> str:
    """Sign in (or sign up, if `how` is `signup`) and return the token of the new session."""
    answer = await auth.ask("POST", f"/api/users/{how}", json={**ANN, **fields})
    assert answer.status_code in (200, 201), answer.text
    token = auth.http.cookies["session"]
    auth.http.cookies.clear()
    return token


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def is_signed_in(auth: Served, token: str) -> bool:
    answer = await auth.ask("GET", "/api/users/currentuser", headers=bearer(token))
    return bool(answer.json() != ANONYMOUS)


async def test_a_new_password_replaces_the_old_one(auth: Served) -> None:
    token = await start_session(auth, "signup")
    assert (
        await auth.ask("POST", "/api/users/password", headers=bearer(token), json=CHANGE)
    ).status_code == 200
    auth.http.cookies.clear()
    assert (await auth.ask("POST", "/api/users/signin", json=ANN)).status_code == 401
    assert await start_session(auth, password="battery staple")


async def test_changing_the_password_ends_all_sessions_and_starts_a_new_one(auth: Served) -> None:
    tokens = [await start_session(auth, "signup"), await start_session(auth), await start_session(auth)]
    await auth.ask("POST", "/api/users/password", headers=bearer(tokens[1]), json=CHANGE)
    new_token = auth.http.cookies["session"]
    auth.http.cookies.clear()
    assert [await is_signed_in(auth, token) for token in tokens] == [False, False, False]
    assert await is_signed_in(auth, new_token)
    ended = [session async for session in auth.database["sessions"].find({}) if session["outbox"]]
    assert len(ended) == 3


async def test_changing_the_password_requires_the_current_password(auth: Served) -> None:
    token = await start_session(auth, "signup")
    wrong = {**CHANGE, "currentPassword": "wrong horse"}
    answer = await auth.ask("POST", "/api/users/password", headers=bearer(token), json=wrong)
    assert messages(answer, 403) == ["Your current password is wrong"]
    assert await is_signed_in(auth, token)
    assert await start_session(auth)


@pytest.mark.parametrize("new", ["short", "x" * 257])
async def test_a_new_password_must_have_8_to_256_characters(auth: Served, new: str) -> None:
    token = await start_session(auth, "signup")
    answer = await auth.ask(
        "POST", "/api/users/password", headers=bearer(token), json={**CHANGE, "newPassword": new}
    )
    assert refusal(answer, 400) == [("newPassword", "Password must be between 8 and 256 characters")]


@pytest.mark.parametrize("new", ["password", "12345678", "ann@example.com", "Ann12345", "stagedoor!"])
async def test_a_new_password_must_not_be_easily_guessed(auth: Served, new: str) -> None:
    token = await start_session(auth, "signup")
    answer = await auth.ask(
        "POST", "/api/users/password", headers=bearer(token), json={**CHANGE, "newPassword": new}
    )
    ((field, reason),) = refusal(answer, 400)
    assert field == "newPassword"
    assert "attackers try" in reason
    assert await start_session(auth)


@pytest.mark.parametrize("path", ["password", "signout-everywhere"])
async def test_changing_the_password_and_signing_out_everywhere_require_a_session(
    auth: Served, path: str
) -> None:
    assert (await auth.ask("POST", f"/api/users/{path}", json=CHANGE)).status_code == 401
    token = await start_session(auth, "signup")
    await auth.ask("POST", "/api/users/signout", headers=bearer(token))
    assert (
        await auth.ask("POST", f"/api/users/{path}", headers=bearer(token), json=CHANGE)
    ).status_code == 401


async def test_only_one_of_several_concurrent_password_changes_succeeds(auth: Served) -> None:
    token = await start_session(auth, "signup")
    answers = await asyncio.gather(
        *(
            auth.ask(
                "POST",
                "/api/users/password",
                headers=bearer(token),
                json={**CHANGE, "newPassword": f"staple {n} staple"},
            )
            for n in range(4)
        )
    )
    auth.http.cookies.clear()
    (winner,) = [n for n, answer in enumerate(answers) if answer.status_code == 200]
    assert await start_session(auth, password=f"staple {winner} staple")


async def test_signing_in_with_the_old_password_during_a_password_change_fails(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password changes after the check of the old password, but before the new session starts."""
    token = await start_session(auth, "signup")
    match = Passwords.match

    async def change_password_after_check(
        passwords: Passwords,
        given: str,
        stored: str | None,
        networks: Networks | None,
        *,
        is_known_device: bool,
    ) -> Match | None:
        is_right = await match(passwords, given, stored, networks, is_known_device=is_known_device)
        monkeypatch.setattr(Passwords, "match", match)
        await auth.ask("POST", "/api/users/password", headers=bearer(token), json=CHANGE)
        auth.http.cookies.clear()
        return is_right

    monkeypatch.setattr(Passwords, "match", change_password_after_check)
    assert (await auth.ask("POST", "/api/users/signin", json=ANN)).status_code == 401
    live = [session async for session in auth.database["sessions"].find({"ended_at": None})]
    assert len(live) == 1


async def test_concurrent_sign_ins_that_renew_an_outdated_hash_all_succeed(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start_session(auth, "signup")
    match = Passwords.match

    async def match_outdated_hash(
        passwords: Passwords,
        given: str,
        stored: str | None,
        networks: Networks | None,
        *,
        is_known_device: bool,
    ) -> Match | None:
        return (
            Match(is_outdated=True)
            if await match(passwords, given, stored, networks, is_known_device=is_known_device)
            else None
        )

    monkeypatch.setattr(Passwords, "match", match_outdated_hash)
    answers = await asyncio.gather(*(auth.ask("POST", "/api/users/signin", json=ANN) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4


async def test_signing_out_everywhere_ends_all_sessions_of_this_user_only(auth: Served) -> None:
    tokens = [await start_session(auth, "signup"), await start_session(auth)]
    other = await start_session(auth, "signup", email="bob@example.com")
    answer = await auth.ask("POST", "/api/users/signout-everywhere", headers=bearer(tokens[0]))
    assert (answer.status_code, answer.json()) == (200, {})
    assert 'session=""' in answer.headers["set-cookie"] or "session=;" in answer.headers["set-cookie"]
    assert [await is_signed_in(auth, token) for token in (*tokens, other)] == [False, False, True]


async def test_a_public_profile_contains_only_the_id_and_the_time_of_signing_up(auth: Served) -> None:
    await start_session(auth, "signup")
    user = await User.find_one({})
    assert user is not None
    answer = await auth.ask("GET", f"/api/users/{user.id}")
    assert (answer.status_code, answer.json().keys()) == (200, {"id", "since"})
    since = datetime.fromisoformat(answer.json()["since"])
    assert timedelta() <= datetime.now(UTC) - since < timedelta(minutes=1)


@pytest.mark.parametrize("user", [new_id(), "nobody", "0"], ids=["unknown id", "name", "number"])
async def test_an_unknown_user_is_not_found(auth: Served, user: str) -> None:
    assert (await auth.ask("GET", f"/api/users/{user}")).status_code == 404
