"""The list of a seller's tickets: earnings, filters by state, actions and pagination."""

import html
import re
from datetime import datetime, timedelta
from typing import get_args

import httpx
import pytest

from contracts.api import User
from contracts.events import TicketStatus
from contracts.tickets import Delivery
from contracts.wire import now
from tests.integration.web.page_client import PageClient, text_of
from tests.support.fakes.market import Market


@pytest.fixture
def seller(client: PageClient, market: Market) -> User:
    user, token = market.user("seller@example.com")
    client.sign_in_as(token)
    return user


def titles(page: httpx.Response) -> list[str]:
    return re.findall(r'<span class="stub-title"><bdi>([^<]+)', page.text)


async def test_the_list_shows_earnings_and_the_number_of_tickets_in_each_state(
    client: PageClient, market: Market, seller: User
) -> None:
    market.ticket(seller, "Available")
    market.ticket(seller, "Sold", status="sold", price="30.50")
    market.ticket(seller, "Sold and refunded", status="sold", price="100", refunded=True)
    market.ticket(seller, "Withdrawn", status="withdrawn")
    market.ticket(market.user("other@example.com")[0], "Not mine", status="sold", price="999")
    page = await client.get("/listings")
    text = text_of(page)
    assert "2 sold, 1 of them refunded ($100.00)" in text
    assert "All 4 On sale 1 Reserved 0 Sold 2 Withdrawn 1" in text
    assert titles(page) == ["Withdrawn", "Sold and refunded", "Sold", "Available"]
    assert "Refunded" in text


async def test_a_screen_reader_hears_how_many_tickets_are_on_sale_reserved_and_sold(
    client: PageClient, market: Market, seller: User
) -> None:
    market.ticket(seller)
    market.ticket(seller, status="sold")
    for path in ("/listings", "/listings?status=withdrawn"):
        page = await client.get(path)
        region = re.search(r'id="sales-announcement" role="status">([^<]*)<', page.text)
        assert region
        assert region[1] == "1 on sale, 0 reserved, 1 sold"


@pytest.mark.parametrize("status", get_args(TicketStatus.__value__))
async def test_the_list_can_be_filtered_by_each_state(
    client: PageClient, market: Market, seller: User, status: TicketStatus
) -> None:
    page = await client.get(f"/listings?status={status}")
    assert "selling any tickets" in text_of(page)
    for each in get_args(TicketStatus.__value__):
        market.ticket(seller, each.upper(), status=each)
    page = await client.get(f"/listings?status={status}")
    assert titles(page) == [status.upper()]
    assert f'href="/listings?status={status}" aria-current="page"' in page.text
    assert f'hx-get="/listings?status={status}"' in page.text
    assert 'data-live="seller:me"' in page.text


async def test_an_empty_state_has_a_message_and_an_unknown_state_is_ignored(
    client: PageClient, market: Market, seller: User
) -> None:
    market.ticket(seller)
    assert "Nothing sold yet" in text_of(await client.get("/listings?status=sold"))
    assert titles(await client.get("/listings?status=unknown")) == ["Nick Cave"]


async def test_only_an_available_ticket_has_links_to_edit_and_withdraw(
    client: PageClient, market: Market, seller: User, stopped_clock: datetime
) -> None:
    available = market.ticket(seller, "Available")
    held_until = stopped_clock + timedelta(seconds=605.1)
    reserved = market.ticket(seller, "Reserved", status="reserved", held_until=held_until)
    page = await client.get("/listings")
    for action in ("edit", "withdraw"):
        assert f'href="/tickets/{available.id}/{action}"' in page.text
        assert f'href="/tickets/{reserved.id}/{action}"' not in page.text
    assert "10:06 left for the buyer" in text_of(page)


async def test_an_overdue_hold_has_no_countdown(client: PageClient, market: Market, seller: User) -> None:
    market.ticket(seller, status="reserved", held_until=now() - timedelta(seconds=3))
    page = await client.get("/listings")
    assert "A buyer is about to pay" in text_of(page)
    assert "data-remaining" not in page.text


