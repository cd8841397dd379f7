"""Changing a password, signing out everywhere, and what others may know of a user."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from services.auth.documents import User
from services.auth.passwords import Passwords
from tests.services.served import Served, messages, new_id, refusal

ANN = {"email": "ann@example.com", "password": "correct horse"}
CHANGE = {"currentPassword": "correct horse", "newPassword": "battery staple"}
NOBODY = {"currentUser": None}


async def begun(auth: Served, how: str = "signin", **fields: str) -> str:
    """The token of a new session."""
    answer = await auth.ask("POST", f"/api/users/{how}", json={**ANN, **fields})
    assert answer.status_code in (200, 201), answer.text
    token = auth.http.cookies["session"]
    auth.http.cookies.clear()
    return token


def by(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def is_signed_in(auth: Served, token: str) -> bool:
    answer = await auth.ask("GET", "/api/users/currentuser", headers=by(token))
    return bool(answer.json() != NOBODY)


async def test_a_new_password_replaces_the_old_one(auth: Served) -> None:
    token = await begun(auth, "signup")
    assert (await auth.ask("POST", "/api/users/password", headers=by(token), json=CHANGE)).status_code == 200
    auth.http.cookies.clear()
    assert (await auth.ask("POST", "/api/users/signin", json=ANN)).status_code == 401
    assert await begun(auth, password="battery staple")


async def test_changing_the_password_ends_every_other_session_and_begins_one(auth: Served) -> None:
    tokens = [await begun(auth, "signup"), await begun(auth), await begun(auth)]
    await auth.ask("POST", "/api/users/password", headers=by(tokens[1]), json=CHANGE)
    fresh = auth.http.cookies["session"]
    auth.http.cookies.clear()
    assert [await is_signed_in(auth, token) for token in tokens] == [False, False, False]
    assert await is_signed_in(auth, fresh)
    ended = [session async for session in auth.database["sessions"].find({}) if session["outbox"]]
    assert len(ended) == 3


async def test_only_who_knows_the_present_password_changes_it(auth: Served) -> None:
    token = await begun(auth, "signup")
    wrong = {**CHANGE, "currentPassword": "wrong horse"}
    answer = await auth.ask("POST", "/api/users/password", headers=by(token), json=wrong)
    assert messages(answer, 403) == ["That isn't your present password"]
    assert await is_signed_in(auth, token)
    assert await begun(auth)


@pytest.mark.parametrize("new", ["short", "x" * 129])
async def test_a_new_password_is_held_to_the_same_rules(auth: Served, new: str) -> None:
    token = await begun(auth, "signup")
    answer = await auth.ask(
        "POST", "/api/users/password", headers=by(token), json={**CHANGE, "newPassword": new}
    )
    assert refusal(answer, 400) == [("newPassword", "Password must be between 8 and 128 characters")]


@pytest.mark.parametrize("path", ["password", "signout-everywhere"])
async def test_nobody_changes_anything_without_a_session(auth: Served, path: str) -> None:
    assert (await auth.ask("POST", f"/api/users/{path}", json=CHANGE)).status_code == 401
    token = await begun(auth, "signup")
    await auth.ask("POST", "/api/users/signout", headers=by(token))
    assert (await auth.ask("POST", f"/api/users/{path}", headers=by(token), json=CHANGE)).status_code == 401


async def test_of_two_changes_at_once_one_wins(auth: Served) -> None:
    token = await begun(auth, "signup")
    answers = await asyncio.gather(
        *(
            auth.ask(
                "POST",
                "/api/users/password",
                headers=by(token),
                json={**CHANGE, "newPassword": f"staple {n} staple"},
            )
            for n in range(4)
        )
    )
    auth.http.cookies.clear()
    (won,) = [n for n, answer in enumerate(answers) if answer.status_code == 200]
    assert await begun(auth, password=f"staple {won} staple")


async def test_who_signs_in_with_the_old_password_while_it_is_changed_is_out(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old password was right when it was looked at; the session begins after the others were ended."""
    token = await begun(auth, "signup")
    matches = Passwords.matches

    async def then_it_changes(passwords: Passwords, given: str, stored: str | None) -> bool:
        right = await matches(passwords, given, stored)
        monkeypatch.setattr(Passwords, "matches", matches)
        await auth.ask("POST", "/api/users/password", headers=by(token), json=CHANGE)
        auth.http.cookies.clear()
        return right

    monkeypatch.setattr(Passwords, "matches", then_it_changes)
    assert (await auth.ask("POST", "/api/users/signin", json=ANN)).status_code == 401
    live = [session async for session in auth.database["sessions"].find({"ended_at": None})]
    assert len(live) == 1


async def test_a_hash_that_was_renewed_meanwhile_is_of_the_same_password(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sign-ins at once both find the parameters outdated."""
    await begun(auth, "signup")
    monkeypatch.setattr(Passwords, "is_outdated", lambda *_: True)
    answers = await asyncio.gather(*(auth.ask("POST", "/api/users/signin", json=ANN) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4


async def test_signing_out_everywhere_ends_all_sessions_and_no_one_elses(auth: Served) -> None:
    tokens = [await begun(auth, "signup"), await begun(auth)]
    other = await begun(auth, "signup", email="bob@example.com")
    answer = await auth.ask("POST", "/api/users/signout-everywhere", headers=by(tokens[0]))
    assert (answer.status_code, answer.json()) == (200, {})
    assert 'session=""' in answer.headers["set-cookie"] or "session=;" in answer.headers["set-cookie"]
    assert [await is_signed_in(auth, token) for token in (*tokens, other)] == [False, False, True]


async def test_of_a_user_anybody_knows_since_when_they_are_here_and_nothing_else(auth: Served) -> None:
    await begun(auth, "signup")
    user = await User.find_one({})
    assert user is not None
    answer = await auth.ask("GET", f"/api/users/{user.id}")
    assert (answer.status_code, answer.json().keys()) == (200, {"id", "since"})
    since = datetime.fromisoformat(answer.json()["since"])
    assert timedelta() <= datetime.now(UTC) - since < timedelta(minutes=1)


@pytest.mark.parametrize("user", [new_id(), "nobody", "0"], ids=["new", "name", "digit"])
async def test_an_unknown_user_is_not_found(auth: Served, user: str) -> None:
    assert (await auth.ask("GET", f"/api/users/{user}")).status_code == 404
