"""Password changes, names, the list of sessions, signing out everywhere, and the public profile of a user."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from contracts.identity import Identity
from kit.client_address import CLIENT, Vouching
from kit.networks import Networks
from services.auth.documents import User
from services.auth.passwords import Match, Passwords
from services.auth.rules import TraderUnidentified
from tests.support.service import Served, messages, new_id, refusal

ANN = {"email": "ann@example.com", "password": "correct horse"}
CHANGE = {"currentPassword": "correct horse", "newPassword": "battery staple"}
SAME_SITE = {"Sec-Fetch-Site": "same-origin"}
ANONYMOUS = {"currentUser": None}
TRADER = {
    "name": "Ann Tickets",
    "address": "Mill Lane 1\nCologne",
    "email": "info@example.com",
    "phone": "+49 221 555010",
}
AS_TRADER = {"trader": True, "traderDetails": TRADER}


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


async def test_a_public_profile_contains_only_what_the_user_states_and_the_time_of_signing_up(
    auth: Served,
) -> None:
    await start_session(auth, "signup")
    user = await User.first({})
    assert user is not None
    answer = await auth.ask("GET", f"/api/users/{user.id}")
    assert (answer.status_code, answer.json().keys()) == (
        200,
        {*("id", "since", "name", "deleted", "trader", "traderDetails")},
    )
    assert answer.json()["name"] is None
    since = datetime.fromisoformat(answer.json()["since"])
    assert timedelta() <= datetime.now(UTC) - since < timedelta(minutes=1)


@pytest.mark.parametrize("user", [new_id(), "nobody", "0"], ids=["unknown id", "name", "number"])
async def test_an_unknown_user_is_not_found(auth: Served, user: str) -> None:
    assert (await auth.ask("GET", f"/api/users/{user}")).status_code == 404


async def rename(auth: Served, token: str, name: object) -> httpx.Response:
    return await auth.ask("PATCH", "/api/users/me", headers=bearer(token), json={"name": name})


async def test_others_see_the_name_that_a_user_chooses(auth: Served) -> None:
    token = await start_session(auth, "signup")
    answer = await rename(auth, token, "  Ann   L. ")
    assert (answer.status_code, answer.json()["name"]) == (200, "Ann L.")
    user = await User.first({})
    assert user is not None
    assert (await auth.ask("GET", f"/api/users/{user.id}")).json()["name"] == "Ann L."
    events = [(subject, body["name"]) for subject, body in await auth.outbox("users", user.key)]
    assert events == [("user.created", None), ("user.updated", "Ann L.")]
    assert (await rename(auth, token, None)).json()["name"] is None


async def test_the_same_name_again_publishes_nothing(auth: Served) -> None:
    token = await start_session(auth, "signup")
    for _ in range(2):
        await rename(auth, token, "Ann")
    user = await User.first({})
    assert user is not None
    assert len(await auth.outbox("users", user.key)) == 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ann@example.com", "Name must not be an email address: everybody can read it"),
        ("   ", "Name is required"),
        ("x" * 51, "Name must be at most 50 characters long"),
        ("Stagedoor Support", "Name must not claim to be the marketplace or its staff"),
        ("\u0410nn", "Name must not mix letters of different alphabets in one word"),
        ("Ann\u202e", "Name contains a character that changes the direction of text"),
        ("Ann\u200b", "Name contains an invisible character"),
        ("Ann\x07", "Name contains a control character"),
        ("ann\uff20example.com", "Name must not be an email address: everybody can read it"),
    ],
)
async def test_a_name_is_a_short_line_and_no_email_address(auth: Served, name: str, reason: str) -> None:
    token = await start_session(auth, "signup")
    ((field, message),) = refusal(await rename(auth, token, name), 400)
    assert field == "name"
    assert message.startswith(reason[:20])


async def test_a_reserved_name_from_before_the_rule_may_stay(auth: Served) -> None:
    token = await start_session(auth, "signup")
    await auth.database["users"].update_one({}, {"$set": {"name": "Support"}})
    assert (await rename(auth, token, "Support")).status_code == 200
    assert (await rename(auth, token, "Admin")).status_code == 400
    assert (await rename(auth, token, "Ann")).status_code == 200
    assert (await rename(auth, token, "Support")).status_code == 400


async def test_a_user_from_before_users_were_published_can_change_everything(auth: Served) -> None:
    """Such a user is stored without a version, an outbox and the newer fields."""
    token = await start_session(auth, "signup")
    fields = "version", "outbox", "name", "confirmed_at", "must_confirm", "password_changed_at"
    await auth.database["users"].update_one({}, {"$unset": dict.fromkeys(fields, 1)})
    assert (await rename(auth, token, "Ann")).status_code == 200
    user = await User.first({})
    assert user is not None
    ((subject, body),) = await auth.outbox("users", user.key)
    assert (subject, body["version"], user.version) == ("user.updated", 1, 1)
    changed = await auth.ask("POST", "/api/users/password", headers=bearer(token), json=CHANGE)
    assert changed.status_code == 200
    auth.http.cookies.clear()
    assert await start_session(auth, password="battery staple")


async def test_one_of_two_concurrent_changes_of_a_user_without_a_version_does_not_undo_the_other(
    auth: Served,
) -> None:
    token = await start_session(auth, "signup")
    await auth.database["users"].update_one({}, {"$unset": {"version": 1, "outbox": 1}})
    await asyncio.gather(
        rename(auth, token, "Ann"),
        auth.ask("POST", "/api/users/password", headers=bearer(token), json=CHANGE),
    )
    auth.http.cookies.clear()
    user = await User.first({})
    assert user is not None
    assert (user.name, user.version) == ("Ann", 2)
    assert await start_session(auth, password="battery staple")


FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0"


async def sessions_of(auth: Served, token: str) -> list[dict[str, Any]]:
    answer = await auth.ask("GET", "/api/users/sessions", headers=bearer(token))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def test_a_user_sees_on_which_devices_sessions_are(auth: Served) -> None:
    await start_session(auth, "signup", email="bob@example.com")
    first = await start_session(auth, "signup")
    vouched = Vouching(auth.app.state.settings).sign("203.0.113.7")
    global_address = Vouching(auth.app.state.settings).sign("9.9.9.9")
    for client in (vouched, global_address):
        headers = {"User-Agent": FIREFOX, CLIENT: client}
        await auth.ask("POST", "/api/users/signin", json=ANN, headers=headers)
        auth.http.cookies.clear()
    found = await sessions_of(auth, first)
    assert [(each["device"], each["network"]) for each in found] == [
        ("Firefox on Linux", "9.9.9.0/24"),
        ("Firefox on Linux", None),
        (None, None),
    ]
    assert [each["current"] for each in found] == [False, False, True]
    assert FIREFOX not in repr([each async for each in auth.database["sessions"].find({})])


async def test_a_user_can_end_one_session_of_their_own(auth: Served) -> None:
    first, second = await start_session(auth, "signup"), await start_session(auth)
    other = await start_session(auth, "signup", email="bob@example.com")
    (session,) = [each for each in await sessions_of(auth, first) if not each["current"]]
    path = f"/api/users/sessions/{session['id']}"
    assert (await auth.ask("DELETE", path, headers=bearer(other))).status_code == 404
    for _ in range(2):
        assert (await auth.ask("DELETE", path, headers=bearer(first))).status_code == 204
    assert [await is_signed_in(auth, token) for token in (first, second)] == [True, False]
    assert [each["current"] for each in await sessions_of(auth, first)] == [True]


async def events_of_sessions(auth: Served) -> list[str]:
    found = [session async for session in auth.database["sessions"].find({})]
    return [entry["subject"] for session in found for entry in session["outbox"]]


async def test_only_a_sign_in_on_a_device_without_an_earlier_one_is_published(auth: Served) -> None:
    headers = {"User-Agent": FIREFOX}
    await auth.ask("POST", "/api/users/signup", json=ANN, headers=headers)
    assert await events_of_sessions(auth) == []
    await auth.ask("POST", "/api/users/signout", headers=SAME_SITE)
    auth.http.cookies.delete("session")
    await auth.ask("POST", "/api/users/signin", json=ANN, headers={**headers, **SAME_SITE})
    assert "session.started" not in await events_of_sessions(auth)
    auth.http.cookies.clear()
    await auth.ask("POST", "/api/users/signin", json=ANN, headers=headers)
    (started,) = [
        entry
        async for session in auth.database["sessions"].find({})
        for entry in session["outbox"]
        if entry["subject"] == "session.started"
    ]
    assert json.loads(started["body"])["device"] == "Firefox on Linux"


async def test_a_session_that_was_published_can_end(auth: Served) -> None:
    await start_session(auth, "signup")
    token = await start_session(auth)
    await auth.ask("POST", "/api/users/signout", headers=bearer(token))
    assert sorted(await events_of_sessions(auth)) == ["session.ended", "session.started"]
    assert not await is_signed_in(auth, token)


async def test_others_see_whether_a_seller_states_to_be_a_trader(auth: Served) -> None:
    token = await start_session(auth, "signup")
    user = await User.first({})
    assert user is not None
    assert (await auth.ask("GET", f"/api/users/{user.id}")).json()["trader"] is None
    for stated in (True, True, False, None):
        body = {"trader": stated, **({"traderDetails": TRADER} if stated else {})}
        answer = await auth.ask("PATCH", "/api/users/me", headers=bearer(token), json=body)
        assert (answer.status_code, answer.json()["trader"]) == (200, stated)
        assert (await auth.ask("GET", f"/api/users/{user.id}")).json()["trader"] is stated
    events = [body["trader"] for _, body in await auth.outbox("users", user.key)]
    assert events == [None, True, False, None], "the same statement again publishes nothing"


async def test_a_trader_has_to_say_who_they_are(auth: Served) -> None:
    token = await start_session(auth, "signup")
    user = await User.first({})
    assert user is not None

    async def state(**body: Any) -> httpx.Response:
        return await auth.ask("PATCH", "/api/users/me", headers=bearer(token), json=body)

    assert refusal(await state(trader=True), 400) == [("traderDetails", TraderUnidentified.message)]
    wrong = {**TRADER, "phone": "call me"}
    assert [field for field, _ in refusal(await state(trader=True, traderDetails=wrong), 400)] == [
        "traderDetails.phone"
    ]
    shown = {**TRADER, "registerEntry": None}
    assert (await state(**AS_TRADER)).json()["traderDetails"] == shown
    assert (await auth.ask("GET", f"/api/users/{user.id}")).json()["traderDetails"] == shown
    refusal(await state(traderDetails=None), 400)
    assert (await state(trader=False)).json()["traderDetails"] is None
    assert (await auth.ask("GET", f"/api/users/{user.id}")).json()["traderDetails"] is None
    assert not any("traderDetails" in body for _, body in await auth.outbox("users", user.key))


async def test_a_trader_from_before_details_existed_lists_nothing_until_they_have_said_who_they_are(
    auth: Served,
) -> None:
    async def is_unidentified(token: str) -> bool:
        identity = await auth.app.state.sessions.identify(token)
        assert isinstance(identity, Identity)
        return identity.unidentified

    assert not await is_unidentified(await start_session(auth, "signup"))
    await User.get_pymongo_collection().update_one({}, {"$set": {"trader": True}})
    laptop, phone = await start_session(auth), await start_session(auth)
    assert await is_unidentified(laptop)
    auth.http.cookies.clear()
    renamed = await auth.ask("PATCH", "/api/users/me", headers=bearer(laptop), json={"name": "Ann"})
    assert "set-cookie" not in renamed.headers
    stated = await auth.ask("PATCH", "/api/users/me", headers=bearer(laptop), json=AS_TRADER)
    assert not await is_unidentified(stated.cookies["session"])
    auth.http.cookies.clear()
    renewed = await auth.ask("GET", "/api/users/currentuser", headers=bearer(phone))
    assert not await is_unidentified(renewed.cookies["session"])
    auth.http.cookies.clear()
    assert not await is_unidentified(await start_session(auth))


async def test_name_and_trader_change_independently(auth: Served) -> None:
    token = await start_session(auth, "signup")
    await rename(auth, token, "Ann")
    answer = await auth.ask("PATCH", "/api/users/me", headers=bearer(token), json=AS_TRADER)
    assert answer.json()["name"] == "Ann"
    assert (await rename(auth, token, "Bea")).json()["trader"] is True
    answer = await auth.ask("PATCH", "/api/users/me", headers=bearer(token), json={})
    assert answer.status_code == 400
