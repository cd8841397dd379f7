"""One-time links: forgotten passwords, confirmed and changed addresses, and what the mail service may ask."""

import asyncio
import hmac
from base64 import urlsafe_b64encode
from datetime import timedelta
from hashlib import sha256
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from contracts.events import LinkKind
from contracts.identity import Identity
from contracts.wire import now
from kit.networks import Networks
from kit.secrets import derived_keys, internal_secret, internal_token, mail_token, operator_token
from services.auth import accounts, actions, links
from services.auth.accounts import Accounts
from services.auth.actions import Auth, SignedIn
from services.auth.attempts import Client
from services.auth.documents import Link, User, ending_before
from services.auth.passwords import Match, Passwords
from settings import SERVICES
from tests.support.links import ask_for_link, mailed_path, newest_link, secret_in
from tests.support.service import Served, SettingsWith, messages, new_id, refusal, serving

EMAIL, NEW_EMAIL = "ann@example.com", "ann@example.net"
ANN = {"email": EMAIL, "password": "correct horse"}
NEW = "battery staple"


async def session_of(auth: Served, how: str = "signup", **fields: str) -> str:
    """Sign up or in, and return the token of the new session."""
    answer = await auth.ask("POST", f"/api/users/{how}", json={**ANN, **fields}, params={"token": "true"})
    assert answer.is_success, answer.text
    auth.http.cookies.clear()
    token: str = answer.json()["token"]
    return token


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def is_signed_in(auth: Served, token: str) -> bool:
    answer = await auth.ask("GET", "/api/users/currentuser", headers=bearer(token))
    auth.http.cookies.clear()
    return bool(answer.json()["currentUser"])


async def can_sign_in(auth: Served, password: str, email: str = EMAIL) -> bool:
    answer = await auth.ask("POST", "/api/users/signin", json={"email": email, "password": password})
    auth.http.cookies.clear()
    return answer.status_code == 200


async def link_to(auth: Served, kind: LinkKind, email: str = EMAIL) -> str:
    settings = auth.app.state.settings
    return secret_in(await mailed_path(auth.http, auth.database, settings, kind, email))


async def forgets(auth: Served, email: str = EMAIL) -> str:
    """Ask for a new password, and return the link."""
    answer = await auth.ask("POST", "/api/users/password-reset", json={"email": email})
    assert (answer.status_code, answer.json()) == (202, {})
    return await link_to(auth, "reset-password", email)


async def resets(auth: Served, link: str, new: str = NEW) -> httpx.Response:
    return await auth.ask(
        "POST", "/api/users/password-reset/complete", json={"link": link, "newPassword": new}
    )


async def confirms(auth: Served, token: str, link: str) -> httpx.Response:
    return await auth.ask(
        "POST", "/api/users/confirmation/complete", headers=bearer(token), json={"link": link}
    )


async def confirmed_session(auth: Served) -> str:
    """Sign up, confirm the address, and return the token of the session."""
    token = await session_of(auth)
    asked = await auth.ask("POST", "/api/users/confirmation", headers=bearer(token), json={})
    assert asked.status_code == 202
    assert (await confirms(auth, token, await link_to(auth, "confirm-email"))).status_code == 200
    auth.http.cookies.clear()
    return token


async def moves(auth: Served, token: str, email: str = NEW_EMAIL, password: str = ANN["password"]) -> str:
    """Ask for a change of the address, and return the link that goes to the new one."""
    answer = await auth.ask(
        "POST",
        "/api/users/email-change",
        headers=bearer(token),
        json={"email": email, "currentPassword": password},
    )
    assert answer.status_code == 202, answer.text
    return await link_to(auth, "change-email", email)


async def completes_move(auth: Served, token: str, link: str) -> httpx.Response:
    return await auth.ask(
        "POST", "/api/users/email-change/complete", headers=bearer(token), json={"link": link}
    )


async def undoes(auth: Served, link: str, new: str = NEW) -> httpx.Response:
    return await auth.ask("POST", "/api/users/email-change/undo", json={"link": link, "newPassword": new})


# Forgotten passwords


async def test_a_forgotten_password_is_replaced_and_all_sessions_end(auth: Served) -> None:
    token = await session_of(auth)
    answer = await resets(auth, await forgets(auth))
    assert (answer.status_code, answer.json()["email"]) == (200, EMAIL)
    assert not await is_signed_in(auth, token)
    assert not await can_sign_in(auth, ANN["password"])
    assert await can_sign_in(auth, NEW)


async def test_the_response_does_not_tell_whether_an_address_has_an_account(auth: Served) -> None:
    await session_of(auth)
    known, unknown = [
        await auth.ask("POST", "/api/users/password-reset", json={"email": email})
        for email in (EMAIL, "nobody@example.com")
    ]
    assert (known.status_code, known.text) == (unknown.status_code, unknown.text) == (202, "{}")
    assert await newest_link(auth.database, "reset-password", "nobody@example.com") is None


