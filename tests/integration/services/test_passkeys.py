"""Passkeys: adding, naming and removing them, and signing in with them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from bson import ObjectId

from contracts.wire import now
from services.auth import challenges, passkeys
from services.auth.challenges import LIFETIME
from services.auth.documents import Session, User
from services.auth.passkeys import MAX_PASSKEYS
from services.auth.rules import AccountSuspended
from tests.integration.services.test_links import (
    ANN,
    EMAIL,
    NEW,
    NEW_EMAIL,
    bearer,
    completes_move,
    confirmed_session,
    forgets,
    is_signed_in,
    link_to,
    moves,
    resets,
    session_of,
    undoes,
)
from tests.support.authenticator import Authenticator, decoded, encoded
from tests.support.service import Served, SettingsWith, messages, refusal, serving

EXPIRED = ["That took too long or was already done. Try again"]
REFUSED = ["The passkey couldn't be verified. Try again"]
INVALID = ["The passkey couldn't be verified. Try again, or use your password"]
UNKNOWN = ["No account has this passkey. It may have been removed. Use your password"]


@pytest.fixture
def authenticator() -> Authenticator:
    return Authenticator()


async def begins_adding(auth: Served, token: str, password: str = ANN["password"]) -> httpx.Response:
    return await auth.ask(
        "POST", "/api/users/passkeys/begin", headers=bearer(token), json={"currentPassword": password}
    )


async def options_to_add(auth: Served, token: str) -> dict[str, Any]:
    answer = await begins_adding(auth, token)
    assert answer.status_code == 200, answer.text
    options: dict[str, Any] = answer.json()["publicKey"]
    return options


async def finishes_adding(
    auth: Served, token: str, credential: dict[str, Any], **body: Any
) -> httpx.Response:
    return await auth.ask(
        "POST", "/api/users/passkeys", headers=bearer(token), json={"credential": credential, **body}
    )


async def adds(auth: Served, token: str, authenticator: Authenticator, **body: Any) -> dict[str, Any]:
    """Add a passkey, and return it as the API shows it."""
    credential = authenticator.create(await options_to_add(auth, token))
    answer = await finishes_adding(auth, token, credential, **body)
    assert answer.status_code == 201, answer.text
    added: dict[str, Any] = answer.json()
    return added


async def options_to_sign_in(auth: Served) -> dict[str, Any]:
    answer = await auth.ask("POST", "/api/users/passkey-signin/begin")
    assert answer.status_code == 200, answer.text
    options: dict[str, Any] = answer.json()["publicKey"]
    return options


async def finishes_sign_in(auth: Served, credential: dict[str, Any]) -> httpx.Response:
    answer = await auth.ask(
        "POST", "/api/users/passkey-signin", params={"token": "true"}, json={"credential": credential}
    )
    auth.http.cookies.clear()
    return answer


async def signs_in(auth: Served, authenticator: Authenticator) -> httpx.Response:
    return await finishes_sign_in(auth, authenticator.get(await options_to_sign_in(auth)))


async def removes(
    auth: Served, token: str, passkey_id: str, password: str = ANN["password"]
) -> httpx.Response:
    return await auth.ask(
        "POST",
        f"/api/users/passkeys/{passkey_id}/remove",
        headers=bearer(token),
        json={"currentPassword": password},
    )


async def listed(auth: Served, token: str) -> list[dict[str, Any]]:
    answer = await auth.ask("GET", "/api/users/passkeys", headers=bearer(token))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def stored_user(email: str = EMAIL) -> User:
    user = await User.first({"email": email})
    assert user is not None
    return user


# The passkeys of an account


async def test_a_passkey_is_added_and_signs_in_without_a_user_name(
    auth: Served, authenticator: Authenticator
) -> None:
    token = await session_of(auth)
    added = await adds(auth, token, authenticator, name="My phone")
    assert (added["name"], added["usedAt"]) == ("My phone", None)
    answer = await signs_in(auth, authenticator)
    assert (answer.status_code, answer.json()["email"]) == (200, EMAIL)
    assert await is_signed_in(auth, answer.json()["token"])
    (shown,) = await listed(auth, token)
    assert shown["id"] == added["id"]
    assert shown["usedAt"] is not None


async def test_the_options_ask_for_a_verified_user_and_contain_no_address_for_signing_in(
    auth: Served, authenticator: Authenticator
) -> None:
    token = await session_of(auth)
    await adds(auth, token, authenticator)
    to_add, to_sign_in = await options_to_add(auth, token), await options_to_sign_in(auth)
    assert to_add["rp"] == {"id": "localhost", "name": "Stagedoor"}
    assert to_add["authenticatorSelection"]["userVerification"] == "required"
    assert to_add["authenticatorSelection"]["residentKey"] == "required"
    assert [each["id"] for each in to_add["excludeCredentials"]] == [encoded(authenticator.credentials[0].id)]
    assert to_sign_in["userVerification"] == "required"
    assert not to_sign_in.get("allowCredentials")


async def test_the_user_handle_is_the_opaque_id_of_the_user(auth: Served) -> None:
    options = await options_to_add(auth, await session_of(auth))
    assert str(ObjectId(decoded(options["user"]["id"]))) == (await stored_user()).key


async def test_a_passkey_without_a_name_is_called_after_the_browser(
    auth: Served, authenticator: Authenticator
) -> None:
    token = await session_of(auth)
    auth.http.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    assert (await adds(auth, token, authenticator))["name"] == "Firefox on Linux"
    auth.http.headers["User-Agent"] = "python-httpx"
    assert (await adds(auth, token, authenticator))["name"] == "Passkey"


async def test_adding_and_removing_need_the_password(auth: Served, authenticator: Authenticator) -> None:
    """A stolen session must not become a permanent way in, nor lock out the owner."""
    token = await session_of(auth)
    added = await adds(auth, token, authenticator)
    wrong = ["Your current password is wrong"]
    assert messages(await begins_adding(auth, token, "wrong horse"), 403) == wrong
    assert messages(await removes(auth, token, added["id"], "wrong horse"), 403) == wrong
    assert len(await listed(auth, token)) == 1


@pytest.mark.parametrize("path", ["passkeys", "passkeys/begin", f"passkeys/{'0' * 24}/remove"])
async def test_only_signed_in_users_have_passkeys(auth: Served, path: str) -> None:
    assert messages(await auth.ask("POST", f"/api/users/{path}", json={}), 401) == ["Sign in first"]


async def test_a_passkey_is_renamed_and_removed(auth: Served, authenticator: Authenticator) -> None:
    token = await session_of(auth)
    added = await adds(auth, token, authenticator, name="Phone")
    path = f"/api/users/passkeys/{added['id']}"
    renamed = await auth.ask("PATCH", path, headers=bearer(token), json={"name": "Old phone"})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Old phone")
    assert [each["name"] for each in await listed(auth, token)] == ["Old phone"]
    assert (await removes(auth, token, added["id"])).status_code == 204
    assert await listed(auth, token) == []
    assert messages(await removes(auth, token, added["id"]), 404) == ["Not found"]
    assert messages(await signs_in(auth, authenticator), 401) == UNKNOWN


async def test_nobody_changes_the_passkeys_of_others(auth: Served, authenticator: Authenticator) -> None:
    token = await session_of(auth)
    added = await adds(auth, token, authenticator, name="Phone")
    other = await session_of(auth, email="bob@example.com")
    path = f"/api/users/passkeys/{added['id']}"
    assert messages(await removes(auth, other, added["id"]), 404) == ["Not found"]
    assert messages(await auth.ask("PATCH", path, headers=bearer(other), json={"name": "x"}), 404) == [
        "Not found"
    ]
    assert await listed(auth, other) == []
    assert [each["name"] for each in await listed(auth, token)] == ["Phone"]


async def test_adding_and_removing_are_published_and_renaming_is_not(
    auth: Served, authenticator: Authenticator
) -> None:
    token = await session_of(auth)
    user = await stored_user()
    added = await adds(auth, token, authenticator)
    path = f"/api/users/passkeys/{added['id']}"
    await auth.ask("PATCH", path, headers=bearer(token), json={"name": "Phone"})
    await signs_in(auth, authenticator)
    await removes(auth, token, added["id"])
    events = await auth.outbox("users", user.key)
    assert [subject for subject, _ in events] == ["user.created", "user.updated", "user.updated"]
    times = [event["passkeysChangedAt"] for _, event in events]
    assert times[0] is None
    assert times[1] is not None
    assert times[1] <= times[2]
    assert "credential" not in str(events)


async def test_an_account_has_at_most_twenty_passkeys(
    auth: Served, authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passkeys, "MAX_PASSKEYS", 2)
    assert MAX_PASSKEYS == 20
    token = await session_of(auth)
    await adds(auth, token, authenticator)
    made = [authenticator.create(await options_to_add(auth, token)) for _ in range(4)]
    answers = await asyncio.gather(*(finishes_adding(auth, token, each) for each in made))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    full = ["You have as many passkeys as possible. Remove one first"]
    assert messages(await begins_adding(auth, token), 409) == full


async def test_a_passkey_belongs_to_one_account_only(auth: Served, authenticator: Authenticator) -> None:
    token, other = await session_of(auth), await session_of(auth, email="bob@example.com")
    await adds(auth, token, authenticator)
    taken = authenticator.credentials[0].id
    copy = Authenticator()
    options = await options_to_add(auth, other)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.support.authenticator.secrets.token_bytes", lambda _: taken)
        credential = copy.create(options)
    assert messages(await finishes_adding(auth, other, credential), 409) == ["This passkey was already added"]
    assert await listed(auth, other) == []


# What is refused while adding


@pytest.mark.parametrize(
    "changed",
    [{"origin": "https://evil.example"}, {"origin": "http://127.0.0.1:3500"}, {"type": "webauthn.get"}],
    ids=["origin", "address", "type"],
)
async def test_a_passkey_that_was_made_elsewhere_is_refused(
    auth: Served, authenticator: Authenticator, changed: dict[str, str]
) -> None:
    token = await session_of(auth)
    credential = authenticator.create(await options_to_add(auth, token), **changed)
    assert messages(await finishes_adding(auth, token, credential), 400) == REFUSED
    assert await listed(auth, token) == []


async def test_a_page_in_a_frame_of_another_site_adds_no_passkey(
    auth: Served, authenticator: Authenticator
) -> None:
    token = await session_of(auth)
    credential = authenticator.create(await options_to_add(auth, token), crossOrigin=True)
    assert messages(await finishes_adding(auth, token, credential), 400) == REFUSED


async def test_an_authenticator_that_does_not_verify_its_user_is_refused(
    auth: Served, authenticator: Authenticator
) -> None:
    token = await session_of(auth)
    authenticator.verifies = False
    credential = authenticator.create(await options_to_add(auth, token))
    assert messages(await finishes_adding(auth, token, credential), 400) == REFUSED


async def test_a_challenge_adds_one_passkey(auth: Served, authenticator: Authenticator) -> None:
    token = await session_of(auth)
    options = await options_to_add(auth, token)
    first, second = authenticator.create(options), authenticator.create(options)
    assert (await finishes_adding(auth, token, first)).status_code == 201
    assert messages(await finishes_adding(auth, token, second), 410) == EXPIRED


async def test_a_challenge_adds_no_passkey_in_another_session_or_for_another_user(
    auth: Served, authenticator: Authenticator
) -> None:
    """A thief of the session can't use the proof that the owner gave in another one."""
    token = await session_of(auth)
    credential = authenticator.create(await options_to_add(auth, token))
    for other in (await session_of(auth, "signin"), await session_of(auth, email="bob@example.com")):
        assert messages(await finishes_adding(auth, other, credential), 410) == EXPIRED
    assert (await finishes_adding(auth, token, credential)).status_code == 201


