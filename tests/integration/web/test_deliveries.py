"""What buyer and seller see of a delivery: its state, the next step, and what the buyer takes away."""

import html
import re
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from contracts.api import Order, User
from contracts.wire import now
from tests.integration.web.page_client import PageClient, text_of
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services

STARTS_AT = datetime.fromisoformat("2031-12-12T20:00:00Z")
BY = datetime.fromisoformat("2031-12-01T18:00:00Z")
AT = datetime.fromisoformat("2031-11-30T18:00:00Z")


@pytest.fixture
def seller(market: Market) -> User:
    return market.user("seller@example.com")[0]


def bought(
    market: Market, buyer: User, seller: User, *, how: str = "seller", note: str | None = None, **state: Any
) -> Order:
    """A paid order of a ticket that is delivered like this."""
    ticket = market.ticket(
        seller,
        starts_at=STARTS_AT,
        venue="Harpa & Hall",
        city="Reykjavik",
        seat="Row 4",
        delivery=how,
        private_note=note,
    )
    order = market.order(buyer, ticket, status="complete", **state)
    market.payment(order, "captured")
    return order


CASES: dict[str, tuple[dict[str, Any], str, bool, bool]] = {
    "files-due": (
        {"how": "promised", "delivery": "due", "deliver_by": BY},
        "uploads your ticket by",
        False,
        False,
    ),
    "files": (
        {"how": "promised", "delivery": "delivered", "delivered_at": AT},
        "Your ticket is ready. It was delivered on",
        True,
        True,
    ),
    "files-confirmed": (
        {"how": "instant", "delivery": "confirmed", "delivered_at": AT, "confirmed_at": AT},
        "has counted as confirmed since",
        True,
        False,
    ),
    "handover-due": (
        {"delivery": "due", "deliver_by": STARTS_AT},
        "hands the ticket over to you",
        False,
        True,
    ),
    "overdue": (
        {"delivery": "due", "deliver_by": STARTS_AT, "overdue_at": STARTS_AT},
        "told us that you have the ticket",
        False,
        True,
    ),
    "handed-over": ({"delivery": "delivered", "delivered_at": AT}, "They told us on", False, True),
    "confirmed": (
        {"delivery": "confirmed", "delivered_at": AT, "confirmed_at": AT},
        "has counted as confirmed since",
        False,
        False,
    ),
}


@pytest.mark.parametrize(("how", "is_ready"), [("instant", True), ("seller", False)])
async def test_a_buyer_who_confirmed_the_delivery_reads_so(
    client: PageClient, market: Market, buyer: User, seller: User, how: str, is_ready: bool
) -> None:
    state: dict[str, Any] = {
        "delivery": "confirmed",
        "delivered_at": AT,
        "confirmed_at": AT,
        "confirmed_by_buyer": True,
    }
    order = bought(market, buyer, seller, how=how, **state)
    text = text_of(await client.get(f"/orders/{order.id}"))
    assert "You confirmed the delivery on" in text
    assert "counted as confirmed" not in text
    assert ("Your ticket is ready." in text) == is_ready


@pytest.mark.parametrize("name", CASES)
async def test_an_order_says_how_far_its_delivery_is(
    client: PageClient, market: Market, buyer: User, seller: User, name: str
) -> None:
    state, text, can_download, can_confirm = CASES[name]
    order = bought(market, buyer, seller, **state)
    page = await client.get(f"/orders/{order.id}")
    assert text in text_of(page)
    assert f'data-delivery="{name}"' in page.text
    assert (f'href="/tickets/{order.ticket.id}/files"' in page.text) == can_download
    assert ("I received my ticket" in text_of(page)) == can_confirm
    assert f"order:{order.id}" in page.text  # so that the page changes live


