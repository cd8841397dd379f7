"""The private note of a ticket, on the pages of its seller and its buyer."""

import pytest

from contracts.api import Ticket, User
from tests.integration.web.page_client import EVENT, PageClient, text_of
from tests.support.fakes.market import Market

NOTE = "Transfer code AB12CD34"
FORM = {"title": "Nick Cave", "price": "20", "timeZone": "UTC", "quantity": "1", **EVENT}


@pytest.fixture
def seller(market: Market) -> User:
    return market.user("seller@example.com")[0]


@pytest.fixture
def ticket(market: Market, seller: User) -> Ticket:
    return market.ticket(seller, private_note=NOTE)


async def test_the_form_lists_a_ticket_with_a_private_note(
    client: PageClient, market: Market, seller: User
) -> None:
    client.sign_in_as(market.token_of(seller.id))
    page = await client.get("/sell")
    assert "Everybody can read them" in text_of(page)
    assert "Only the buyer reads it, after paying" in text_of(page)
    await client.submit("/sell", follow=False, **FORM, privateNote=f"{NOTE}\r\nsecond line")
    [ticket] = market.tickets.values()
    assert ticket.private_note == f"{NOTE}\nsecond line"


async def test_the_form_refuses_a_code_in_the_notes(client: PageClient, market: Market, seller: User) -> None:
    client.sign_in_as(market.token_of(seller.id))
    page = await client.submit("/sell", follow=False, **FORM, notes=NOTE)
    assert page.status_code == 422
    assert "Write codes into the private note, which only the buyer sees" in text_of(page)
    assert not market.tickets


async def test_the_buyer_reads_the_private_note_on_the_page_of_the_paid_order(
    client: PageClient, market: Market, buyer: User, ticket: Ticket
) -> None:
    order = market.order(buyer, ticket)
    for path in (f"/orders/{order.id}", f"/tickets/{ticket.id}", "/orders", "/"):
        assert NOTE not in (await client.get(path)).text
    market.change_order(order.id, status="complete")
    market.change_ticket(ticket.id, status="sold")
    market.payment(order, "captured")
    page = await client.get(f"/orders/{order.id}")
    assert f"Only for you, from the seller: {NOTE}" in text_of(page)
    assert page.headers["cache-control"] == "no-store"
    assert NOTE not in (await client.get("/orders")).text


async def test_nobody_else_reads_the_private_note_on_a_page(
    client: PageClient, market: Market, ticket: Ticket
) -> None:
    stranger = market.user("stranger@example.com")[0]
    for viewer in (None, stranger):
        if viewer:
            client.sign_in_as(market.token_of(viewer.id))
        for path in ("/", f"/tickets/{ticket.id}", f"/tickets/{ticket.id}/card"):
            assert NOTE not in (await client.get(path)).text
        assert (await client.get(f"/tickets/{ticket.id}/private-note")).status_code in {302, 303}


async def test_the_seller_changes_the_private_note_of_a_sold_ticket(
    client: PageClient, market: Market, buyer: User, seller: User, ticket: Ticket
) -> None:
    market.order(buyer, ticket, status="complete")
    client.sign_in_as(market.token_of(seller.id))
    shown = text_of(await client.get(f"/tickets/{ticket.id}"))
    assert f"Private note, only for the buyer {NOTE}" in shown
    assert "Change the private note" in shown
    address = f"/tickets/{ticket.id}/private-note"
    assert NOTE in (await client.get(address)).text
    wrong = await client.submit(address, privateNote="a\u202eb")
    assert wrong.status_code == 422
    assert "changes the direction of text" in text_of(wrong)
    await client.submit(address, privateNote="New code")
    assert market.tickets[ticket.id].private_note == "New code"
    await client.submit(address, privateNote="  ")
    assert market.tickets[ticket.id].private_note is None
