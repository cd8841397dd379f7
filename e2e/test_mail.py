"""Emails, and the pages to which their links lead."""

import re

from bson import ObjectId
from playwright.async_api import expect

from e2e.test_accessibility import SCHEMES, violations
from e2e.visitors import WITH_AND_WITHOUT_JAVASCRIPT, Visitors, some_title
from sandbox.mailbox import previews
from sandbox.mailbox.store import text_of
from services.mail.unsubscribing import Choice, Tokens
from tests.support.mailbox import Mailbox
from tests.support.stack import Stack

OF_WHOLE_PAGES = ("landmark-one-main:", "region:")
"""Rules of axe that don't apply to messages: mail programs show them within their own pages."""


async def test_a_purchase_yields_a_receipt_and_a_message_to_the_seller_whose_links_work(
    visitors: Visitors, stack: Stack
) -> None:
    seller, buyer = await visitors.member(), await visitors.member()
    title, mailbox = some_title(), Mailbox(stack.settings)
    ticket = await seller.person.lists_ticket(
        59.9, title, startsAt="2036-06-12T18:30:00Z", timeZone="Europe/Berlin", venue="Old Mill", city="Köln"
    )
    order = await buyer.reserves(f"/tickets/{ticket['id']}")
    await buyer.pays()
    await buyer.sees(re.compile("The ticket is yours"))

    receipt = await mailbox.message(buyer.person.email, title)
    assert "When: Thursday 12 June 2036, 20:30 (Berlin time)" in receipt.text
    (calendar,) = receipt.attachments
    assert calendar["type"] == "text/calendar"
    assert "DTSTART:20360612T183000Z" in calendar["text"]
    await buyer.open("/")
    await buyer.page.goto(receipt.link)
    assert buyer.path == order
    await buyer.sees(re.compile("The ticket is yours"))

    sold = await mailbox.message(seller.person.email, title)
    await seller.page.goto(sold.link)
    await seller.sees(re.compile("^Your ticket is sold"))


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_optional_emails_can_be_stopped_and_resumed_without_signing_in(
    visitors: Visitors, stack: Stack, java_script_enabled: bool
) -> None:
    token = Tokens(stack.settings).make(Choice(str(ObjectId()), "new-device"))
    guest = await visitors.guest(java_script_enabled=java_script_enabled)
    await guest.open(f"/mail/unsubscribe?token={token}")
    await guest.button("Stop these emails").click()
    await expect(guest.heading(re.compile("get these emails any more"))).to_be_visible()
    await guest.button("Send them again").click()
    await expect(guest.heading(re.compile("get these emails again"))).to_be_visible()


async def test_the_mailbox_is_linked_and_shows_new_messages_by_itself(
    visitors: Visitors, stack: Stack
) -> None:
    visitor, buyer = await visitors.guest(), await visitors.member()
    ticket = await visitors.ticket(title=(title := some_title()))
    await visitor.open("/")
    await visitor.link("Mailbox").click()
    await expect(visitor.heading("Messages")).to_be_visible()
    await visitor.page.get_by_role("searchbox").fill(f"{title} paid")
    await visitor.button("Search").click()
    await visitor.sees("No message contains these words.")
    await visitor.marks_the_page()
    await buyer.reserves(f"/tickets/{ticket['id']}")
    await buyer.pays()
    await visitor.link(re.compile("is paid: ")).click()
    frame = visitor.page.frame_locator("iframe")
    await expect(frame.get_by_role("heading", name="The ticket is yours")).to_be_visible()
    await expect(visitor.page.get_by_text("Auto-Submitted: auto-generated")).to_be_visible()


async def test_axe_finds_no_violation_in_any_message_and_on_the_pages_about_mail(
    visitors: Visitors, stack: Stack
) -> None:
    page = (await visitors.guest()).page
    token, found = Tokens(stack.settings).make(Choice(str(ObjectId()), "new-device")), []
    mailbox = Mailbox(stack.settings).url
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        for address in (f"{stack.web}/mail/unsubscribe?token={token}", mailbox):
            await page.goto(address)
            found += [f"{address}, {scheme}: {line}" for line in await violations(page)]
        for name in previews.names():
            message = previews.preview(name, stack.settings)
            assert message is not None
            await page.set_content(text_of(message, "html"))
            found += [
                f"{name}, {scheme}: {line}"
                for line in await violations(page)
                if not line.startswith(OF_WHOLE_PAGES)
            ]
    assert not found, "\n".join(found)
