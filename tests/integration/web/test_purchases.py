"""The list of a buyer's orders: its sections and cards, and their order."""

import html
import re
from datetime import timedelta
from typing import Any

import httpx
import pytest

from contracts.api import Order, User
from contracts.wire import now
from tests.integration.web.page_client import PageClient, text_of
from tests.support.fakes.market import Market
from web.pages.purchases import PAGE_SIZE


def add_order(market: Market, buyer: User, title: str, days: float | None, **changes: Any) -> Order:
    """Create an order for an event that starts this many days from now, or that has no date."""
    seller = market.user("seller@example.com")[0]
    starts_at = None if days is None else now() + timedelta(days=days)
    ticket = market.ticket(seller, title, starts_at=starts_at, city="Berlin")
    return market.order(buyer, ticket, **{"status": "complete", **changes})


def titles_by_section(page: httpx.Response) -> dict[str, list[str]]:
    """The titles in each section of the list, by the section's id."""
    found = re.split(r'<(?:section|details) class="list-part"', page.text)[1:]
    names = [re.search(r'(?:id|aria-labelledby)="(\w+)"', part) for part in found]
    return {
        name[1]: re.findall(r'<span class="stub-title"><bdi>([^<]+)', part)
        for name, part in zip(names, found, strict=True)
        if name
    }


@pytest.mark.usefixtures("stopped_clock")
async def test_the_sections_are_unpaid_upcoming_past_and_ended_orders(
    client: PageClient, market: Market, buyer: User
) -> None:
    add_order(market, buyer, "Long ago", -300)
    add_order(market, buyer, "Last week", -7)
    add_order(market, buyer, "Undated", None)
    add_order(market, buyer, "Next month", 30)
    add_order(market, buyer, "Tomorrow", 1)
    add_order(market, buyer, "Running now", -0.1)
    add_order(market, buyer, "Cancelled", 3, status="cancelled")
    add_order(market, buyer, "Refunded", 3, status="refunded")
    add_order(market, buyer, "Paying now", 9, status="created", seconds=100.9)
    add_order(market, buyer, "Paying later", 9, status="created", seconds=800)
    page = await client.get("/orders")
    assert titles_by_section(page) == {
        "open": ["Paying now", "Paying later"],
        "upcoming": ["Running now", "Tomorrow", "Next month", "Undated"],
        "past": ["Last week", "Long ago"],
        "ended": ["Refunded", "Cancelled"],
    }
    text = text_of(page)
    for heading in ("Unpaid 2", "Upcoming 4", "Past 2", "Cancelled and refunded 2"):
        assert heading in text
    assert "1:41 to pay" in text
    assert '<details class="list-part" id="ended">' in page.text


async def test_the_section_of_ended_orders_is_open_during_a_refund(
    client: PageClient, market: Market, buyer: User
) -> None:
    add_order(market, buyer, "Next month", 30)
    order = add_order(market, buyer, "Being refunded", 3)
    market.payment(order, "refunding")
    page = await client.get("/orders")
    assert titles_by_section(page) == {"upcoming": ["Next month"], "ended": ["Being refunded"]}
    assert "Refund in progress" in text_of(page)
    assert 'id="ended" open>' in page.text


async def test_a_buyer_with_only_past_events_sees_that_there_are_no_upcoming_events(
    client: PageClient, market: Market, buyer: User
) -> None:
    add_order(market, buyer, "Last week", -7)
    assert "No upcoming events" in text_of(await client.get("/orders"))


async def test_an_empty_list_has_live_updates_so_that_the_first_order_appears(
    client: PageClient, buyer: User
) -> None:
    page = await client.get("/orders")
    assert "No orders yet" in text_of(page)
    assert re.search(r'id="orders" data-live="buyer:me ?" hx-get="/orders"', page.text)


async def test_a_card_shows_date_venue_quantity_and_picture(
    client: PageClient, market: Market, buyer: User
) -> None:
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
    page = await client.get("/orders")
    assert "Astra, Berlin" in text_of(page)
    assert "2 tickets" in text_of(page)
    assert re.search(r"\w+, \w+ \d+, 20\d\d · ", text_of(page))
    assert 'src="/api/tickets/pictures/abc/small"' in page.text


async def test_older_orders_are_on_further_pages_that_work_without_javascript(
    client: PageClient, market: Market, buyer: User
) -> None:
    for number in range(PAGE_SIZE + 1):
        add_order(market, buyer, f"Show {number}", 30)
    market.payment(next(iter(market.orders.values())), "refunding")
    first = await client.get("/orders")
    shown = titles_by_section(first)["upcoming"]
    assert (len(shown), "Show 0" in shown) == (PAGE_SIZE, False)
    assert "Upcoming 100" not in text_of(first)  # the page doesn't know how many there are
    [link] = re.findall(r'<a class="button secondary" href="([^"]+)" rel="next">Older orders', first.text)
    older = await client.get(html.unescape(link))
    assert titles_by_section(older) == {"ended": ["Show 0"]}  # its payment was requested too
    assert "Older orders" not in older.text
    assert "No upcoming events" not in text_of(older)
    assert '<a href="/orders">Back to the newest</a>' in older.text
    assert f'hx-get="{link}"' in older.text  # live updates stay on this page


async def test_a_page_after_the_oldest_order_says_so_and_an_unknown_page_leads_to_the_newest(
    client: PageClient, market: Market, buyer: User
) -> None:
    order = add_order(market, buyer, "Only", 30)
    assert "No older orders" in text_of(await client.get(f"/orders?after={order.id}"))
    unknown = await client.get("/orders?after=nowhere")
    assert (unknown.status_code, unknown.headers["location"]) == (303, "/orders")
