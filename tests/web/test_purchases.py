"""What a buyer has bought, or is about to, with what needs them first."""

import re
from datetime import timedelta
from typing import Any

import httpx
import pytest

from contracts.api import Order, User
from contracts.wire import now
from tests.web.conftest import Browser, text_of
from tests.web.market import Market


def bought(market: Market, buyer: User, title: str, days: float | None, **changes: Any) -> Order:
    """For an event in so many days."""
    seller = market.user("seller@example.com")[0]
    starts_at = None if days is None else now() + timedelta(days=days)
    ticket = market.ticket(seller, title, starts_at=starts_at, city="Berlin")
    return market.order(buyer, ticket, **{"status": "complete", **changes})


def parts(page: httpx.Response) -> dict[str, list[str]]:
    """By their ids, the titles in each part of the list."""
    found = re.split(r'<(?:section|details) class="list-part"', page.text)[1:]
    names = [re.search(r'(?:id|aria-labelledby)="(\w+)"', part) for part in found]
    return {
        name[1]: re.findall(r'<span class="stub-title">([^<]+)', part)
        for name, part in zip(names, found, strict=True)
        if name
    }


@pytest.mark.usefixtures("stopped_clock")
async def test_what_needs_the_buyer_comes_first_then_what_is_next(
    browser: Browser, market: Market, buyer: User
) -> None:
    bought(market, buyer, "Long ago", -300)
    bought(market, buyer, "Last week", -7)
    bought(market, buyer, "Whenever", None)
    bought(market, buyer, "Next month", 30)
    bought(market, buyer, "Tomorrow", 1)
    bought(market, buyer, "On now", -0.1)
    bought(market, buyer, "Let go", 3, status="cancelled")
    bought(market, buyer, "Given back", 3, status="refunded")
    bought(market, buyer, "Paying now", 9, status="created", seconds=100.9)
    bought(market, buyer, "Paying later", 9, status="created", seconds=800)
    page = await browser.get("/orders")
    assert parts(page) == {
        "open": ["Paying now", "Paying later"],
        "upcoming": ["On now", "Tomorrow", "Next month", "Whenever"],
        "past": ["Last week", "Long ago"],
        "ended": ["Given back", "Let go"],
    }
    text = text_of(page)
    for words in ("Waiting for you 2", "Upcoming 4", "Past 2", "Cancelled and refunded 2"):
        assert words in text
    assert "1:41 to pay" in text
    assert '<details class="list-part" id="ended">' in page.text


async def test_money_on_its_way_back_is_not_folded_away(
    browser: Browser, market: Market, buyer: User
) -> None:
    bought(market, buyer, "Next month", 30)
    order = bought(market, buyer, "Called off", 3)
    market.payment(order, "refunding")
    page = await browser.get("/orders")
    assert parts(page) == {"upcoming": ["Next month"], "ended": ["Called off"]}
    assert "Refund on its way" in text_of(page)
    assert 'id="ended" open>' in page.text


async def test_who_has_only_the_past_is_shown_where_to_look(
    browser: Browser, market: Market, buyer: User
) -> None:
    bought(market, buyer, "Last week", -7)
    assert "Nothing to look forward to yet" in text_of(await browser.get("/orders"))


async def test_a_list_without_orders_hears_of_the_first(browser: Browser, buyer: User) -> None:
    page = await browser.get("/orders")
    assert "No orders yet" in text_of(page)
    assert re.search(r'id="orders" data-live="buyer:me ?" hx-get="/orders"', page.text)


async def test_a_card_says_when_where_and_how_many(browser: Browser, market: Market, buyer: User) -> None:
    ticket = market.ticket(
        market.user("seller@example.com")[0],
        "Nick Cave",
        venue="Astra",
        city="Berlin",
        quantity=2,
        picture="abc",
        starts_at=now() + timedelta(days=400),
        time_zone="Europe/Berlin",
    )
    market.order(buyer, ticket, status="complete")
    page = await browser.get("/orders")
    assert "Astra, Berlin" in text_of(page)
    assert "2 tickets" in text_of(page)
    assert re.search(r"\w+, \w+ \d+, 20\d\d · ", text_of(page))
    assert 'src="/api/tickets/pictures/abc/small"' in page.text
