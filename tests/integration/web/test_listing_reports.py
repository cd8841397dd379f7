"""The page on which people report a listing."""

import pytest

from contracts.api import User
from tests.integration.web.page_client import PageClient, text_of
from tests.support.fakes.market import Market


@pytest.fixture
def seller(market: Market) -> User:
    return market.user("seller@example.com")[0]


async def test_a_ticket_page_leads_to_the_form_except_for_its_seller(
    client: PageClient, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller)
    link = f'href="/tickets/{ticket.id}/report"'
    assert link in (await client.get(f"/tickets/{ticket.id}")).text
    client.sign_in_as(market.token_of(seller.id))
    assert link not in (await client.get(f"/tickets/{ticket.id}")).text


async def test_a_guest_signs_in_first_and_comes_back(
    client: PageClient, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller)
    answer = await client.get(f"/tickets/{ticket.id}/report")
    assert answer.headers["location"] == f"/signin?next=/tickets/{ticket.id}/report"


async def test_a_report_is_sent_and_the_page_says_what_happens_next(
    client: PageClient, market: Market, seller: User, buyer: User
) -> None:
    ticket = market.ticket(seller)
    path = f"/tickets/{ticket.id}/report"
    assert "The seller doesn’t learn who has reported" in text_of(await client.get(path))  # noqa: RUF001
    answer = await client.submit(path, kind="fraud", text="A fake")
    assert answer.status_code == 200
    assert "We look at every report" in text_of(answer)
    assert "<textarea" not in answer.text
    assert market.reports[buyer.id, ticket.id].kind == "fraud"


async def test_an_incomplete_report_keeps_what_was_typed(
    client: PageClient, market: Market, seller: User, buyer: User
) -> None:
    path = f"/tickets/{market.ticket(seller).id}/report"
    answer = await client.submit(path, kind="", text="A <fake>")
    assert answer.status_code == 422
    assert "Choose what is wrong" in text_of(answer)
    assert "A &lt;fake&gt;</textarea>" in answer.text
    assert market.reports == {}


async def test_a_second_report_says_that_the_first_has_arrived(
    client: PageClient, market: Market, seller: User, buyer: User
) -> None:
    path = f"/tickets/{market.ticket(seller).id}/report"
    await client.submit(path, kind="fraud", text="A fake")
    answer = await client.submit(path, kind="price", text="Too much")
    assert answer.status_code == 409
    assert "You have reported this listing already" in text_of(answer)


async def test_the_seller_of_a_removed_listing_reads_why(
    client: PageClient, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller, status="withdrawn", removed_reason="It is <b>stolen</b>")
    client.sign_in_as(market.token_of(seller.id))
    page = await client.get(f"/tickets/{ticket.id}")
    assert "We have removed this listing" in text_of(page)
    assert "It is &lt;b&gt;stolen&lt;/b&gt;" in page.text
    assert "You withdrew this ticket" not in text_of(page)
