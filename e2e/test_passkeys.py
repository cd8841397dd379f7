"""Passkeys, with Chromium's virtual authenticator."""

import json
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest_asyncio
from playwright.async_api import CDPSession, expect

from e2e.test_accessibility import violations
from e2e.test_accounts import NEW, is_signed_in, signs_in
from e2e.visitors import Member, Visitor, Visitors
from tests.support.links import link_in_mail
from tests.support.people import PASSWORD
from tests.support.stack import Stack

SIGN_IN = "Sign in with a passkey"
INTERNAL = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
}


class Device:
    """The authenticator of a visitor's device."""

    def __init__(self, devtools: CDPSession, authenticator: str) -> None:
        self._devtools = devtools
        self._authenticator = {"authenticatorId": authenticator}

    @classmethod
    async def of(cls, visitor: Visitor) -> "Device":
        devtools = await visitor.page.context.new_cdp_session(visitor.page)
        await devtools.send("WebAuthn.enable")
        added = await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": INTERNAL})
        return cls(devtools, added["authenticatorId"])

    async def knows_the_user(self, knows: bool) -> None:
        """Whether it recognizes the fingerprint from now on."""
        await self._devtools.send(
            "WebAuthn.setUserVerified", {**self._authenticator, "isUserVerified": knows}
        )

    async def passkeys(self) -> list[dict[str, Any]]:
        found = await self._devtools.send("WebAuthn.getCredentials", self._authenticator)
        passkeys: list[dict[str, Any]] = found["credentials"]
        return passkeys


async def tries_to_add(visitor: Visitor, name: str, password: str = PASSWORD) -> None:
    await visitor.open("/account/passkeys/add")
    await visitor.page.get_by_label("Name of the passkey").fill(name)
    await visitor.page.get_by_label("Current password").fill(password)
    await visitor.button("Add a passkey").click()


async def adds(visitor: Visitor, name: str) -> None:
    await tries_to_add(visitor, name)
    await visitor.sees("Your passkey was added. From now on, you can sign in with it.")


async def signs_out(visitor: Visitor) -> None:
    await visitor.button("Sign out").first.click()
    await expect(visitor.page.get_by_role("banner").get_by_role("link", name="Sign in")).to_be_visible()


@pytest_asyncio.fixture(loop_scope="session")
async def owner(visitors: Visitors) -> Member:
    return await visitors.member()


async def test_a_passkey_is_added_used_renamed_and_removed(owner: Member) -> None:
    device = await Device.of(owner)
    await owner.open("/account")
    await owner.link("Add a passkey").click()
    assert await violations(owner.page) == []
    await adds(owner, "My phone")
    (passkey,) = await device.passkeys()
    assert (passkey["rpId"], passkey["isResidentCredential"]) == ("localhost", True)
    await owner.sees("My phone")

    await signs_out(owner)
    await owner.open("/signin?next=/orders")
    await owner.button(SIGN_IN).click()
    await expect(owner.heading("My orders")).to_be_visible()
    await is_signed_in(owner, owner.person.email)

    await owner.open("/account")
    assert await violations(owner.page) == []
    await owner.link("Change the passkey My phone").click()
    assert await violations(owner.page) == []
    await owner.page.get_by_label("Name of the passkey").fill(" ")
    await owner.button("Save name").click()
    await owner.sees("Name is required")
    await owner.page.get_by_label("Name of the passkey").fill("Old phone")
    await owner.button("Save name").click()
    await owner.sees("The name of your passkey was saved.")

    await owner.link("Change the passkey Old phone").click()
    await owner.page.get_by_label("Current password").fill("wrong horse")
    await owner.button("Remove the passkey").click()
    await owner.sees("Your current password is wrong")
    await owner.page.get_by_label("Current password").fill(PASSWORD)
    await owner.button("Remove the passkey").click()
    await owner.sees("The passkey was removed. Where you have signed in with it, you stay signed in.")

    await signs_out(owner)
    await owner.open("/signin")
    await owner.button(SIGN_IN).click()
    await owner.sees("No account has this passkey. It may have been removed. Use your password")
    assert await violations(owner.page) == []
    await signs_in(owner, owner.person.email, PASSWORD)
    await is_signed_in(owner, owner.person.email)