async def test_an_order_from_before_deliveries_says_nothing_about_one(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    order = bought(market, buyer, seller)
    assert "data-delivery" not in (await client.get(f"/orders/{order.id}")).text


async def test_the_buyer_confirms_to_have_the_ticket(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    order = bought(market, buyer, seller, delivery="delivered", delivered_at=AT)
    answer = await client.submit(f"/orders/{order.id}/confirmation")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/orders/{order.id}")
    assert market.orders[order.id].delivery == "confirmed"


async def test_a_ticket_that_isnt_there_yet_cant_be_confirmed(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    order = bought(market, buyer, seller, how="promised", delivery="due", deliver_by=BY)
    answer = await client.submit(f"/orders/{order.id}/confirmation")
    assert answer.status_code == 409
    assert "The ticket hasn't been delivered yet" in html.unescape(text_of(answer))


@pytest.mark.parametrize(
    ("payment", "status", "text"),
    [
        ("captured", "complete", "so we are refunding $20.00"),
        ("refunding", "complete", "so we are refunding $20.00"),
        ("refunded", "refunded", "We refunded $20.00."),
        ("voided", "complete", "been charged."),
    ],
)
async def test_a_buyer_whose_ticket_didnt_arrive_reads_why_the_money_comes_back(
    client: PageClient, market: Market, buyer: User, seller: User, payment: str, status: str, text: str
) -> None:
    order = bought(market, buyer, seller, how="promised", delivery="failed", deliver_by=BY, overdue_at=BY)
    market.change_order(order.id, status=status)
    market.payment(order, payment)
    page = text_of(await client.get(f"/orders/{order.id}"))
    assert text in page
    assert "upload the ticket" in page
    assert "still yours" not in page
    assert "Pay $20.00" not in page


# --- What the buyer takes away ---


async def test_the_calendar_file_has_the_event_with_its_place(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    order = bought(market, buyer, seller)
    page = await client.get(f"/orders/{order.id}")
    assert f'href="/orders/{order.id}/calendar.ics"' in page.text
    answer = await client.get(f"/orders/{order.id}/calendar.ics")
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="event.ics"'
    lines = answer.text.replace("\r\n ", "").split("\r\n")
    assert "DTSTART:20311212T200000Z" in lines
    assert "LOCATION:Harpa & Hall\\, Reykjavik" in lines
    assert any(line.startswith(f"UID:{order.id}@") for line in lines)


async def test_an_event_without_a_date_has_no_calendar_file(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    order = market.order(buyer, market.ticket(seller), status="complete")
    assert "calendar.ics" not in (await client.get(f"/orders/{order.id}")).text
    assert (await client.get(f"/orders/{order.id}/calendar.ics")).status_code == 404


class Addresses(HTMLParser):
    """Collects what a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attrs if name in ("src", "srcset")]
        if tag in ("link", "script", "iframe", "object"):
            self.loaded.append(tag)


async def test_the_offline_copy_has_all_details_and_loads_nothing(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    order = bought(market, buyer, seller, note="Code <b>42</b>", delivery="due", deliver_by=BY)
    answer = await client.get(f"/orders/{order.id}/copy")
    assert answer.headers["content-type"].startswith("text/html")
    disposition = answer.headers["content-disposition"]
    assert disposition == f'attachment; filename="stagedoor-{order.code}.html"'
    assert answer.headers["cache-control"] == "no-store"
    text = html.unescape(text_of(answer))
    for part in (str(order.code), "Dec 12, 2031", "Harpa & Hall", "Row 4", "$20.00", "Code <b>42</b>"):
        assert part in text
    parser = Addresses()
    parser.feed(answer.text)
    assert parser.loaded == []


@pytest.mark.parametrize("path", ["calendar.ics", "copy"])
async def test_what_isnt_paid_or_anothers_cant_be_taken_away(
    client: PageClient, market: Market, buyer: User, seller: User, path: str
) -> None:
    unpaid = market.order(buyer, market.ticket(seller, starts_at=STARTS_AT))
    assert (await client.get(f"/orders/{unpaid.id}/{path}")).status_code == 404
    others = bought(market, market.user("other@example.com")[0], seller)
    assert (await client.get(f"/orders/{others.id}/{path}")).status_code == 403
    client.sign_in_as("")
    answer = await client.get(f"/orders/{unpaid.id}/{path}")
    assert answer.headers["location"] == f"/signin?next=/orders/{unpaid.id}"


async def test_the_map_is_a_link_that_nothing_asks_for_before_a_click(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    order = bought(market, buyer, seller)
    page = await client.get(f"/orders/{order.id}")
    (address,) = re.findall(r'"(https://www.openstreetmap[^"]*)"', page.text)
    query = parse_qs(urlsplit(address.replace("&amp;", "&")).query)
    assert query == {"query": ["Harpa & Hall, Reykjavik"]}
    assert 'rel="noreferrer"' in page.text


# --- The seller ---


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"how": "promised", "delivery": "due", "deliver_by": BY}, "Upload the ticket by Mon, Dec 1, 2031"),
        ({"delivery": "due", "deliver_by": STARTS_AT}, "Hand the ticket over before Fri, Dec 12, 2031"),
        (
            {"delivery": "due", "deliver_by": STARTS_AT, "overdue_at": STARTS_AT},
            "Does the buyer have the ticket?",
        ),
        ({"delivery": "delivered", "delivered_at": AT}, "Delivered on Sun, Nov 30, 2031"),
        ({"delivery": "confirmed", "delivered_at": AT, "confirmed_at": AT}, "Delivery confirmed on"),
        (
            {"how": "promised", "delivery": "failed", "deliver_by": BY, "overdue_at": BY},
            "Not uploaded by Mon, Dec 1, 2031",
        ),
    ],
)
async def test_a_seller_sees_what_is_due_and_by_when(
    client: PageClient, market: Market, buyer: User, seller: User, state: dict[str, Any], text: str
) -> None:
    bought(market, buyer, seller, **state)
    client.sign_in_as(market.token_of(seller.id))
    assert text in text_of(await client.get("/listings"))


async def test_a_seller_who_hands_a_ticket_over_is_led_to_the_private_note(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    order = bought(market, buyer, seller, delivery="due", deliver_by=STARTS_AT)
    client.sign_in_as(market.token_of(seller.id))
    page = await client.get("/listings")
    assert f'href="/tickets/{order.ticket.id}/private-note"' in page.text
    assert "only the buyer reads it" in text_of(page)
    market.change_order(order.id, delivery="delivered", delivered_at=AT)
    assert "private-note" not in (await client.get("/listings")).text


async def test_the_seller_says_to_have_handed_the_ticket_over(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    order = bought(market, buyer, seller, delivery="due")
    client.sign_in_as(market.token_of(seller.id))
    page = await client.get("/listings")
    assert f'action="/orders/{order.id}/handover"' in page.text
    answer = await client.submit(f"/orders/{order.id}/handover")
    assert (answer.status_code, answer.headers["location"]) == (303, "/listings?status=sold")
    assert market.orders[order.id].delivery == "delivered"
    assert "I handed it over" not in text_of(await client.get("/listings"))


async def test_the_sales_are_listed_while_the_orders_service_is_down(
    client: PageClient, market: Market, buyer: User, seller: User, services: Services
) -> None:
    bought(market, buyer, seller, delivery="due", deliver_by=now() + timedelta(days=1))
    client.sign_in_as(market.token_of(seller.id))
    await services.stop("orders")
    page = await client.get("/listings")
    assert page.status_code == 200
    assert "Hand the ticket over" not in text_of(page)


@pytest.mark.parametrize(
    ("state", "label", "enjoys"),
    [
        ({"delivery": None}, "Paid", True),
        ({"delivery": "due", "deliver_by": BY}, "Not delivered yet", False),
        ({"delivery": "due", "deliver_by": BY, "overdue_at": BY}, "Overdue", False),
        ({"delivery": "delivered", "delivered_at": AT}, "Delivered", True),
    ],
)
async def test_the_list_of_orders_says_whether_the_ticket_is_there(
    client: PageClient,
    market: Market,
    buyer: User,
    seller: User,
    state: dict[str, Any],
    label: str,
    enjoys: bool,
) -> None:
    order = bought(market, buyer, seller, **state)
    assert f">{label}</span>" in (await client.get("/orders")).text
    assert ("Enjoy the event!" in (await client.get(f"/orders/{order.id}")).text) is enjoys
