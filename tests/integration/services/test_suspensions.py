"""Operators suspend users, lift the suspension, and end sessions."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from kit.networks import Networks
from kit.secrets import operator_token
from services.auth.actions import Auth
from services.auth.documents import User
from services.auth.passwords import Match, Passwords
from tests.support.service import Served, messages, new_id, refusal

ANN = {"email": "ann@example.com", "password": "correct horse"}
REASON = {"reason": "sold the same ticket twice"}
SUSPENDED = "This account is suspended. Please contact us if you think that is a mistake"


async def signed_up(auth: Served, **fields: str) -> str:
    """Sign up and return the user's id. The session is left."""
    answer = await auth.ask("POST", "/api/users/signup", json={**ANN, **fields})
    assert answer.status_code == 201, answer.text
    auth.http.cookies.clear()
    return str(answer.json()["id"])


async def signs_in(auth: Served, **fields: str) -> httpx.Response:
    answer = await auth.ask("POST", "/api/users/signin", json={**ANN, **fields}, params={"token": "true"})
    auth.http.cookies.clear()
    return answer


async def operates(auth: Served, method: str, path: str, **request: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {operator_token(auth.app.state.settings)}"}
    return await auth.ask(method, f"/api/users/{path}", headers=headers, **request)


async def suspends(auth: Served, user: str, reason: str = REASON["reason"]) -> dict[str, Any]:
    answer = await operates(auth, "PUT", f"{user}/suspension", json={"reason": reason})
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


async def live_sessions(auth: Served) -> int:
    return await auth.database["sessions"].count_documents({"ended_at": None})


async def test_a_suspension_ends_all_sessions_of_this_user_and_publishes_that(auth: Served) -> None:
    ann = await signed_up(auth)
    token = (await signs_in(auth)).json()["token"]
    await signed_up(auth, email="bob@example.com")
    result = await suspends(auth, ann)
    assert (result["id"], result["endedSessions"]) == (ann, 2)
    assert result["suspensionReason"] == REASON["reason"]
    assert result["suspendedAt"] is not None
    assert await live_sessions(auth) == 1
    ended = [session async for session in auth.database["sessions"].find({"user_id": ann})]
    assert [session["outbox"][-1]["subject"] for session in ended] == ["session.ended"] * 2
    headers = {"Authorization": f"Bearer {token}"}
    assert (await auth.ask("POST", "/api/users/signout-everywhere", headers=headers)).status_code == 401


async def test_a_suspended_user_learns_it_only_with_the_correct_password(auth: Served) -> None:
    await suspends(auth, await signed_up(auth))
    right = await signs_in(auth)
    assert messages(right, 403) == [SUSPENDED]
    assert right.json()["type"] == "/problems/account-suspended"
    assert "set-cookie" not in right.headers
    assert REASON["reason"] not in right.text
    wrong, unknown = await signs_in(auth, password="wrong"), await signs_in(auth, email="eve@example.com")
    assert messages(wrong, 401) == messages(unknown, 401) == ["Invalid credentials"]
    assert await live_sessions(auth) == 0


async def test_signing_in_with_the_correct_password_resets_the_count_of_failures_of_a_suspended_user(
    auth: Served,
) -> None:
    await suspends(auth, await signed_up(auth))
    await signs_in(auth, password="wrong")
    await signs_in(auth)
    assert await auth.database["failures"].count_documents({}) == 0


async def test_a_lifted_suspension_lets_the_user_sign_in_again(auth: Served) -> None:
    ann = await signed_up(auth)
    await suspends(auth, ann)
    for _ in range(2):  # a repetition changes nothing
        answer = await operates(auth, "DELETE", f"{ann}/suspension")
        assert answer.json() == {
            "id": ann,
            "suspendedAt": None,
            "suspensionReason": None,
            "endedSessions": 0,
        }
    assert (await signs_in(auth)).status_code == 200


async def test_a_repeated_suspension_keeps_the_first_time_and_reason(auth: Served) -> None:
    ann = await signed_up(auth)
    first = await suspends(auth, ann)
    again = await suspends(auth, ann, "another reason")
    assert again == {**first, "endedSessions": 0}


async def test_a_repetition_ends_the_sessions_that_an_interrupted_suspension_left(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await signed_up(auth)

    async def crash(*_: object) -> None:
        raise RuntimeError("the process stops here")

    with monkeypatch.context() as patched:
        patched.setattr(Auth, "_end", crash)
        answer = await operates(auth, "PUT", f"{ann}/suspension", json=REASON)
        assert answer.status_code == 500
    assert (await live_sessions(auth), messages(await signs_in(auth), 403)) == (1, [SUSPENDED])
    assert (await suspends(auth, ann))["endedSessions"] == 1
    assert await live_sessions(auth) == 0


async def test_ending_the_sessions_lets_the_user_sign_in_again(auth: Served) -> None:
    ann = await signed_up(auth)
    await signs_in(auth)
    answers = [await operates(auth, "DELETE", f"{ann}/sessions") for _ in range(2)]
    assert [answer.json()["endedSessions"] for answer in answers] == [2, 0]
    assert await live_sessions(auth) == 0
    assert (await signs_in(auth)).status_code == 200


Interrupt = Callable[[], Awaitable[object]]


def after_the_password_check(monkeypatch: pytest.MonkeyPatch, interrupt: Interrupt) -> None:
    """Let something happen between the check of a password and what follows it, once."""
    match = Passwords.match

    async def match_and_interrupt(
        passwords: Passwords,
        given: str,
        stored: str | None,
        networks: Networks | None,
        *,
        is_known_device: bool = False,
    ) -> Match | None:
        is_right = await match(passwords, given, stored, networks, is_known_device=is_known_device)
        monkeypatch.setattr(Passwords, "match", match)
        await interrupt()
        return is_right

    monkeypatch.setattr(Passwords, "match", match_and_interrupt)


def without_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a new session go on without a second look at the user."""

    async def as_it_was(user: User) -> User:
        return user

    monkeypatch.setattr(User, "newest", as_it_was)


async def test_a_user_who_is_suspended_while_signing_in_gets_no_session(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await signed_up(auth)
    after_the_password_check(monkeypatch, lambda: suspends(auth, ann))
    assert messages(await signs_in(auth), 403) == [SUSPENDED]
    assert await live_sessions(auth) == 0


async def test_control_without_a_second_look_the_user_who_is_signing_in_gets_a_session(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await signed_up(auth)
    without_the_guard(monkeypatch)
    after_the_password_check(monkeypatch, lambda: suspends(auth, ann))
    assert (await signs_in(auth)).status_code == 200
    assert await live_sessions(auth) == 1


async def test_a_user_who_is_suspended_while_changing_the_password_gets_no_session(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await signed_up(auth)
    token = (await signs_in(auth)).json()["token"]
    after_the_password_check(monkeypatch, lambda: suspends(auth, ann))
    body = {"currentPassword": ANN["password"], "newPassword": "battery staple"}
    headers = {"Authorization": f"Bearer {token}"}
    answer = await auth.ask("POST", "/api/users/password", json=body, headers=headers)
    assert messages(answer, 403) == [SUSPENDED]
    assert await live_sessions(auth) == 0


async def test_many_sign_ins_at_the_moment_of_the_suspension_leave_no_session(auth: Served) -> None:
    ann = await signed_up(auth)
    answers = await asyncio.gather(*(signs_in(auth) for _ in range(6)), suspends(auth, ann))
    statuses = {answer.status_code for answer in answers[:-1] if isinstance(answer, httpx.Response)}
    assert statuses <= {200, 403}
    assert await live_sessions(auth) == 0


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "suspension"), ("DELETE", "suspension"), ("DELETE", "sessions")]
)
async def test_only_operators_suspend_users_and_end_their_sessions(
    auth: Served, method: str, path: str
) -> None:
    ann = await signed_up(auth)
    token = (await signs_in(auth)).json()["token"]
    for headers in ({}, {"Authorization": f"Bearer {token}"}, {"Authorization": f"Bearer {'0' * 64}"}):
        answer = await auth.ask(method, f"/api/users/{ann}/{path}", json=REASON, headers=headers)
        assert refusal(answer, 401)
    assert await live_sessions(auth) == 2
    assert (await operates(auth, method, f"{new_id()}/{path}", json=REASON)).status_code == 404
    assert (await operates(auth, method, f"nobody/{path}", json=REASON)).status_code == 404


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "\x00", 5, None])
async def test_a_suspension_needs_a_reason(auth: Served, reason: object) -> None:
    ann = await signed_up(auth)
    answer = await operates(auth, "PUT", f"{ann}/suspension", json={"reason": reason})
    ((field, _),) = refusal(answer, 400)
    assert field == "reason"
    assert (await signs_in(auth)).status_code == 200