async def test_the_work_for_a_known_address_is_done_after_the_response(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the time until the response would tell which addresses have accounts."""
    await session_of(auth)
    found: list[str] = []

    async def first(filter_: dict[str, Any]) -> None:
        found.append(filter_["email"])

    accounts: Accounts = auth.app.state.accounts
    monkeypatch.setattr(User, "first", first)
    assert await accounts.may_send_reset(EMAIL)
    assert found == []


async def test_a_link_works_once(auth: Served) -> None:
    await session_of(auth)
    link = await forgets(auth)
    assert (await resets(auth, link)).status_code == 200
    assert messages(await resets(auth, link, "another staple"), 410) == [
        "This link has expired or was already used"
    ]
    assert await can_sign_in(auth, NEW)


async def test_one_of_two_concurrent_resets_with_the_same_link_succeeds(auth: Served) -> None:
    await session_of(auth)
    link = await forgets(auth)
    answers = await asyncio.gather(*(resets(auth, link, f"{NEW} {n}") for n in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 410, 410]
    (winner,) = [n for n, answer in enumerate(answers) if answer.status_code == 200]
    assert await can_sign_in(auth, f"{NEW} {winner}")


async def test_without_the_guarded_write_a_link_would_work_several_times(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above: a link that is checked first and marked as used afterwards."""

    async def mark(link: Link) -> None:
        await Link.get_pymongo_collection().update_one({"_id": link.id}, {"$set": {"used_at": now()}})

    async def replace(user: User, password_hash: str, **more: Any) -> User:
        changes = {"password_hash": password_hash, **more}
        await User.get_pymongo_collection().update_one({"_id": user.id}, {"$set": changes})
        return user

    monkeypatch.setattr(links, "claim", mark)
    monkeypatch.setattr(User, "change_password", replace)
    await session_of(auth)
    link = await forgets(auth)
    answers = await asyncio.gather(*(resets(auth, link, f"{NEW} {n}") for n in range(3)))
    assert [answer.status_code for answer in answers].count(200) > 1


async def reset_during_sign_in(auth: Served, monkeypatch: pytest.MonkeyPatch) -> int:
    """Sign in with the old password, which is reset after its check and before the session starts."""
    await session_of(auth)
    link = await forgets(auth)
    match = Passwords.match

    async def reset_after_check(
        passwords: Passwords,
        given: str,
        stored: str | None,
        networks: Networks | None,
        *,
        is_known_device: bool,
    ) -> Match | None:
        found = await match(passwords, given, stored, networks, is_known_device=is_known_device)
        monkeypatch.setattr(Passwords, "match", match)
        assert (await resets(auth, link)).status_code == 200
        return found

    monkeypatch.setattr(Passwords, "match", reset_after_check)
    await auth.ask("POST", "/api/users/signin", json=ANN)
    return await auth.database["sessions"].count_documents({"ended_at": None})


async def test_a_sign_in_with_the_old_password_during_a_reset_leaves_no_session(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await reset_during_sign_in(auth, monkeypatch) == 0


async def test_without_a_second_look_a_sign_in_during_a_reset_would_leave_a_session(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""

    async def same(user: User) -> User:
        return user

    monkeypatch.setattr(User, "newest", same)
    assert await reset_during_sign_in(auth, monkeypatch) == 1


async def test_a_changed_password_makes_links_useless_that_were_sent_before(auth: Served) -> None:
    token = await session_of(auth)
    first, second = await forgets(auth), await forgets(auth)
    assert (await resets(auth, second)).status_code == 200
    assert (await resets(auth, first, "another staple")).status_code == 410
    token = await session_of(auth, "signin", password=NEW)
    third = await forgets(auth)
    change = {"currentPassword": NEW, "newPassword": "yet another staple"}
    await auth.ask("POST", "/api/users/password", headers=bearer(token), json=change)
    assert (await resets(auth, third)).status_code == 410


async def test_a_link_expires(auth: Served) -> None:
    await session_of(auth)
    link = await forgets(auth)
    just_now = now() - timedelta(seconds=1)
    await auth.database["links"].update_one({}, {"$set": {"expires_at": just_now}})
    assert (await resets(auth, link)).status_code == 410
    assert (await ask_for_link(auth.http, auth.app.state.settings, link[:24])).status_code == 410


async def test_a_link_to_reset_a_password_works_for_thirty_minutes(auth: Served) -> None:
    await session_of(auth)
    await forgets(auth)
    link = await Link.first({})
    assert link is not None
    assert link.expires_at - link.created_at == timedelta(minutes=30)


@pytest.mark.parametrize("forged", ["", "x", f"{'a' * 24}.{'0' * 64}"])
async def test_a_forged_link_is_refused_like_an_expired_one(auth: Served, forged: str) -> None:
    await session_of(auth)
    assert (await resets(auth, forged)).status_code == 410


async def test_a_link_of_another_kind_is_refused(auth: Served) -> None:
    token = await session_of(auth)
    link = await moves(auth, token)
    assert (await resets(auth, link)).status_code == 410
    assert (await undoes(auth, link)).status_code == 410


async def test_a_weak_password_is_refused_and_the_link_still_works(auth: Served) -> None:
    await session_of(auth)
    link = await forgets(auth)
    ((field, _),) = refusal(await resets(auth, link, "password1"), 400)
    assert field == "newPassword"
    assert (await resets(auth, link)).status_code == 200


async def test_a_mailbox_gets_three_links_in_half_an_hour_and_all_of_them_work(auth: Served) -> None:
    await session_of(auth)
    made = [await forgets(auth) for _ in range(5)]
    assert len(set(made)) == 3
    assert (await resets(auth, made[0])).status_code == 200


async def test_nothing_that_is_stored_or_published_contains_the_link(auth: Served) -> None:
    await session_of(auth)
    link = await forgets(auth)
    stored = [document async for document in auth.database["links"].find({})]
    assert link.partition(".")[2] not in repr(stored)
    ((subject, event),) = await auth.outbox("links", link[:24])
    assert subject == "link.created"
    assert EMAIL not in repr(event)


def pem_of(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem_of(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


async def test_a_link_is_the_same_each_time_and_works_while_the_session_key_is_replaced(
    settings_with: SettingsWith,
) -> None:
    old, new = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    async with serving("auth", settings_with(session_private_key=pem_of(old))) as auth:
        await session_of(auth)
        link = await forgets(auth)
        assert await link_to(auth, "reset-password") == link
    async with serving("auth", settings_with(session_private_key=pem_of(new)), fresh=False) as auth:
        refused = await resets(auth, link)
        assert messages(refused, 410) == ["This link has expired or was already used"]
    replacing = settings_with(session_private_key=pem_of(new), session_verification_keys=public_pem_of(old))
    async with serving("auth", replacing, fresh=False) as auth:
        assert await link_to(auth, "reset-password") != link
        assert (await resets(auth, link)).status_code == 200


async def test_neither_the_internal_secret_nor_what_auth_publishes_makes_a_link(auth: Served) -> None:
    """What another service knows: the ids of links, the internal secret, and tokens that auth has signed."""
    token = await session_of(auth)
    link = await forgets(auth)
    link_id, _, signature = link.partition(".")
    settings = auth.app.state.settings
    guesses = [
        hmac.new(key, link_id.encode(), sha256).digest() for key in derived_keys(settings, b"one-time links")
    ]
    texts = [key.hex() for key in guesses] + [urlsafe_b64encode(key * 2).decode()[:86] for key in guesses]
    texts.append(token.rpartition(".")[2])  # a signature by the same key
    assert len(texts[-1]) == len(signature)
    for text in texts:
        assert messages(await resets(auth, f"{link_id}.{text}"), 410)
    assert (await resets(auth, link)).status_code == 200


# Confirmed addresses


async def test_an_address_is_confirmed_with_the_link_in_the_users_own_session(auth: Served) -> None:
    await confirmed_session(auth)
    user = await User.first({})
    assert user is not None
    assert user.confirmed_at is not None
    subjects = [(subject, body["confirmed"]) for subject, body in await auth.outbox("users", user.key)]
    assert subjects == [("user.created", False), ("user.updated", True)]


async def test_confirming_again_is_harmless(auth: Served) -> None:
    token = await confirmed_session(auth)
    assert (await confirms(auth, token, "whatever")).status_code == 200


async def test_the_receiver_of_the_mail_cannot_confirm_the_account_of_somebody_else(auth: Served) -> None:
    """Somebody signed up with an address of others, who open the link in their mail."""
    squatter = await session_of(auth)
    await auth.ask("POST", "/api/users/confirmation", headers=bearer(squatter), json={})
    link = await link_to(auth, "confirm-email")
    other = await session_of(auth, email="bob@example.com")
    assert messages(await confirms(auth, other, link), 403) == ["This link belongs to another account"]
    assert (
        await auth.ask("POST", "/api/users/confirmation/complete", json={"link": link})
    ).status_code == 401


async def test_a_squatted_address_is_claimed_by_whoever_receives_its_mail(auth: Served) -> None:
    squatter = await session_of(auth)
    answer = await auth.ask("POST", "/api/users/signup", json={**ANN, "password": "my own horse"})
    assert messages(answer, 409) == ["Email in use"]
    assert (await resets(auth, await forgets(auth))).status_code == 200
    assert not await is_signed_in(auth, squatter)
    user = await User.first({})
    assert user is not None
    assert user.confirmed_at is not None
    assert not await can_sign_in(auth, ANN["password"])


@pytest.mark.parametrize("is_on", [True, False])
async def test_new_users_are_unconfirmed_if_addresses_have_to_be_confirmed(
    settings_with: SettingsWith, is_on: bool
) -> None:
    async with serving("auth", settings_with(confirm_addresses=is_on)) as auth:
        token = await session_of(auth)
        identity = await identity_of(auth, token)
        assert identity.unconfirmed is is_on
        assert (await newest_link(auth.database, "confirm-email", EMAIL) is not None) is is_on
        me = (await auth.ask("GET", "/api/users/me", headers=bearer(token))).json()
        assert (me["confirmed"], me["restricted"]) == (False, is_on)


async def identity_of(auth: Served, token: str) -> Identity:
    identity = await auth.app.state.sessions.identify(token)
    assert isinstance(identity, Identity)
    return identity


async def test_a_confirmation_reaches_the_token_of_every_browser(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(confirm_addresses=True)) as auth:
        laptop = await session_of(auth)
        phone = await session_of(auth, "signin")
        confirmed = await confirms(auth, phone, await link_to(auth, "confirm-email"))
        assert not (await identity_of(auth, confirmed.cookies["session"])).unconfirmed
        auth.http.cookies.clear()
        renewed = await auth.ask("GET", "/api/users/currentuser", headers=bearer(laptop))
        identity = await identity_of(auth, renewed.cookies["session"])
        assert not identity.unconfirmed
        before = await identity_of(auth, laptop)
        assert identity.session_id == before.session_id
        # A new token isn't a fresh sign-in.
        assert before.signed_in_at is not None
        assert identity.signed_in_at == before.signed_in_at
        auth.http.cookies.clear()
        again = await auth.ask("GET", "/api/users/currentuser", headers=bearer(renewed.cookies["session"]))
        assert "set-cookie" not in again.headers


async def test_users_from_before_addresses_had_to_be_confirmed_are_not_restricted(
    settings_with: SettingsWith,
) -> None:
    async with serving("auth", settings_with()) as auth:
        await session_of(auth)
    async with serving("auth", settings_with(confirm_addresses=True), fresh=False) as auth:
        token = await session_of(auth, "signin")
        assert not (await identity_of(auth, token)).unconfirmed


async def test_a_fourth_link_within_half_an_hour_is_refused(auth: Served) -> None:
    token = await session_of(auth)
    answers = [
        await auth.ask("POST", "/api/users/confirmation", headers=bearer(token), json={}) for _ in range(4)
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert await link_to(auth, "confirm-email")


# Changed addresses


async def test_an_address_changes_when_the_link_is_used_that_went_to_the_new_one(auth: Served) -> None:
    other, token = await session_of(auth), await session_of(auth, "signin")
    link = await moves(auth, token)
    assert await can_sign_in(auth, ANN["password"])
    changed = await completes_move(auth, token, link)
    assert (changed.status_code, changed.json()["email"]) == (200, NEW_EMAIL)
    assert (await identity_of(auth, changed.cookies["session"])).email == NEW_EMAIL
    auth.http.cookies.clear()
    assert [await is_signed_in(auth, each) for each in (other, token)] == [False, False]
    assert not await can_sign_in(auth, ANN["password"])
    assert await can_sign_in(auth, ANN["password"], NEW_EMAIL)


async def test_a_change_of_the_address_needs_the_password(auth: Served) -> None:
    token = await session_of(auth)
    body = {"email": NEW_EMAIL, "currentPassword": "wrong horse"}
    answer = await auth.ask("POST", "/api/users/email-change", headers=bearer(token), json=body)
    assert messages(answer, 403) == ["Your current password is wrong"]


async def test_the_owner_of_a_mistyped_new_address_cannot_take_over_the_account(auth: Served) -> None:
    token = await session_of(auth)
    link = await moves(auth, token, "bob@example.com")
    bob = await session_of(auth, email="bob@example.org")
    assert messages(await completes_move(auth, bob, link), 403) == ["This link belongs to another account"]
    assert (
        await auth.ask("POST", "/api/users/email-change/complete", json={"link": link})
    ).status_code == 401


async def test_an_address_that_another_account_has_is_refused(auth: Served) -> None:
    token = await session_of(auth)
    link = await moves(auth, token)
    await session_of(auth, email=NEW_EMAIL)
    assert messages(await completes_move(auth, token, link), 409) == ["Email in use"]
    body = {"email": NEW_EMAIL, "currentPassword": ANN["password"]}
    answer = await auth.ask("POST", "/api/users/email-change", headers=bearer(token), json=body)
    assert messages(answer, 409) == ["Email in use"]


async def test_a_change_that_loses_a_race_for_the_address_leaves_no_link_to_undo_it(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await confirmed_session(auth)
    link = await moves(auth, token)
    claim = links.claim

    async def claim_while_somebody_signs_up(used: Link) -> None:
        monkeypatch.setattr(links, "claim", claim)
        await claim(used)
        await session_of(auth, email=NEW_EMAIL)

    monkeypatch.setattr(links, "claim", claim_while_somebody_signs_up)
    assert (await completes_move(auth, token, link)).status_code == 409
    undo = await newest_link(auth.database, "undo-email-change", EMAIL)
    assert undo is not None
    assert (await ask_for_link(auth.http, auth.app.state.settings, undo)).status_code == 410


async def moved(auth: Served) -> tuple[str, str]:
    """An account with a changed address: the token of its session, and the link that undoes the change."""
    token = await confirmed_session(auth)
    changed = await completes_move(auth, token, await moves(auth, token))
    assert changed.status_code == 200
    auth.http.cookies.clear()
    return changed.cookies["session"], await link_to(auth, "undo-email-change")


async def test_a_change_is_undone_with_a_new_password_and_all_sessions_end(auth: Served) -> None:
    thief, undo = await moved(auth)
    answer = await undoes(auth, undo)
    assert (answer.status_code, answer.json()["email"]) == (200, EMAIL)
    assert not await is_signed_in(auth, thief)
    assert await can_sign_in(auth, NEW)
    assert not await can_sign_in(auth, ANN["password"], NEW_EMAIL)
    assert (await undoes(auth, undo, "another staple")).status_code == 410


async def test_a_new_password_does_not_keep_the_owner_from_undoing_a_change(auth: Served) -> None:
    """Whoever took over the account also has the mailbox of the new address."""
    _, undo = await moved(auth)
    assert (await resets(auth, await forgets(auth, NEW_EMAIL), "a thief's staple")).status_code == 200
    assert (await undoes(auth, undo)).status_code == 200


async def test_undoing_a_change_voids_the_links_that_went_to_later_addresses(auth: Served) -> None:
    thief, undo = await moved(auth)
    reset = await forgets(auth, NEW_EMAIL)
    again = await completes_move(auth, thief, await moves(auth, thief, "thief@example.org"))
    auth.http.cookies.clear()
    later_undo = await link_to(auth, "undo-email-change", NEW_EMAIL)
    third = await moves(auth, again.cookies["session"], "thief@example.info")
    assert (await undoes(auth, undo)).status_code == 200
    assert (await undoes(auth, later_undo, "a thief's staple")).status_code == 410
    assert (await resets(auth, reset, "a thief's staple")).status_code == 410
    token = await session_of(auth, "signin", password=NEW)
    assert (await completes_move(auth, token, third)).status_code == 410


async def test_a_change_that_is_under_way_does_not_outlast_an_undo(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    thief, undo = await moved(auth)
    link = await moves(auth, thief, "thief@example.org")
    send = links.send

    async def send_after_undo(user: User, kind: LinkKind, email: str) -> Link:
        monkeypatch.setattr(links, "send", send)
        assert (await undoes(auth, undo)).status_code == 200
        return await send(user, kind, email)

    monkeypatch.setattr(links, "send", send_after_undo)
    assert (await completes_move(auth, thief, link)).status_code == 410
    user = await User.first({})
    assert user is not None
    assert user.email == EMAIL
    later = await newest_link(auth.database, "undo-email-change", NEW_EMAIL)
    assert (await ask_for_link(auth.http, auth.app.state.settings, str(later))).status_code == 410


async def test_a_new_password_during_an_undo_does_not_keep_the_owner_from_it(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise whoever took over the account could keep it by changing the password again and again."""
    thief, undo = await moved(auth)
    hash_of = Passwords.hash

    async def hash_after_a_change(self: Passwords, password: str, *more: Any, **options: Any) -> str:
        monkeypatch.setattr(Passwords, "hash", hash_of)
        body = {"currentPassword": ANN["password"], "newPassword": "a thief's staple"}
        answer = await auth.ask("POST", "/api/users/password", headers=bearer(thief), json=body)
        assert answer.status_code == 200
        auth.http.cookies.clear()
        return await hash_of(self, password, *more, **options)

    monkeypatch.setattr(Passwords, "hash", hash_after_a_change)
    assert (await undoes(auth, undo)).status_code == 200
    assert await can_sign_in(auth, NEW)
    assert not await can_sign_in(auth, "a thief's staple", NEW_EMAIL)


async def password_changed_around_an_undo(auth: Served, monkeypatch: pytest.MonkeyPatch) -> httpx.Response:
    """Change the password, and undo a change of the address before the new session is stored."""
    thief, undo = await moved(auth)
    begin = Auth._begin_session

    async def begin_after_undo(self: Auth, user: User, client: Client, **more: bool) -> SignedIn:
        monkeypatch.setattr(Auth, "_begin_session", begin)
        assert (await undoes(auth, undo)).status_code == 200
        return await begin(self, user, client, **more)

    monkeypatch.setattr(Auth, "_begin_session", begin_after_undo)
    body = {"currentPassword": ANN["password"], "newPassword": "a thief's staple"}
    answer = await auth.ask("POST", "/api/users/password", headers=bearer(thief), json=body)
    auth.http.cookies.clear()
    return answer


async def test_a_new_password_that_is_under_way_leaves_no_session_after_an_undo(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await password_changed_around_an_undo(auth, monkeypatch)).status_code == 401
    assert await auth.database["sessions"].count_documents({"ended_at": None}) == 0


async def test_control_without_a_second_look_a_session_would_outlast_an_undo(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def begin_only(self: Auth, user: User, client: Client) -> SignedIn:
        await self._end_all(user)
        return await self._begin_session(user, client)

    monkeypatch.setattr(Auth, "_begin_only_session", begin_only)
    answer = await password_changed_around_an_undo(auth, monkeypatch)
    assert answer.status_code == 200
    assert await is_signed_in(auth, answer.cookies["session"])


async def test_a_reset_with_a_link_to_the_address_before_a_change_fails_during_the_change(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await confirmed_session(auth)
    reset, change = await forgets(auth), await moves(auth, token)
    claim = links.claim

    async def claim_before_the_change(used: Link) -> None:
        monkeypatch.setattr(links, "claim", claim)
        await claim(used)
        assert (await completes_move(auth, token, change)).status_code == 200
        auth.http.cookies.clear()

    monkeypatch.setattr(links, "claim", claim_before_the_change)
    assert (await resets(auth, reset)).status_code == 410
    assert await can_sign_in(auth, ANN["password"], NEW_EMAIL)


async def test_several_accounts_cannot_flood_one_new_address(auth: Served) -> None:
    body = {"email": "bob@example.com", "currentPassword": ANN["password"]}
    answers = []
    for number in range(4):
        token = await session_of(auth, email=f"{number}@example.com")
        answers.append(await auth.ask("POST", "/api/users/email-change", headers=bearer(token), json=body))
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]


async def test_nobody_can_take_an_address_to_which_its_owner_may_return(auth: Served) -> None:
    thief, undo = await moved(auth)
    assert messages(await auth.ask("POST", "/api/users/signup", json=ANN), 409) == ["Email in use"]
    other = await session_of(auth, email="bob@example.com")
    body = {"email": EMAIL, "currentPassword": ANN["password"]}
    answer = await auth.ask("POST", "/api/users/email-change", headers=bearer(other), json=body)
    assert messages(answer, 409) == ["Email in use"]
    # The user may.
    assert (await completes_move(auth, thief, await moves(auth, thief, EMAIL))).status_code == 200
    assert (await undoes(auth, undo)).status_code == 200


async def test_a_sign_up_during_a_change_does_not_take_the_address_either(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address becomes free after the check, and before the user is stored."""
    token = await confirmed_session(auth)
    link = await moves(auth, token)
    add = User.add

    async def add_after_change(user: User, *, private: bool = False) -> None:
        monkeypatch.setattr(User, "add", add)
        assert (await completes_move(auth, token, link)).status_code == 200
        await add(user, private=private)

    monkeypatch.setattr(User, "add", add_after_change)
    assert messages(await auth.ask("POST", "/api/users/signup", json=ANN), 409) == ["Email in use"]
    auth.http.cookies.clear()
    assert await User.first({"email": EMAIL}) is None
    assert (await undoes(auth, await link_to(auth, "undo-email-change"))).status_code == 200


async def test_an_address_that_nobody_confirmed_is_told_and_gets_no_link_to_take_the_account_back(
    auth: Served,
) -> None:
    """It may have been mistyped, and belong to somebody else; or to the owner, whose password is known."""
    token = await session_of(auth)
    assert (await completes_move(auth, token, await moves(auth, token))).status_code == 200
    auth.http.cookies.clear()
    assert await newest_link(auth.database, "undo-email-change", EMAIL) is None
    settings = auth.app.state.settings
    assert await mailed_path(auth.http, auth.database, settings, "email-replaced", EMAIL) == "/"
    key = await newest_link(auth.database, "email-replaced", EMAIL)
    assert key is not None
    # Even somebody who could sign it couldn't use it.
    forged = auth.app.state.accounts.keys.path(
        Link.model_construct(id=key, kind="reset-password", email=EMAIL)
    )
    for use in (undoes, resets):
        assert (await use(auth, secret_in(forged))).status_code == 410
    # Whoever has the address may sign up with it.
    await session_of(auth)


async def test_an_address_is_told_three_times_in_half_an_hour_that_accounts_do_not_use_it(
    auth: Served,
) -> None:
    for number in range(4):
        token = await session_of(auth)
        link = await moves(auth, token, f"{number}@example.net")
        assert (await completes_move(auth, token, link)).status_code == 200
        auth.http.cookies.clear()
    assert await auth.database["links"].count_documents({"kind": "email-replaced"}) == 3


# A process that stops in between


class Stop(Exception):
    """The process stops here."""


def stop_after(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Let the process stop once, after this has been called."""
    original = getattr(owner, name)

    async def call_and_stop(*arguments: Any, **more: Any) -> None:
        monkeypatch.setattr(owner, name, original)
        await original(*arguments, **more)
        raise Stop

    monkeypatch.setattr(owner, name, call_and_stop)


def stop_before(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Let the process stop once, before it calls this."""
    original = getattr(owner, name)

    async def stop(*_: Any, **__: Any) -> None:
        monkeypatch.setattr(owner, name, original)
        raise Stop

    monkeypatch.setattr(owner, name, stop)


@pytest.mark.parametrize("is_confirmed", [True, False])
@pytest.mark.parametrize("step", ["claim", "send"])
async def test_a_change_of_the_address_that_stops_before_its_write_changes_and_tells_nothing(
    step: str, is_confirmed: bool, auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await (confirmed_session(auth) if is_confirmed else session_of(auth))
    kind: LinkKind = "undo-email-change" if is_confirmed else "email-replaced"
    link = await moves(auth, token)
    stop_after(monkeypatch, links, step)
    assert (await completes_move(auth, token, link)).status_code == 500
    settings = auth.app.state.settings
    stored = await newest_link(auth.database, kind, EMAIL)
    assert (stored is not None) is (step == "send")
    if stored is not None:
        assert (
            await ask_for_link(auth.http, settings, stored)
        ).status_code == 404  # mail asks again for an hour
    # The link is used up, so the user asks for another one, with the same session.
    assert (await completes_move(auth, token, link)).status_code == 410
    assert (await completes_move(auth, token, await moves(auth, token))).status_code == 200
    auth.http.cookies.clear()
    newest = await newest_link(auth.database, kind, EMAIL)
    assert newest not in (None, stored)
    assert (await ask_for_link(auth.http, settings, str(newest))).status_code == 200
    assert await can_sign_in(auth, ANN["password"], NEW_EMAIL)


async def test_control_without_the_check_a_change_that_never_happened_would_be_announced(
    auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await confirmed_session(auth)
    link = await moves(auth, token)
    stop_after(monkeypatch, links, "send")
    assert (await completes_move(auth, token, link)).status_code == 500
    monkeypatch.setattr(links, "is_early", lambda *_: False)
    assert await link_to(auth, "undo-email-change")


@pytest.mark.parametrize(
    "step", ["before the write", "after the write", "after voiding", "after the sessions"]
)
async def test_an_undo_that_stops_can_be_repeated_and_leaves_nothing_to_a_thief(
    step: str, auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    thief, undo = await moved(auth)
    again = await completes_move(auth, thief, await moves(auth, thief, "thief@example.org"))
    auth.http.cookies.clear()
    thief, later_undo = again.cookies["session"], await link_to(auth, "undo-email-change", NEW_EMAIL)
    match step:
        case "before the write":
            stop_after(monkeypatch, accounts, "_void_later")
        case "after the write":
            stop_after(monkeypatch, accounts, "change")
        case "after voiding":
            stop_before(monkeypatch, Auth, "_end_all")
        case _:
            stop_after(monkeypatch, Auth, "_end_all")
    assert (await undoes(auth, undo)).status_code == 500
    assert (await undoes(auth, later_undo, "a thief's staple")).status_code == 410
    assert (await undoes(auth, undo, "another staple")).status_code == 200
    assert await can_sign_in(auth, "another staple")
    assert not await is_signed_in(auth, thief)
    assert (await undoes(auth, undo, "a third staple")).status_code == 410


async def changes_password(auth: Served, token: str) -> httpx.Response:
    body = {"currentPassword": ANN["password"], "newPassword": NEW}
    return await auth.ask("POST", "/api/users/password", headers=bearer(token), json=body)


@pytest.mark.parametrize("how", ["address", "password", "reset", "undo"])
async def test_sessions_end_even_if_a_process_stops_after_a_change(
    how: str, auth: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "undo":
        other, link = await moved(auth)
    else:
        token = await confirmed_session(auth)
        other = await session_of(auth, "signin")
        link = await (forgets(auth) if how == "reset" else moves(auth, token))
    stop_before(monkeypatch, Auth, "_end_all")
    match how:
        case "address":
            answer = await completes_move(auth, token, link)
        case "password":
            answer = await changes_password(auth, token)
        case "reset":
            answer = await resets(auth, link)
        case _:
            answer = await undoes(auth, link)
    assert answer.status_code == 500
    assert await is_signed_in(auth, other)
    email, password = NEW_EMAIL if how == "address" else EMAIL, ANN["password"] if how == "address" else NEW
    later = await session_of(auth, "signin", email=email, password=password)
    departures = auth.app.state.departures
    await departures.finish_ending_sessions()
    assert await is_signed_in(auth, other), "the process that made the change may still be at it"
    monkeypatch.setattr(actions, "ENDING_TIME", timedelta(days=-1))
    await departures.finish_ending_sessions()
    assert not await is_signed_in(auth, other)
    assert await is_signed_in(auth, later)
    user = await User.first({})
    assert user is not None
    assert user.end_sessions_before is None


async def test_no_change_that_has_ended_the_sessions_leaves_work(auth: Served) -> None:
    _, undo = await moved(auth)
    assert (await undoes(auth, undo)).status_code == 200
    assert (await resets(auth, await forgets(auth), ANN["password"])).status_code == 200
    assert (await changes_password(auth, await session_of(auth, "signin"))).status_code == 200
    assert await User.find(ending_before(now() + timedelta(days=1))).count() == 0


# What the mail service may ask


async def test_the_mail_service_learns_the_address_and_the_link(auth: Served) -> None:
    await session_of(auth)
    await forgets(auth)
    user = await User.first({})
    assert user is not None
    headers = bearer(mail_token(auth.app.state.settings))
    answer = await auth.ask("GET", f"/internal/users/{user.id}", headers=headers)
    about = {"id": user.key, "email": EMAIL, "name": None, "confirmed": False, "language": None}
    assert answer.json() == about
    link_id = await newest_link(auth.database, "reset-password", EMAIL)
    link = (await ask_for_link(auth.http, auth.app.state.settings, str(link_id))).json()
    assert link["path"].startswith(f"/account/reset?link={link_id}.")
    assert link["email"] == EMAIL


@pytest.mark.parametrize("path", ["users", "links"])
async def test_the_mail_service_gets_404_for_what_does_not_exist(auth: Served, path: str) -> None:
    headers = bearer(mail_token(auth.app.state.settings))
    method = "GET" if path == "users" else "POST"
    assert (await auth.ask(method, f"/internal/{path}/{new_id()}", headers=headers)).status_code == 404


async def asks_for_target(auth: Served, link: str, token: str | None = None) -> httpx.Response:
    token = token or internal_token(auth.app.state.settings)
    return await auth.ask("POST", "/internal/link-targets", headers=bearer(token), json={"link": link})


async def test_web_learns_the_address_of_a_link_that_works_and_the_link_stays_as_it_is(auth: Served) -> None:
    token = await confirmed_session(auth)
    link = await moves(auth, token)
    for _ in range(2):
        answer = await asks_for_target(auth, link)
        assert (answer.status_code, answer.json()) == (200, {"kind": "change-email", "email": NEW_EMAIL})
    assert (await completes_move(auth, token, link)).status_code == 200
    auth.http.cookies.clear()
    assert (await asks_for_target(auth, link)).status_code == 410
    undo = await link_to(auth, "undo-email-change")
    assert (await asks_for_target(auth, undo)).json() == {"kind": "undo-email-change", "email": EMAIL}


async def test_who_has_no_link_learns_no_address(auth: Served) -> None:
    token = await session_of(auth)
    link = await moves(auth, token)
    for text in (link[:24], f"{link[:25]}{'A' * 86}", "", link[:24] + "." + "0" * 64):
        assert NEW_EMAIL not in (await asks_for_target(auth, text)).text
        assert (await asks_for_target(auth, text)).status_code == 410
    assert (await asks_for_target(auth, link, token)).status_code == 401


@pytest.mark.parametrize("path", ["users", "links"])
async def test_nobody_but_mail_may_ask(auth: Served, path: str) -> None:
    """Neither users, nor operators, nor web and other services, which know the internal secret."""
    token = await session_of(auth)
    settings, signer = auth.app.state.settings, auth.app.state.auth.signer
    strangers = [internal_token(settings), operator_token(settings), internal_secret(settings)]
    strangers += [signer.sign_request(name) for name in SERVICES]
    method = "GET" if path == "users" else "POST"
    await forgets(auth)
    user, link = await User.first({}), await newest_link(auth.database, "reset-password", EMAIL)
    assert user is not None
    key = user.key if path == "users" else link
    for headers in ({}, bearer(token), bearer("x" * 64), *map(bearer, strangers)):
        answer = await auth.ask(method, f"/internal/{path}/{key}", headers=headers)
        assert messages(answer, 401) == ["This is for services of the marketplace"]
    answer = await auth.ask(method, f"/internal/{path}/{key}", headers=bearer(mail_token(settings)))
    assert answer.status_code == 200
