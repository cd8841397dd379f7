"""Emails about accounts and refunds, and the pages to which their links lead."""

import re
import secrets

from playwright.async_api import expect

from e2e.money import refund
from e2e.test_passkeys import Device, adds
from e2e.visitors import Visitor, Visitors, some_title
from tests.support.mailbox import Mailbox
from tests.support.people import PASSWORD
from tests.support.polling import until
from tests.support.stack import Stack

NEW = "another horse battery"


async def signs_in(visitor: Visitor, email: str, password: str) -> None:
    await visitor.open("/signin")
    await visitor.page.get_by_label("Email").fill(email)
    await visitor.page.get_by_label("Password", exact=True).fill(password)
    await visitor.button("Sign in").click()
    await expect(visitor.page.get_by_role("banner")).to_contain_text(email)


async def test_the_link_for_a_new_password_works_once_and_the_change_is_told(
    visitors: Visitors, stack: Stack
) -> None:
    email, mailbox = (await visitors.person()).email, Mailbox(stack.settings)
    visitor = await visitors.guest()
    await visitor.open("/account/forgot")
    await visitor.page.get_by_label("Email").fill(email)
    await visitor.button("Send the link").click()
    message = await mailbox.message(email, "Choose a new password")
    await visitor.page.goto(message.link)
    await visitor.page.get_by_label("New password").fill(NEW)
    await visitor.button("Change password").click()
    await visitor.sees("Your password was changed.")
    told = await mailbox.message(email, "Your password was changed")
    await visitor.page.goto(told.link)
    await expect(visitor.button("Send the link")).to_be_visible()
    await visitor.page.goto(message.link)
    await visitor.page.get_by_label("New password").fill(NEW)
    await visitor.button("Change password").click()
    await visitor.sees("This link has expired or was already used")


async def test_an_address_is_confirmed_and_changed_and_the_change_is_undone_by_email(
    visitors: Visitors, stack: Stack
) -> None:
    owner, mailbox = await visitors.guest(), Mailbox(stack.settings)
    await owner.open("/")
    email, new_email = await owner.signs_up(), f"{secrets.token_hex(8)}@example.com"
    await owner.open("/account")
    await owner.link("Confirm my address").click()
    await owner.button("Send a link").click()
    await owner.page.goto((await mailbox.message(email, "Confirm your email address")).link)
    await owner.button("Yes, confirm it").click()
    await owner.sees(f"Your address {email} is confirmed.")

    await owner.open("/account")
    await owner.link("Change my address").click()
    await owner.page.get_by_label("New email address").fill(new_email)
    await owner.page.get_by_label("Current password").fill(PASSWORD)
    await owner.button("Send the link").click()
    await owner.page.goto((await mailbox.message(new_email, "Confirm your new email address")).link)
    await owner.button("Use the new address").click()
    await owner.sees(re.compile("Your email address was changed"))

    told = await mailbox.message(email, "The email address of your account was changed")
    other = await visitors.guest()
    await other.page.goto(told.link)
    await other.page.get_by_label("New password").fill(NEW)
    await other.button("Undo the change").click()
    await other.sees("Your account has its previous address and a new password.")
    assert "The email address of your account" not in str(await mailbox.subjects(new_email))


async def test_a_sign_in_on_a_new_device_is_told_until_the_user_stops_that(
    visitors: Visitors, stack: Stack
) -> None:
    email, mailbox = (await visitors.person()).email, Mailbox(stack.settings)
    first = await visitors.guest()
    await signs_in(first, email, PASSWORD)
    message = await mailbox.message(email, "A sign-in on a new device")
    assert "Device: Chrome on Linux" in message.text
    await first.page.goto(message.link)
    assert first.path == "/account"

    stop = re.search(r"Stop these messages: (\S+)", message.text)
    assert stop is not None
    guest = await visitors.guest()
    await guest.page.goto(stop[1])
    await guest.button("Stop these emails").click()
    await expect(guest.heading(re.compile("get these emails any more"))).to_be_visible()


async def test_a_new_passkey_is_told_and_the_link_shows_it(visitors: Visitors, stack: Stack) -> None:
    owner, mailbox = await visitors.member(), Mailbox(stack.settings)
    await Device.of(owner)
    await adds(owner, "My phone")
    told = await mailbox.message(owner.person.email, "Your passkeys were changed")
    await owner.open("/")
    await owner.page.goto(told.link)
    assert owner.path == "/account"
    await expect(owner.link("Change the passkey My phone")).to_be_visible()


async def test_a_refund_is_told_to_buyer_and_seller_and_the_links_show_it(
    visitors: Visitors, stack: Stack
) -> None:
    seller, buyer, mailbox = await visitors.member(), await visitors.member(), Mailbox(stack.settings)
    ticket = await seller.person.lists_ticket(45, (title := some_title()))
    order = await buyer.person.reserves(ticket["id"])
    await buyer.person.pays(order["id"])
    await until(lambda: buyer.person.payment(order["id"]), lambda seen: seen["status"] == "captured")
    await refund(stack, order["id"])

    refunded = await mailbox.message(buyer.person.email, f"is refunded: {title}")
    assert "We refunded $45.00 to the card that you paid with." in refunded.text
    await buyer.page.goto(refunded.link)
    assert buyer.path == f"/orders/{order['id']}"
    await buyer.sees(re.compile("^We refunded \\$45.00."))

    told = await mailbox.message(seller.person.email, "A sale was refunded")
    assert "The buyer got $45.00 back" in told.text
    await seller.page.goto(told.link)
    assert seller.path == f"/tickets/{ticket['id']}"
    await seller.sees("Sold, and the buyer was refunded.")


async def test_an_address_that_was_never_confirmed_is_told_that_it_was_replaced(
    visitors: Visitors, stack: Stack
) -> None:
    owner, mailbox = await visitors.member(), Mailbox(stack.settings)
    email, new_email = owner.person.email, f"{secrets.token_hex(8)}@example.com"
    await owner.open("/account/email")
    await owner.page.get_by_label("New email address").fill(new_email)
    await owner.page.get_by_label("Current password").fill(PASSWORD)
    await owner.button("Send the link").click()
    await owner.page.goto((await mailbox.message(new_email, "Confirm your new email address")).link)
    await owner.button("Use the new address").click()
    await owner.sees(re.compile("Your email address was changed"))

    told = await mailbox.message(email, "An account doesn't use this address any more")
    stranger = await visitors.guest()
    await stranger.page.goto(told.link)
    assert stranger.path == "/"
    assert "The email address of your account" not in str(await mailbox.subjects(email))