async def test_show_more_extends_the_page_up_to_its_limit_and_then_starts_another_page(
    client: PageClient, market: Market, seller: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.sales.PAGE_SIZE", 2)
    monkeypatch.setattr("web.pages.sales.MAX_SHOWN", 4)
    for number in range(7):
        market.ticket(seller, f"No {number}")

    async def show_more(page: httpx.Response) -> httpx.Response:
        more = re.search(r'href="([^"]*)"[^>]*>Show more', page.text)
        assert more
        return await client.get(html.unescape(more[1]))

    first = await client.get("/listings")
    assert titles(first) == ["No 6", "No 5"]
    longer = await show_more(first)
    assert titles(longer) == ["No 6", "No 5", "No 4", "No 3"]
    following = await show_more(longer)
    assert titles(following) == ["No 2", "No 1"]
    last = await show_more(following)
    assert titles(last) == ["No 2", "No 1", "No 0"]
    assert "Show more" not in last.text
    assert '<a href="/listings">Back to the newest' in last.text


@pytest.mark.parametrize(
    ("delivery", "text"),
    [
        ("instant", "All files are here: the buyer gets the ticket at once after paying"),
        ("promised", "Files are missing: upload them now or after the sale"),
        ("seller", "You hand the ticket over after the sale"),
    ],
)
async def test_a_listing_on_sale_says_how_the_buyer_will_get_the_ticket(
    client: PageClient, market: Market, seller: User, delivery: Delivery, text: str
) -> None:
    ticket = market.ticket(seller, delivery=delivery)
    assert text in text_of(await client.get("/listings"))
    market.change_ticket(ticket.id, status="withdrawn")
    assert text not in text_of(await client.get("/listings"))


async def test_a_listing_that_awaits_its_files_says_what_that_means(
    client: PageClient, market: Market, seller: User
) -> None:
    market.ticket(seller, delivery="promised", awaits_files=True)
    assert "Nobody can find it before you upload its files" in text_of(await client.get("/listings"))


async def test_the_links_of_listings_of_one_event_have_different_names(
    client: PageClient, market: Market, seller: User
) -> None:
    starts_at = now() + timedelta(days=30)
    for price, seat in (("28", None), ("30", None), ("30", "Row 4")):
        market.ticket(seller, "Paper Lanterns", price=price, seat=seat, starts_at=starts_at)
    page = await client.get("/listings")
    for action in ("edit", "files", "withdraw"):
        links = re.findall(rf'<a href="/tickets/\w+/{action}">(.*?)</a>', page.text, re.DOTALL)
        names = {" ".join(re.sub("<[^>]+>", "", link).split()) for link in links}
        assert len(names) == 3
        assert all("Paper Lanterns" in name for name in names)


async def test_sellers_are_asked_how_they_sell_until_they_have_said_so(
    client: PageClient, market: Market, seller: User
) -> None:
    asks = "said whether you sell privately or as a trader"
    assert asks not in text_of(await client.get("/listings"))  # nothing is listed
    market.ticket(seller)
    page = await client.get("/listings")
    assert asks in text_of(page)
    assert 'href="/account#trader-form"' in page.text
    assert 'id="trader-form"' in (await client.get("/account")).text
    market.traders[seller.id] = False
    assert asks not in text_of(await client.get("/listings"))


async def test_an_invalid_cursor_redirects_to_the_first_page(
    client: PageClient, market: Market, seller: User
) -> None:
    answer = await client.get("/listings?status=sold&after=nowhere")
    assert answer.headers["location"] == "/listings?status=sold"


async def test_sellers_read_why_and_until_when_new_listings_need_files(
    client: PageClient, market: Market, seller: User
) -> None:
    market.ticket(seller)
    for path in ("/listings", "/sell"):
        assert "data-files-required" not in (await client.get(path)).text
    market.files_required_until[seller.id] = datetime.fromisoformat("2031-12-12T20:00:00Z")
    for path in ("/listings", "/sell"):
        page = text_of(await client.get(path))
        assert "2 of your sales have failed. Until Fri, Dec 12, 2031" in page


async def test_a_listing_that_awaits_files_leads_its_seller_to_the_upload(
    client: PageClient, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller, awaits_files=True)
    listings = await client.get("/listings")
    assert "Files missing" in text_of(listings)
    page = await client.get(f"/tickets/{ticket.id}")
    assert "Nobody else can find or buy this listing yet" in text_of(page)
    assert f'href="/tickets/{ticket.id}/files"' in page.text
    assert "nobody can find or buy this listing" in text_of(await client.get(f"/tickets/{ticket.id}/files"))


async def test_nobody_else_can_buy_a_listing_that_awaits_files(
    client: PageClient, market: Market, buyer: User
) -> None:
    ticket = market.ticket(market.user("other@example.com")[0], awaits_files=True)
    page = await client.get(f"/tickets/{ticket.id}")
    assert 'data-state="awaits-files"' in page.text
    assert "The seller has to upload this ticket before anybody can buy it." in text_of(page)
    assert 'id="buy"' not in page.text
    assert "InStock" not in page.text
