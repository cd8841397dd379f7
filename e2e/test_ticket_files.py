"""Files that sellers upload before the sale: only the buyer reads them, and no code is listed twice."""

import secrets

from playwright.async_api import FilePayload, expect

from e2e.visitors import WITH_AND_WITHOUT_JAVASCRIPT, Member, Visitors, some_title
from tests.support.polling import until
from tests.support.ticket_files import pdf


def chosen(content: bytes) -> FilePayload:
    return {"name": "ticket.pdf", "mimeType": "application/pdf", "buffer": content}


async def lists_with_promise(seller: Member, title: str) -> str:
    """List a ticket with a promised file, which leads to the page for it. Return the path of the ticket."""
    await seller.open("/sell")
    await seller.page.get_by_label("What is the ticket for?").fill(title)
    await seller.page.get_by_label("Price").fill("45")
    await seller.describes_event()
    await seller.page.get_by_label("I upload the ticket as a file").check()
    await seller.button("List ticket").click()
    await expect(seller.heading("Ticket files")).to_be_visible()
    return seller.path.removesuffix("/files")


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_file_from_before_the_sale_is_read_by_its_buyer_alone(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    seller = await visitors.member(java_script_enabled=java_script_enabled)
    buyer = await visitors.member(java_script_enabled=java_script_enabled)
    stranger = await visitors.member(java_script_enabled=java_script_enabled)
    ticket = await lists_with_promise(seller, some_title())
    content = pdf([f"TICKET-{secrets.token_hex(8)}"])
    await seller.sees("0 of 1 ticket is uploaded")
    await seller.page.get_by_label("Add a file").set_input_files(chosen(content))
    await seller.button("Upload").click()
    await seller.sees("All files are there")
    await expect(seller.link("Download")).to_have_count(0)

    order = await buyer.reserves(ticket)
    await expect(buyer.page.get_by_text("Download your ticket")).to_have_count(0)
    await buyer.pays()
    await until(
        lambda: buyer.person.order(order.removeprefix("/orders/")),
        lambda seen: seen["delivery"] == "delivered",
    )
    await buyer.open(order)
    await buyer.link("Download your ticket").click()
    async with buyer.page.expect_download() as downloading:
        await buyer.link("Download").click()
    file = await downloading.value
    assert (await file.path()).read_bytes() == content

    for path in (f"{ticket}/files", order):
        answer = await stranger.page.goto(visitors.site + path)
        assert answer is not None
        assert answer.status in {403, 404}
        await expect(stranger.link("Download")).to_have_count(0)
    assert (await stranger.person.client.get(file.url)).status_code in {403, 404}
    assert (await seller.person.client.get(file.url)).status_code in {403, 404}
    await seller.open(f"{ticket}/files")
    await seller.sees("downloaded 1 time")


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_file_in_a_second_listing_is_refused_with_the_reason(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    honest, copier = await visitors.person(), await visitors.member(java_script_enabled=java_script_enabled)
    content = pdf([f"TICKET-{secrets.token_hex(8)}"])
    first = await honest.lists_ticket(45, some_title(), promised=True)
    answer = await honest.client.post(f"/api/tickets/{first['id']}/files", content=content)
    assert answer.status_code == 201, answer.text

    path = await lists_with_promise(copier, some_title())
    await copier.page.get_by_label("Add a file").set_input_files(chosen(content))
    await copier.button("Upload").click()
    alert = copier.main.get_by_role("alert")
    await expect(alert).to_contain_text("This ticket is in a listing already, or was sold here")
    await expect(alert).to_be_focused()
    await copier.sees("0 of 1 ticket is uploaded")

    await copier.page.get_by_label("Add a file").set_input_files(chosen(b"No ticket at all"))
    await copier.button("Upload").click()
    await copier.sees("The file must be a PDF, PNG, JPEG or Apple Wallet pass")
    files = await copier.person.client.get(f"/api{path}/files")
    assert files.json()["files"] == []
