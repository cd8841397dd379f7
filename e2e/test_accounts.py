"""Accounts: forgotten passwords, confirmed and changed addresses, names and sessions.

The links are those that auth gives to the service that sends mail.
"""

import re
import secrets

from playwright.async_api import expect

from e2e.visitors import WITH_AND_WITHOUT_JAVASCRIPT, Visitor, Visitors
from tests.support.links import link_in_mail
from tests.support.people import PASSWORD
from tests.support.polling import until
from tests.support.stack import Stack

NEW = "another horse battery"


async def signs_in(visitor: Visitor, email: str, password: str) -> None:
    await visitor.open("/signin")
    await visitor.page.get_by_label("Email").fill(email)
    await visitor.page.get_by_label("Password", exact=True).fill(password)
    await visitor.button("Sign in").click()


async def is_signed_in(visitor: Visitor, email: str) -> None:
    await expect(visitor.page.get_by_role("banner")).to_contain_text(email)


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_forgotten_password_is_replaced_with_the_link_in_the_mail(
    visitors: Visitors, stack: Stack, java_script_enabled: bool
) -> None:
    email = (await visitors.person()).email
    visitor = await visitors.guest(java_script_enabled=java_script_enabled)
    await visitor.open("/signin")
    await visitor.link("Forgot your password?").click()
    await visitor.page.get_by_label("Email").fill(email)
    await visitor.button("Send the link").click()
    await visitor.sees("If there is an account with this address, we have sent a link to it.")

    link = await link_in_mail(stack, "reset-password", email)
    await visitor.open(link)
    await visitor.page.get_by_label("New password").fill("short")
    await visitor.button("Change password").click()
    await visitor.sees("Password must be between 8 and 256 characters")
    await visitor.page.get_by_label("New password").fill(NEW)
    await visitor.button("Change password").click()
    await visitor.sees("Your password was changed.")
    await visitor.page.get_by_role("main").get_by_role("link", name="Sign in", exact=True).click()
    await signs_in(visitor, email, NEW)
    await is_signed_in(visitor, email)

    other = await visitors.guest(java_script_enabled=java_script_enabled)
    await other.open(link)
    await other.page.get_by_label("New password").fill(NEW)
    await other.button("Change password").click()
    await other.sees("This link has expired or was already used")
    await other.link("Send me a new link").click()
    assert other.path == "/account/forgot"


async def test_opening_a_link_changes_nothing(visitors: Visitors, stack: Stack) -> None:
    """Programs that scan mails open links."""
    person = await visitors.person()
    scanner, visitor = await visitors.guest(), await visitors.guest()
    await person.client.post("/api/users/password-reset", json={"email": person.email})
    link = await link_in_mail(stack, "reset-password", person.email)
    await scanner.open(link)
    await signs_in(visitor, person.email, PASSWORD)
    await is_signed_in(visitor, person.email)


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_an_address_is_confirmed_and_changed_and_the_change_is_undone(
    visitors: Visitors, stack: Stack, java_script_enabled: bool
) -> None:
    owner = await visitors.guest(java_script_enabled=java_script_enabled)
    await owner.open("/")
    email, new_email = await owner.signs_up(), f"{secrets.token_hex(8)}@example.com"
    await owner.open("/account")
    await owner.link("Confirm my address").click()
    await owner.button("Send a link").click()
    await owner.sees("We sent you a new link.")
    await owner.open(await link_in_mail(stack, "confirm-email", email))
    await owner.button("Yes, confirm it").click()
    await owner.sees(f"Your address {email} is confirmed.")

    await owner.open("/account")
    await owner.sees("Confirmed")
    await owner.link("Change my address").click()
    await owner.page.get_by_label("New email address").fill(new_email)
    await owner.page.get_by_label("Current password").fill(PASSWORD)
    await owner.button("Send the link").click()
    await owner.sees(re.compile("We sent a link to your new address"))
    await owner.open(await link_in_mail(stack, "change-email", new_email))
    await owner.sees(f"Replace {email} with {new_email}?")
    await owner.button("Use the new address").click()
    await owner.sees(re.compile("Your email address was changed"))
    await is_signed_in(owner, new_email)

    other = await visitors.guest(java_script_enabled=java_script_enabled)
    await other.open(await link_in_mail(stack, "undo-email-change", email))
    await other.sees(re.compile(f"goes back to the address {re.escape(email)}"))
    await other.page.get_by_label("New password").fill(NEW)
    await other.button("Undo the change").click()
    await other.sees("Your account has its previous address and a new password.")
    await signs_in(other, email, NEW)
    await is_signed_in(other, email)


async def test_a_link_leads_to_the_sign_in_page_and_back(visitors: Visitors, stack: Stack) -> None:
    person = await visitors.person()
    phone = await visitors.guest()
    await person.client.post("/api/users/confirmation", json={})
    await phone.open(await link_in_mail(stack, "confirm-email", person.email))
    assert phone.path == "/signin"
    await phone.page.get_by_label("Email").fill(person.email)
    await phone.page.get_by_label("Password", exact=True).fill(PASSWORD)
    await phone.button("Sign in").click()
    await phone.button("Yes, confirm it").click()
    await phone.sees(f"Your address {person.email} is confirmed.")


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_buyers_see_the_name_that_a_seller_has_chosen(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    seller = await visitors.member(java_script_enabled=java_script_enabled)
    ticket = await seller.person.lists_ticket()
    await seller.open("/account")
    await seller.page.get_by_label("Name that others see").fill("ann@example.com")
    await seller.button("Save name").click()
    await seller.sees("Name must not be an email address: everybody can read it")
    await seller.page.get_by_label("Name that others see").fill("Ada from Leeds")
    await seller.button("Save name").click()
    await seller.sees("Your name was saved.")
    buyer = await visitors.guest(java_script_enabled=java_script_enabled)
    await buyer.open(f"/tickets/{ticket['id']}")
    await buyer.sees("Ada from Leeds")


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_session_on_another_device_is_ended(visitors: Visitors, java_script_enabled: bool) -> None:
    here = await visitors.member(java_script_enabled=java_script_enabled)
    there = await visitors.guest()
    await signs_in(there, here.person.email, PASSWORD)
    await is_signed_in(there, here.person.email)
    await here.open("/account")
    sessions = here.main.get_by_role("listitem").filter(has=here.button(re.compile("End the session")))
    await expect(sessions).to_have_count(2)
    await sessions.filter(has_not_text="This device").get_by_role("button").click()
    await here.sees(re.compile("The session has ended"))
    await expect(sessions).to_have_count(1)

    async def where() -> str:
        await there.open("/account")
        return there.path

    assert await until(where, lambda path: path == "/signin") == "/signin"
