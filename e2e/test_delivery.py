"""Promised tickets: the seller uploads and the buyer downloads, or the buyer is refunded in time."""

import re
import secrets
from pathlib import Path

import pytest
from playwright.async_api import FilePayload, expect

from e2e.money import charges
from e2e.visitors import WITH_AND_WITHOUT_JAVASCRIPT, Member, Visitors, some_title
from tests.support.mailbox import Mailbox
from tests.support.polling import until
from tests.support.stack import Stack, stagedoor
from tests.support.ticket_files import pdf

DELIVERY_HOURS = 0.001
"""3.6 seconds. Orders then waits for the grace period."""


async def bought(buyer: Member, seller: Member, title: str, **offer: object) -> tuple[str, str]:
    """The ids of the ticket and of its paid order, whose page the buyer sees."""
    ticket = (await seller.person.lists_ticket(45, title, **offer))["id"]
    order = (await buyer.person.reserves(ticket))["id"]
    await buyer.person.pays(order)
    await until(lambda: buyer.person.payment(order), lambda seen: seen["status"] == "captured")
    await buyer.open(f"/orders/{order}")
    return ticket, order


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_promised_ticket_is_uploaded_after_the_sale_and_downloaded_by_its_buyer(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    buyer = await visitors.member(java_script_enabled=java_script_enabled)
    seller = await visitors.member(java_script_enabled=java_script_enabled)
    ticket, order = await bought(buyer, seller, some_title(), promised=True)
    await buyer.sees(re.compile("^The seller uploads your ticket by"))

    content = pdf([f"TICKET-{secrets.token_hex(8)}"])
    await seller.open("/listings?status=sold")
    await seller.sees(re.compile("^Upload the ticket by"))
    await seller.link("Upload the ticket").click()
    chosen: FilePayload = {"name": "ticket.pdf", "mimeType": "application/pdf", "buffer": content}
    await seller.page.get_by_label("Add a file").set_input_files(chosen)
    await seller.button("Upload").click()
    await seller.sees(re.compile("^All files are there"))

    await until(lambda: buyer.person.order(order), lambda seen: seen["delivery"] == "delivered")
    if not java_script_enabled:
        await buyer.open(f"/orders/{order}")
    await buyer.sees(re.compile("^Your ticket is ready"))
    await buyer.link("Download your ticket").click()
    async with buyer.page.expect_download() as downloading:
        await buyer.link("Download").click()
    downloaded = await (await downloading.value).path()
    assert downloaded.read_bytes() == content

    await buyer.open(f"/orders/{order}")
    await buyer.button("I received my ticket").click()
    await buyer.sees(re.compile("You confirmed the delivery on"))
    await seller.open("/listings?status=sold")
    await seller.sees(re.compile("^Delivery confirmed on"))
    assert (await buyer.person.ticket(ticket))["status"] == "sold"


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_seller_says_to_have_handed_a_ticket_over(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    buyer = await visitors.member(java_script_enabled=java_script_enabled)
    seller = await visitors.member(java_script_enabled=java_script_enabled)
    _, order = await bought(buyer, seller, some_title())
    await buyer.sees("The seller hands the ticket over to you.")
    await seller.open("/listings")
    await seller.button(re.compile("^I handed it over")).click()
    await seller.sees(re.compile("^Delivered on"))
    if not java_script_enabled:
        await buyer.open(f"/orders/{order}")
    await buyer.sees(re.compile("^The seller says that you have the ticket"))


async def test_a_buyer_keeps_a_copy_of_the_order_and_opens_it_without_a_connection(
    visitors: Visitors, tmp_path: Path
) -> None:
    buyer, seller = await visitors.member(), await visitors.member()
    title = some_title()
    _, order = await bought(buyer, seller, title, city="Malmö", startsAt="2035-06-01T18:00:00Z")
    async with buyer.page.expect_download() as downloading:
        await buyer.link(re.compile("^Save a copy")).click()
    copy = tmp_path / "copy.html"
    await (await downloading.value).save_as(copy)
    await buyer.page.context.set_offline(True)
    page = await buyer.page.context.new_page()
    await page.goto(copy.as_uri())
    await expect(page.get_by_role("heading", name=title)).to_be_visible()
    await expect(page.get_by_text("Malmö", exact=True)).to_be_visible()
    assert (await buyer.person.order(order))["code"] in copy.read_text("utf-8")


async def test_an_overdue_ticket_is_refunded_without_anybody_doing_anything(
    visitors: Visitors, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("overdue") / "data"
    async with stagedoor(folder, variants=False, DELIVERY_HOURS=str(DELIVERY_HOURS)) as stack:
        await _check_refund(visitors, stack)


async def _check_refund(visitors: Visitors, stack: Stack) -> None:
    visitors.site = stack.web
    buyer, seller = await visitors.member(), await visitors.member()
    title = some_title()
    ticket, order = await bought(buyer, seller, title, promised=True)
    await buyer.marks_the_page()
    await buyer.sees(re.compile("^We refunded \\$45.00."))
    await buyer.sees(re.compile("^The seller didn.t upload the ticket by"))
    assert await buyer.has_not_reloaded()
    assert await charges(stack, order) == [("succeeded", 4500)]
    seen = await buyer.person.order(order)
    assert (seen["status"], seen["delivery"], seen["relisted"]) == ("refunded", "failed", False)

    await seller.open("/listings")
    await seller.sees(re.compile("^Not uploaded by"))
    assert (await seller.person.ticket(ticket))["status"] == "sold"
    await seller.open(f"/tickets/{ticket}/files")
    await expect(seller.button("Upload")).to_have_count(0)
    mailbox = Mailbox(stack.settings)
    await mailbox.message(buyer.person.email, "wasn't delivered and is refunded")
    await mailbox.message(seller.person.email, "You didn't deliver")


async def test_a_printed_order_has_the_notes_the_venue_and_the_address_of_its_page(
    visitors: Visitors,
) -> None:
    buyer, seller = await visitors.member(), await visitors.member()
    notes = "Gate C. Adults only."
    _, order = await bought(buyer, seller, some_title(), venue="Harpa", city="Reykjavík", notes=notes)
    address = f"{buyer.site}/orders/{order}"
    await expect(buyer.main.get_by_text(f"This order: {address}")).to_be_hidden()
    await buyer.page.emulate_media(media="print")
    for text in (notes, "Harpa, Reykjavík", f"This order: {address}", "openstreetmap.org/search"):
        await buyer.sees(text)
    await expect(buyer.button("Print")).to_be_hidden()
    await expect(buyer.page.get_by_role("banner")).to_be_hidden()