async def test_a_challenge_for_signing_in_adds_no_passkey(auth: Served, authenticator: Authenticator) -> None:
    token = await session_of(auth)
    options = await options_to_add(auth, token) | {"challenge": (await options_to_sign_in(auth))["challenge"]}
    assert messages(await finishes_adding(auth, token, authenticator.create(options)), 410) == EXPIRED


async def test_a_challenge_expires(
    auth: Served, authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await session_of(auth)
    await adds(auth, token, authenticator)
    to_add, to_sign_in = await options_to_add(auth, token), await options_to_sign_in(auth)
    monkeypatch.setattr(challenges, "now", lambda: now() + LIFETIME - timedelta(seconds=5))
    assert (await finishes_sign_in(auth, authenticator.get(to_sign_in))).status_code == 200
    monkeypatch.setattr(challenges, "now", lambda: now() + LIFETIME)
    assert messages(await finishes_adding(auth, token, authenticator.create(to_add)), 410) == EXPIRED
    assert messages(await finishes_sign_in(auth, authenticator.get(to_sign_in)), 410) == EXPIRED


async def test_a_changed_password_voids_the_proof_of_the_old_one(
    auth: Served, authenticator: Authenticator
) -> None:
    """Both at once: whoever knew the old password must not add a passkey while the owner replaces it."""
    token = await session_of(auth)
    credential = authenticator.create(await options_to_add(auth, token))
    await User.get_pymongo_collection().update_one({"email": EMAIL}, {"$set": {"password_hash": "another"}})
    assert messages(await finishes_adding(auth, token, credential), 410) == EXPIRED


async def test_a_password_that_changes_while_a_passkey_is_added_wins(
    auth: Served, authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await session_of(auth)
    credential = authenticator.create(await options_to_add(auth, token))
    claim = challenges.claim

    async def slow_claim(challenge: challenges.Challenge) -> None:
        await claim(challenge)
        user = await stored_user()
        await user.change_password("another")

    monkeypatch.setattr(challenges, "claim", slow_claim)
    assert messages(await finishes_adding(auth, token, credential), 410) == EXPIRED
    assert (await stored_user()).passkeys == []


@pytest.mark.parametrize(
    "response",
    [
        {"attestationObject": encoded(b"\xa0")},
        {"attestationObject": encoded(b"\x9f" * 5000)},
        {"attestationObject": "A"},
        {"clientDataJSON": encoded(b"[" * 5000)},
        {"clientDataJSON": encoded(b"\xff\xfe")},
        {"clientDataJSON": encoded(b'{"type": 1, "challenge": 2, "origin": 3}')},
        {"clientDataJSON": "A"},
    ],
)
async def test_malformed_responses_are_refused(
    auth: Served, authenticator: Authenticator, response: dict[str, str]
) -> None:
    token = await session_of(auth)
    credential = authenticator.create(await options_to_add(auth, token))
    credential["response"] |= response
    refused = await finishes_adding(auth, token, credential)
    assert refused.status_code in {400, 410}, refused.text
    assert refusal(refused, refused.status_code)


# What is refused while signing in


@pytest.mark.parametrize(
    "changed",
    [{"origin": "https://evil.example"}, {"type": "webauthn.create"}, {"crossOrigin": True}],
    ids=["origin", "type", "frame"],
)
async def test_a_passkey_that_was_used_elsewhere_is_refused(
    auth: Served, authenticator: Authenticator, changed: dict[str, Any]
) -> None:
    await adds(auth, await session_of(auth), authenticator)
    credential = authenticator.get(await options_to_sign_in(auth), **changed)
    assert messages(await finishes_sign_in(auth, credential), 401) == INVALID


async def test_a_passkey_of_another_site_is_refused(auth: Served, authenticator: Authenticator) -> None:
    await adds(auth, await session_of(auth), authenticator)
    options = await options_to_sign_in(auth) | {"rpId": "evil.example"}
    assert messages(await finishes_sign_in(auth, authenticator.get(options)), 401) == INVALID


async def test_signing_in_needs_a_verified_user(auth: Served, authenticator: Authenticator) -> None:
    await adds(auth, await session_of(auth), authenticator)
    authenticator.verifies = False
    assert messages(await signs_in(auth, authenticator), 401) == INVALID


async def test_a_suspended_user_cannot_sign_in_with_a_passkey(
    auth: Served, authenticator: Authenticator
) -> None:
    await adds(auth, await session_of(auth), authenticator)
    await (await stored_user()).suspend("sold the same ticket twice")
    assert messages(await signs_in(auth, authenticator), 403) == [AccountSuspended.message]


async def test_a_forged_signature_is_refused(auth: Served, authenticator: Authenticator) -> None:
    await adds(auth, await session_of(auth), authenticator)
    credential = authenticator.get(await options_to_sign_in(auth))
    other = authenticator.get(await options_to_sign_in(auth))
    credential["response"]["signature"] = other["response"]["signature"]
    assert messages(await finishes_sign_in(auth, credential), 401) == INVALID


async def test_a_passkey_signs_in_its_own_user_only(auth: Served, authenticator: Authenticator) -> None:
    await adds(auth, await session_of(auth), authenticator)
    bob = Authenticator()
    await adds(auth, await session_of(auth, email="bob@example.com"), bob)
    mixed = authenticator.get(await options_to_sign_in(auth))
    mixed["response"]["userHandle"] = encoded(bob.credentials[0].user_handle)
    assert messages(await finishes_sign_in(auth, mixed), 401) == INVALID
    foreign = bob.get(await options_to_sign_in(auth))
    foreign["id"] = encoded(authenticator.credentials[0].id)
    assert messages(await finishes_sign_in(auth, foreign), 401) == INVALID


async def test_an_unknown_passkey_is_refused(auth: Served, authenticator: Authenticator) -> None:
    token = await session_of(auth)
    authenticator.create(await options_to_add(auth, token))  # never sent
    assert messages(await signs_in(auth, authenticator), 401) == UNKNOWN


async def test_an_answer_signs_in_once(auth: Served, authenticator: Authenticator) -> None:
    await adds(auth, await session_of(auth), authenticator)
    credential = authenticator.get(await options_to_sign_in(auth))
    answers = await asyncio.gather(*(finishes_sign_in(auth, credential) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 410, 410, 410]
    assert messages(await finishes_sign_in(auth, credential), 410) == EXPIRED


async def test_without_the_record_of_used_challenges_an_answer_would_sign_in_again(
    auth: Served, authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: authenticators that don't count signatures leave only this guard."""

    async def accept(_: challenges.Challenge) -> None:
        """Accept a challenge again."""

    monkeypatch.setattr(challenges, "claim", accept)
    await adds(auth, await session_of(auth), authenticator)
    credential = authenticator.get(await options_to_sign_in(auth))
    for _ in range(2):
        assert (await finishes_sign_in(auth, credential)).status_code == 200


async def test_a_forged_challenge_is_refused(auth: Served, authenticator: Authenticator) -> None:
    await adds(auth, await session_of(auth), authenticator)
    challenge = bytearray(decoded((await options_to_sign_in(auth))["challenge"]))
    challenge[20] ^= 1  # a later expiry
    for forged in (bytes(challenge), b"", bytes(16)):
        options = {"rpId": "localhost", "challenge": encoded(forged)}
        assert messages(await finishes_sign_in(auth, authenticator.get(options)), 410) == EXPIRED


async def test_an_authenticator_that_counts_backwards_may_be_a_copy(
    auth: Served, authenticator: Authenticator, caplog: pytest.LogCaptureFixture
) -> None:
    authenticator.counts = True
    await adds(auth, await session_of(auth), authenticator)
    for _ in range(3):
        assert (await signs_in(auth, authenticator)).status_code == 200
    authenticator.credentials[0].sign_count = 1
    assert messages(await signs_in(auth, authenticator), 401) == [
        "This passkey may have been copied. Use your password, and remove the passkey from your account"
    ]
    assert "may have been copied" in caplog.text
    assert (await stored_user()).passkeys[0].sign_count == 3


async def test_a_use_is_not_overwritten_by_a_change_of_the_passkeys(
    auth: Served, authenticator: Authenticator
) -> None:
    """Adding and removing write all passkeys of the user, as they were read."""
    await adds(auth, await session_of(auth), authenticator)
    read = await stored_user()
    assert await read.mark_used(read.passkeys[0], 7)
    assert await read.save_and_publish(read.with_passkeys(read.passkeys)) is None
    assert (await stored_user()).passkeys[0].sign_count == 7


async def test_without_the_guard_a_change_of_the_passkeys_would_overwrite_a_use(
    auth: Served, authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: a use doesn't change the user's version."""
    monkeypatch.setattr(User, "_same_passkeys", lambda _: {})
    await adds(auth, await session_of(auth), authenticator)
    read = await stored_user()
    assert await read.mark_used(read.passkeys[0], 7)
    assert await read.save_and_publish(read.with_passkeys(read.passkeys)) is not None
    assert (await stored_user()).passkeys[0].sign_count == 0


# Recovered accounts


async def test_a_reset_of_a_confirmed_account_keeps_its_passkeys(
    auth: Served, authenticator: Authenticator
) -> None:
    token = await confirmed_session(auth)
    await adds(auth, token, authenticator)
    assert (await resets(auth, await forgets(auth))).status_code == 200
    assert (await signs_in(auth, authenticator)).status_code == 200


async def test_whoever_claims_a_squatted_address_gets_rid_of_the_passkeys(
    auth: Served, authenticator: Authenticator
) -> None:
    """Otherwise somebody could sign up with the address of others, and keep a way in."""
    await adds(auth, await session_of(auth), authenticator)
    assert (await resets(auth, await forgets(auth))).status_code == 200
    assert messages(await signs_in(auth, authenticator), 401) == UNKNOWN
    user = await stored_user()
    assert (user.passkeys, user.passkeys_changed_at is not None) == ([], True)


async def test_whoever_undoes_a_change_of_the_address_gets_rid_of_the_passkeys(
    auth: Served, authenticator: Authenticator
) -> None:
    token = await confirmed_session(auth)
    moved = await completes_move(auth, token, await moves(auth, token))
    assert moved.status_code == 200
    auth.http.cookies.clear()
    thief = await session_of(auth, "signin", email=NEW_EMAIL)
    await adds(auth, thief, authenticator)
    assert (await undoes(auth, await link_to(auth, "undo-email-change"))).status_code == 200
    assert messages(await signs_in(auth, authenticator), 401) == UNKNOWN


Recovery = Callable[[], Awaitable[None]]


@pytest.fixture
def recovers_during_sign_in(auth: Served, monkeypatch: pytest.MonkeyPatch) -> Recovery:
    """Let the owner recover the account just before a new session is stored."""

    async def prepare() -> None:
        link = await forgets(auth)
        add, recovered = Session.add, asyncio.Event()

        async def recover_first(session: Session, **options: Any) -> None:
            if not recovered.is_set():
                recovered.set()
                assert (await resets(auth, link, NEW)).status_code == 200
            await add(session, **options)

        monkeypatch.setattr(Session, "add", recover_first)

    return prepare


async def test_a_sign_in_during_a_recovery_leaves_no_session(
    auth: Served, authenticator: Authenticator, recovers_during_sign_in: Recovery
) -> None:
    await adds(auth, await session_of(auth), authenticator)
    await recovers_during_sign_in()
    assert messages(await signs_in(auth, authenticator), 401) == UNKNOWN
    assert await Session.find({"ended_at": None}).count() == 0


async def test_without_the_second_look_a_sign_in_would_survive_a_recovery(
    auth: Served,
    authenticator: Authenticator,
    recovers_during_sign_in: Recovery,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control: the recovery has ended all sessions that it found."""
    await adds(auth, await session_of(auth), authenticator)
    await recovers_during_sign_in()
    before = await stored_user()

    async def unchanged(_: User) -> User:
        return before

    monkeypatch.setattr(User, "newest", unchanged)
    assert (await signs_in(auth, authenticator)).status_code == 200
    assert await Session.find({"ended_at": None}).count() == 1


# The address of the marketplace


@pytest.mark.parametrize("site", ["http://127.0.0.1:3500", "http://tickets.example.com", "https://[::1]"])
async def test_passkeys_are_unavailable_where_browsers_refuse_them(
    settings_with: SettingsWith, site: str
) -> None:
    async with serving("auth", settings_with(web_url=site)) as auth:
        token = await session_of(auth)
        unavailable = ["Passkeys only work at an address with https and a name, or at http://localhost"]
        assert messages(await begins_adding(auth, token), 409) == unavailable
        assert messages(await auth.ask("POST", "/api/users/passkey-signin/begin"), 409) == unavailable


async def test_passkeys_work_at_a_public_address(settings_with: SettingsWith) -> None:
    authenticator = Authenticator("https://tickets.example.com")
    conf = settings_with(web_url="https://Tickets.Example.com:443/", cookie_secure=False)
    async with serving("auth", conf) as auth:
        await adds(auth, await session_of(auth), authenticator)
        assert (await signs_in(auth, authenticator)).status_code == 200
