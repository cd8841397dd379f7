"""The page and the card of a ticket: details, other tickets, and metadata for search engines."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.api import Ticket
from tests.integration.web.page_client import PageClient, text_of
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services

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


async def test_the_ticket_page_shows_all_details(client: PageClient, ticket: Ticket) -> None:
    page = await client.get(f"/tickets/{ticket.id}")
    text = text_of(page)
    for said in (
        "Fri, Dec 12, 2036, 8:00 PM (Berlin time)",
        "Category Music Seat or area Row 3, seats 4 and 5 Quantity 2 tickets together",
        "Face value 2 \u00d7 $50.00 Price 2 \u00d7 $45.00 Fees for buyers None You pay $90.00",
        "Paper tickets.",
        "&lt;b&gt;By post",
    ):
        assert said in text
    assert f'src="/api/tickets/pictures/{PICTURE}/large"' in page.text
    assert 'width="1280" height="720" alt="Picture of Nick Cave"' in page.text


async def test_a_card_shows_the_local_time_of_the_venue_and_a_small_picture(
    client: PageClient, ticket: Ticket
) -> None:
    card = await client.get(f"/tickets/{ticket.id}/card")
    assert "8:00 PM" in text_of(card)
    assert "2 \u00d7 $45.00 $90.00 in total Face value $50.00 each" in text_of(card)
    assert f'src="/api/tickets/pictures/{PICTURE}/small" width="480" height="270"' in card.text


async def test_missing_details_are_left_out_of_the_page(
    client: PageClient, market: Market, ticket: Ticket
) -> None:
    ticket_without_details = market.ticket(market.user("other@example.com")[0])
    page = await client.get(f"/tickets/{ticket_without_details.id}")
    for absent in ("face value", "together", "<img", "From the seller", "ld+json", "Past"):
        assert absent not in page.text


async def test_the_ticket_page_shows_when_the_seller_signed_up_and_the_number_of_sales(
    client: PageClient, market: Market, ticket: Ticket
) -> None:
    seller = market.users[market.token_of(ticket.user_id)][0]
    assert "Seller since December 2025 · No sales yet" in text_of(await client.get(f"/tickets/{ticket.id}"))
    market.ticket(seller, status="sold")
    assert "Seller since December 2025 · 1 sale" in text_of(await client.get(f"/tickets/{ticket.id}"))


@pytest.mark.parametrize("status", ["available", "reserved", "sold", "withdrawn"])
async def test_the_page_of_an_unavailable_ticket_shows_four_other_tickets(
    client: PageClient, market: Market, ticket: Ticket, status: str
) -> None:
    seller = market.users[market.token_of(ticket.user_id)][0]
    for number in range(6):
        market.ticket(seller, f"Another {number}", starts_at=SOON)
    market.change_ticket(ticket.id, status=status)
    page = await client.get(f"/tickets/{ticket.id}")
    assert len(re.findall(">Another ", page.text)) == (0 if status == "available" else 4)


@pytest.mark.parametrize("viewer", ["seller", "other"])
async def test_a_ticket_for_a_past_event_is_marked_and_cannot_be_bought(
    client: PageClient, market: Market, viewer: str
) -> None:
    seller, token = market.user("seller@example.com")
    client.sign_in_as(token if viewer == "seller" else market.user("other@example.com")[1])
    ticket = market.ticket(seller, starts_at=LONG_AGO)
    text = text_of(await client.get(f"/tickets/{ticket.id}/offer"))
    assert "Past" in text
    assert "On sale" not in text
    assert (
        "your ticket is no longer on sale" if viewer == "seller" else "this ticket is no longer on sale"
    ) in text
    assert " Buy " not in text


@pytest.mark.parametrize(("seconds", "has_countdown"), [(125, True), (-1, False), (None, False)])
async def test_a_reserved_ticket_has_a_countdown_if_the_end_of_the_hold_is_known(
    client: PageClient,
    market: Market,
    ticket: Ticket,
    stopped_clock: datetime,
    seconds: int | None,
    has_countdown: bool,
) -> None:
    until = None if seconds is None else stopped_clock + timedelta(seconds=seconds)
    market.change_ticket(ticket.id, status="reserved", order_id="f" * 24, held_until=until)
    page = await client.get(f"/tickets/{ticket.id}")
    assert ("It may become available in at most 30 minutes" in text_of(page)) is has_countdown
    deadline = f'data-deadline="{int(until.timestamp() * 1000)}"' if until else "data-deadline"
    assert (deadline in page.text) is has_countdown


async def test_the_seller_sees_the_remaining_hold_time_and_a_refund(
    client: PageClient, market: Market, ticket: Ticket, stopped_clock: datetime
) -> None:
    client.sign_in_as(market.token_of(ticket.user_id))
    held_until = stopped_clock + timedelta(seconds=125)
    market.change_ticket(ticket.id, status="reserved", held_until=held_until)
    assert "has 2:05" in text_of(await client.get(f"/tickets/{ticket.id}"))
    market.change_ticket(ticket.id, status="sold", refunded=True)
    assert "the buyer was refunded" in text_of(await client.get(f"/tickets/{ticket.id}"))


@pytest.mark.parametrize(
    ("status", "viewer", "is_sticky"),
    [("available", "other", True), ("available", "seller", False), ("sold", "other", False)],
)
async def test_the_buy_button_is_sticky_only_for_a_user_who_can_buy(
    client: PageClient, market: Market, ticket: Ticket, status: str, viewer: str, is_sticky: bool
) -> None:
    _, other = market.user("other@example.com")
    client.sign_in_as(market.token_of(ticket.user_id) if viewer == "seller" else other)
    market.change_ticket(ticket.id, status=status)
    page = await client.get(f"/tickets/{ticket.id}")
    assert ('class="offer-purchase sticky-bar"' in page.text) is is_sticky
    assert ("The price is final" in page.text) is is_sticky


async def test_the_ticket_page_is_shown_while_the_auth_service_is_down(
    client: PageClient, services: Services, ticket: Ticket
) -> None:
    await services.stop("auth")
    text = text_of(await client.get(f"/tickets/{ticket.id}"))
    assert "No sales yet" in text
    assert "Nick Cave" in text


async def test_the_ticket_page_has_link_preview_metadata_and_structured_data(
    client: PageClient, ticket: Ticket
) -> None:
    page = await client.get(f"/tickets/{ticket.id}?from=mail")
    address = f"http://localhost:3500/tickets/{ticket.id}"
    assert f'<link rel="canonical" href="{address}">' in page.text
    assert '<meta property="og:title" content="Nick Cave">' in page.text
    assert (
        'content="Fri, Dec 12, 2036, 8:00\u202fPM (Berlin time), Astra, Berlin, 2 \u00d7 $45.00"' in page.text
    )
    assert f'og:image" content="{address}/preview.jpg?v=' in page.text
    found = re.search(r'<script type="application/ld\+json">(.*?)</script>', page.text)
    assert found
    event = json.loads(found[1])
    assert (event["@type"], event["name"]) == ("MusicEvent", "Nick Cave")
    assert event["startDate"] == "2036-12-12T20:00:00+01:00"
    assert event["location"] == {
        "@type": "Place",
        "name": "Astra",
        "address": {"@type": "PostalAddress", "addressLocality": "Berlin"},
    }
    assert event["image"].endswith(f"/api/tickets/pictures/{PICTURE}/large")
    assert (event["offers"]["price"], event["offers"]["priceCurrency"]) == ("90.00", "USD")
    assert event["offers"]["availability"].endswith("InStock")


async def test_a_title_with_html_is_escaped_in_structured_data(client: PageClient, market: Market) -> None:
    title = "</script><script>alert(1)</script>"
    ticket = market.ticket(market.user("seller@example.com")[0], title, starts_at=SOON)
    page = await client.get(f"/tickets/{ticket.id}")
    assert "<script>alert" not in page.text
