"""A ticket's own page and its card: all that its seller says, in words, and for machines."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.api import Ticket
from tests.web.conftest import Browser, text_of
from tests.web.market import Market
from tests.web.served import Services

SOON = datetime(2036, 12, 12, 19, 0, tzinfo=UTC)
LONG_AGO = datetime(2020, 12, 12, 19, 0, tzinfo=UTC)
PICTURE = "ab" * 32
DETAILS: dict[str, Any] = {
    "price": "90.00",
    "starts_at": SOON,
    "time_zone": "Europe/Berlin",
    "venue": "Astra",
    "city": "Berlin",
    "category": "music",
    "seat": "Row 3, seats 4 and 5",
    "quantity": 2,
    "face_value": "100.00",
    "notes": "Paper tickets.\n<b>By post</b>",
    "picture": PICTURE,
}


@pytest.fixture
def ticket(market: Market) -> Ticket:
    seller, _ = market.user("seller@example.com")
    return market.ticket(seller, **DETAILS)


async def test_the_page_says_all_that_the_seller_said(browser: Browser, ticket: Ticket) -> None:
    page = await browser.get(f"/tickets/{ticket.id}")
    text = text_of(page)
    for said in (
        "Fri, Dec 12, 2036, 8:00 PM (Berlin time)",
        "Category Music Seat or area Row 3, seats 4 and 5 Quantity 2 tickets together",
        "Face value $100.00 Price for both tickets $90.00 Fees None You pay $90.00",
        "Paper tickets.",
        "&lt;b&gt;By post",
    ):
        assert said in text
    assert f'src="/api/tickets/pictures/{PICTURE}/large"' in page.text
    assert 'width="1280" height="720" alt="Picture for Nick Cave"' in page.text


async def test_a_card_has_the_venues_time_and_a_small_picture(browser: Browser, ticket: Ticket) -> None:
    card = await browser.get(f"/tickets/{ticket.id}/card")
    assert "8:00 PM" in text_of(card)
    assert "for 2 tickets" in text_of(card)
    assert f'src="/api/tickets/pictures/{PICTURE}/small" width="480" height="270"' in card.text


async def test_a_ticket_with_title_and_price_alone_claims_nothing_more(
    browser: Browser, market: Market, ticket: Ticket
) -> None:
    plain = market.ticket(market.user("other@example.com")[0])
    page = await browser.get(f"/tickets/{plain.id}")
    for absent in ("face value", "together", "<img", "From the seller", "ld+json", "og:image", "Past"):
        assert absent not in page.text


async def test_the_seller_is_known_by_time_and_sales(
    browser: Browser, market: Market, ticket: Ticket
) -> None:
    seller = market.users["token-of-seller"][0]
    assert "here since December 2025 · no sales yet" in text_of(await browser.get(f"/tickets/{ticket.id}"))
    market.ticket(seller, status="sold")
    assert "here since December 2025 · 1 sold" in text_of(await browser.get(f"/tickets/{ticket.id}"))


@pytest.mark.parametrize("status", ["available", "reserved", "sold", "withdrawn"])
async def test_who_cannot_have_it_sees_others(
    browser: Browser, market: Market, ticket: Ticket, status: str
) -> None:
    seller = market.users["token-of-seller"][0]
    for number in range(6):
        market.ticket(seller, f"Another {number}", starts_at=SOON)
    market.change_ticket(ticket.id, status=status)
    page = await browser.get(f"/tickets/{ticket.id}")
    assert len(re.findall(">Another ", page.text)) == (0 if status == "available" else 4)


@pytest.mark.parametrize("who", ["seller", "other"])
async def test_a_past_event_says_so_and_isnt_sold(browser: Browser, market: Market, who: str) -> None:
    seller, token = market.user("seller@example.com")
    browser.sign_in_as(token if who == "seller" else market.user("other@example.com")[1])
    ticket = market.ticket(seller, starts_at=LONG_AGO)
    text = text_of(await browser.get(f"/tickets/{ticket.id}"))
    assert "Past" in text
    assert "On sale" not in text
    assert ("has begun" if who == "seller" else "This event is past") in text
    assert " Buy " not in text


@pytest.mark.parametrize(("seconds", "said"), [(125, True), (-1, False), (None, False)])
async def test_a_held_ticket_says_when_it_may_come_back_if_thats_known(
    browser: Browser,
    market: Market,
    ticket: Ticket,
    stopped_clock: datetime,
    seconds: int | None,
    said: bool,
) -> None:
    until = None if seconds is None else stopped_clock + timedelta(seconds=seconds)
    market.change_ticket(ticket.id, status="reserved", order_id="f" * 24, held_until=until)
    page = await browser.get(f"/tickets/{ticket.id}")
    assert ("It may come back in 2:05" in text_of(page)) is said
    assert ('role="timer"' in page.text) is said
    assert f'data-tell="{ticket.id}" data-title="Nick Cave" hidden>' in page.text


async def test_a_seller_sees_how_long_the_ticket_is_held_and_that_it_was_refunded(
    browser: Browser, market: Market, ticket: Ticket, stopped_clock: datetime
) -> None:
    browser.sign_in_as("token-of-seller")
    held_until = stopped_clock + timedelta(seconds=125)
    market.change_ticket(ticket.id, status="reserved", held_until=held_until)
    assert "they have 2:05" in text_of(await browser.get(f"/tickets/{ticket.id}"))
    market.change_ticket(ticket.id, status="sold", refunded=True)
    assert "the buyer got the money back" in text_of(await browser.get(f"/tickets/{ticket.id}"))


@pytest.mark.parametrize(
    ("status", "who", "stays"),
    [("available", "other", True), ("available", "seller", False), ("sold", "other", False)],
)
async def test_what_one_can_do_about_it_stays_in_sight(
    browser: Browser, market: Market, ticket: Ticket, status: str, who: str, stays: bool
) -> None:
    browser.sign_in_as("token-of-seller" if who == "seller" else market.user("other@example.com")[1])
    market.change_ticket(ticket.id, status=status)
    page = await browser.get(f"/tickets/{ticket.id}")
    assert ('class="offer-act stays"' in page.text) is stays
    assert ("What you see is what you pay" in page.text) is stays


async def test_what_the_page_can_do_without_may_be_away(
    browser: Browser, services: Services, ticket: Ticket
) -> None:
    await services.stop("auth")
    text = text_of(await browser.get(f"/tickets/{ticket.id}"))
    assert "Seller no sales yet" in text
    assert "Nick Cave" in text


async def test_it_is_shared_with_a_picture_and_read_by_machines(browser: Browser, ticket: Ticket) -> None:
    page = await browser.get(f"/tickets/{ticket.id}?from=mail")
    address = f"http://localhost:3500/tickets/{ticket.id}"
    assert f'<link rel="canonical" href="{address}">' in page.text
    assert '<meta property="og:title" content="Nick Cave">' in page.text
    assert 'content="Fri, Dec 12, 2036, 8:00\u202fPM (Berlin time), Astra, Berlin, $90.00"' in page.text
    assert f'og:image" content="http://localhost:3500/api/tickets/pictures/{PICTURE}/large"' in page.text
    found = re.search(r'<script type="application/ld\+json">(.*?)</script>', page.text)
    assert found
    event = json.loads(found[1])
    assert (event["@type"], event["name"]) == ("MusicEvent", "Nick Cave")
    assert event["startDate"] == "2036-12-12T20:00:00+01:00"
    assert event["location"] == {"@type": "Place", "name": "Astra", "address": "Berlin"}
    assert (event["offers"]["price"], event["offers"]["priceCurrency"]) == ("90.00", "USD")
    assert event["offers"]["availability"].endswith("InStock")


async def test_a_hostile_title_stays_text_for_machines_too(browser: Browser, market: Market) -> None:
    title = "</script><script>alert(1)</script>"
    ticket = market.ticket(market.user("seller@example.com")[0], title, starts_at=SOON)
    page = await browser.get(f"/tickets/{ticket.id}")
    assert "<script>alert" not in page.text