async def test_a_device_has_one_passkey_of_an_account(owner: Member) -> None:
    device = await Device.of(owner)
    await adds(owner, "First")
    await tries_to_add(owner, "Second")
    await owner.sees("This device already has a passkey for your account.")
    assert len(await device.passkeys()) == 1


async def test_a_passkey_is_not_added_without_the_password(owner: Member) -> None:
    device = await Device.of(owner)
    await tries_to_add(owner, "Phone", "wrong horse")
    await owner.sees("Your current password is wrong")
    await expect(owner.button("Add a passkey")).to_be_enabled()
    assert await device.passkeys() == []


async def test_a_user_who_cancels_can_try_again(owner: Member) -> None:
    device = await Device.of(owner)
    cancelled = "You cancelled, or it took too long. Try again when you are ready."
    await device.knows_the_user(False)
    await tries_to_add(owner, "Phone")
    await owner.sees(cancelled)
    await device.knows_the_user(True)
    await owner.button("Add a passkey").click()
    await owner.sees("Your passkey was added. From now on, you can sign in with it.")
    await signs_out(owner)
    await owner.open("/signin")
    await device.knows_the_user(False)
    await owner.button(SIGN_IN).click()
    await owner.sees(cancelled)
    await device.knows_the_user(True)
    await owner.button(SIGN_IN).click()
    await is_signed_in(owner, owner.person.email)


async def test_an_answer_of_an_authenticator_works_once(owner: Member) -> None:
    await Device.of(owner)
    await adds(owner, "Phone")
    await signs_out(owner)
    await owner.open("/signin")
    async with owner.page.expect_request("**/api/users/passkey-signin") as sent:
        await owner.button(SIGN_IN).click()
    body = json.loads((await sent.value).post_data or "")
    await is_signed_in(owner, owner.person.email)
    async with httpx.AsyncClient(base_url=owner.site) as thief:
        answer = await thief.post("/api/users/passkey-signin", json=body)
    assert (answer.status_code, answer.cookies.get("session")) == (410, None)


async def test_passkeys_work_at_one_address_only(owner: Member, visitors: Visitors) -> None:
    site = f"http://127.0.0.1:{urlsplit(owner.site).port}"
    guest = await visitors.guest(site=site)
    await Device.of(guest)
    await guest.open("/signin")
    await guest.sees(f"Passkeys only work at {owner.site}.")
    await expect(guest.button(SIGN_IN)).to_be_hidden()


async def test_a_browser_without_passkeys_says_so(owner: Member, visitors: Visitors) -> None:
    guest = await visitors.guest()
    for visitor, path in (
        (guest, "/signin"),
        (owner, "/account"),
        (owner, "/account/passkeys/add"),
    ):
        await visitor.page.add_init_script("delete window.PublicKeyCredential")
        await visitor.open(path)
        await visitor.sees("Your browser doesn't support passkeys. Use your password.")


async def test_without_javascript_nothing_mentions_passkeys(visitors: Visitors) -> None:
    member = await visitors.member(java_script_enabled=False)
    await member.open("/account")
    await expect(member.heading("Passkeys")).to_be_hidden()
    await member.open("/account/passkeys/add")
    await member.sees("make a passkey without JavaScript")
    guest = await visitors.guest(java_script_enabled=False)
    await guest.open("/signin")
    await expect(guest.button(SIGN_IN)).to_be_hidden()
    await signs_in(guest, member.person.email, PASSWORD)
    await is_signed_in(guest, member.person.email)


async def test_a_reset_of_the_password_mentions_the_passkeys_that_still_work(
    owner: Member, stack: Stack
) -> None:
    await Device.of(owner)
    await owner.person.client.post("/api/users/confirmation", json={})
    await owner.open(await link_in_mail(stack, "confirm-email", owner.person.email))
    await owner.button("Yes, confirm it").click()
    await owner.sees(f"Your address {owner.person.email} is confirmed.")
    await adds(owner, "Old phone")
    await owner.person.client.post("/api/users/password-reset", json={"email": owner.person.email})
    await owner.open(await link_in_mail(stack, "reset-password", owner.person.email))
    await owner.page.get_by_label("New password").fill(NEW)
    await owner.button("Change password").click()
    await owner.sees("The passkeys of your account still work.")
    await owner.link("Sign in and see my passkeys").click()
    await owner.button(SIGN_IN).click()
    await owner.sees("Old phone")
