"""What a seller offers, by state, with what it brought in and what there is to do."""

import html
import re
from datetime import datetime, timedelta
from typing import get_args

import httpx
import pytest

from contracts.api import User
from contracts.events import TicketStatus
from contracts.wire import now
from tests.web.conftest import Browser, text_of
from tests.web.market import Market


@pytest.fixture
def seller(browser: Browser, market: Market) -> User:
    user, token = market.user("seller@example.com")
    browser.sign_in_as(token)
    return user


def titles(page: httpx.Response) -> list[str]:
    return re.findall(r'<span class="stub-title">([^<]+)', page.text)


async def test_the_numbers_come_first(browser: Browser, market: Market, seller: User) -> None:
    market.ticket(seller, "Free")
    market.ticket(seller, "Sold", status="sold", price="30.50")
    market.ticket(seller, "Sold and refunded", status="sold", price="100", refunded=True)
    market.ticket(seller, "Taken back", status="withdrawn")
    market.ticket(market.user("other@example.com")[0], "Not mine", status="sold", price="999")
    page = await browser.get("/listings")
    text = text_of(page)
    assert "Earned $30.50 2 sold, 1 of them refunded: $100.00 went back" in text
    assert "All 4 On sale 1 Held 0 Sold 2 Withdrawn 1" in text
    assert titles(page) == ["Taken back", "Sold and refunded", "Sold", "Free"]
    assert "Refunded" in text


@pytest.mark.parametrize("status", get_args(TicketStatus))
async def test_each_state_has_a_list_of_its_own(
    browser: Browser, market: Market, seller: User, status: TicketStatus
) -> None:
    page = await browser.get(f"/listings?status={status}")
    assert "selling anything" in text_of(page)
    for each in get_args(TicketStatus):
        market.ticket(seller, each.upper(), status=each)
    page = await browser.get(f"/listings?status={status}")
    assert titles(page) == [status.upper()]
    assert f'href="/listings?status={status}" aria-current="page"' in page.text
    assert f'hx-get="/listings?status={status}"' in page.text
    assert 'data-live="seller:me"' in page.text


async def test_a_state_without_tickets_says_so(browser: Browser, market: Market, seller: User) -> None:
    market.ticket(seller)
    assert "Nothing sold yet" in text_of(await browser.get("/listings?status=sold"))
    assert titles(await browser.get("/listings?status=nonsense")) == ["Nick Cave"]


async def test_only_what_nobody_holds_can_be_changed(
    browser: Browser, market: Market, seller: User, stopped_clock: datetime
) -> None:
    free = market.ticket(seller, "Free")
    held_until = stopped_clock + timedelta(seconds=605.1)
    held = market.ticket(seller, "Held", status="reserved", held_until=held_until)
    page = await browser.get("/listings")
    for action in ("edit", "withdraw"):
        assert f'href="/tickets/{free.id}/{action}"' in page.text
        assert f'href="/tickets/{held.id}/{action}"' not in page.text
    assert "10:06 left for the buyer" in text_of(page)


async def test_a_hold_whose_time_is_up_is_no_countdown(
    browser: Browser, market: Market, seller: User
) -> None:
    market.ticket(seller, status="reserved", held_until=now() - timedelta(seconds=3))
    page = await browser.get("/listings")
    assert "A buyer is about to pay" in text_of(page)
    assert "data-remaining" not in page.text


async def test_more_are_shown_on_the_same_page_and_then_on_another(
    browser: Browser, market: Market, seller: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.sales.STEP", 2)
    monkeypatch.setattr("web.pages.sales.MOST", 4)
    for number in range(7):
        market.ticket(seller, f"No {number}")

    async def then(page: httpx.Response) -> httpx.Response:
        more = re.search(r'href="([^"]*)"[^>]*>Show more', page.text)
        assert more
        return await browser.get(html.unescape(more[1]))

    first = await browser.get("/listings")
    assert titles(first) == ["No 6", "No 5"]
    longer = await then(first)
    assert titles(longer) == ["No 6", "No 5", "No 4", "No 3"]
    following = await then(longer)
    assert titles(following) == ["No 2", "No 1"]
    last = await then(following)
    assert titles(last) == ["No 2", "No 1", "No 0"]
    assert "Show more" not in last.text
    assert '<a href="/listings">Back to the newest' in last.text


async def test_a_page_that_is_nowhere_leads_to_the_first(
    browser: Browser, market: Market, seller: User
) -> None:
    answer = await browser.get("/listings?status=sold&after=nowhere")
    assert answer.headers["location"] == "/listings?status=sold"
