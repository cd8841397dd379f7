"""A seller's money: the page of payouts, and its states in the list of sales."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.api import Payout, User
from tests.integration.web.page_client import PageClient, text_of
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services

DUE = datetime(2027, 6, 15, 18, 30, tzinfo=UTC)


@pytest.fixture
def seller(client: PageClient, market: Market) -> User:
    user, token = market.user("seller@example.com")
    client.sign_in_as(token)
    return user


def sold(market: Market, seller: User, **special: Any) -> Payout:
    usual = {
        "order_id": market.new_id(),
        "title": "Low Roar",
        "state": "held",
        "amount": 3000,
        "fee": 150,
        "refunded_amount": 0,
        "net": 2850,
        "paid_out": 0,
        "held": 2850,
        "owed": 0,
        "settled_amount": 0,
        "currency": "usd",
        "due_at": DUE,
    }
    payout = Payout.model_validate({**usual, **special})
    market.payouts.append((seller.id, payout))
    return payout


async def test_the_page_shows_sums_and_where_the_money_of_each_sale_is(
    client: PageClient, market: Market, seller: User
) -> None:
    sold(market, seller)
    sold(market, seller, state="due", held=2850)
    sold(market, seller, state="paid", held=0, paid_out=2850)
    sold(market, seller, state="frozen", title="Hamlet")
    text = text_of(await client.get("/account/payouts"))
    assert "Sold $120.00 Held $57.00 On its way $28.50 Paid $28.50 Our fees $6.00" in text
    assert "Held until Tue, Jun 15, 2027" in text
    assert "On its way to your account at Stripe" in text
    assert "Paid to your account at Stripe" in text
    assert "Frozen: the buyer reported a problem, or may get the money back" in text
    assert "Buyer paid: $30.00" in text
    assert "Our fee: $1.50" in text


async def test_money_that_waits_for_an_account_isnt_on_its_way(
    client: PageClient, market: Market, seller: User
) -> None:
    sold(market, seller, state="due", held=2850, needs_account=True)
    page = await client.get("/account/payouts")
    row = text_of(page).partition("Your sales")[2]
    assert "Due: set up your payouts to get it" in row
    assert "On its way" not in row
    assert "On its way $0.00 Paid $0.00 Due $28.50" in text_of(page)


async def test_sales_of_one_event_can_be_told_apart_and_have_the_time_of_the_venue(
    client: PageClient, market: Market, seller: User
) -> None:
    tickets = [market.ticket(seller, "Low Roar") for _ in range(2)]
    about = {"starts_at": DUE - timedelta(days=3), "time_zone": "America/New_York"}
    sold(market, seller, code="7K3WPD9RXE", ticket_id=tickets[0].id, seat="Row 4", **about)
    sold(market, seller, code="2M8WPD9RXA", ticket_id=tickets[1].id, seat="Row 5", **about)
    page = await client.get("/account/payouts")
    text = " ".join(text_of(page).replace("\u202f", " ").split())
    for seat, number in (("Row 4", "7K3WPD9RXE"), ("Row 5", "2M8WPD9RXA")):
        assert f"2:30 PM (New York time) {seat} Order {number} Held until Tue, Jun 15, 2027" in text
    assert all(f'href="/tickets/{ticket.id}"' in page.text for ticket in tickets)


async def test_a_sale_of_an_unknown_event_has_the_time_in_utc(
    client: PageClient, market: Market, seller: User
) -> None:
    sold(market, seller)
    text = " ".join(text_of(await client.get("/account/payouts")).replace("\u202f", " ").split())
    assert "Held until Tue, Jun 15, 2027, 6:30 PM UTC" in text


async def test_the_page_says_the_fee_and_the_date_before_anything_is_sold(
    client: PageClient, seller: User
) -> None:
    text = text_of(await client.get("/account/payouts"))
    assert "We keep 5 % of each sale." in text
    assert "You are paid 3 days after the event begins" in text
    assert "Nothing sold yet." in text


async def test_a_seller_continues_at_stripe(client: PageClient, market: Market, seller: User) -> None:
    page = await client.submit("/account/payouts", country="US")
    assert page.status_code == 200
    assert f'href="{market.onboarding_page}"' in page.text
    assert "Continue at Stripe" in text_of(page)


async def test_who_signed_in_long_ago_signs_in_again_before_payouts_are_set_up(
    client: PageClient, market: Market, seller: User
) -> None:
    market.signed_in_long_ago = True
    page = await client.submit("/account/payouts", country="US")
    assert page.status_code == 403
    assert "sign in again before you change how you are paid" in text_of(page)
    assert market.onboarding_page not in page.text
    assert 'href="/signin?next=/account/payouts&amp;again"' in page.text
    sign_in = await client.get("/signin?next=/account/payouts&again")
    assert sign_in.status_code == 200
    assert 'name="password"' in sign_in.text


async def test_an_unexpected_address_of_stripes_page_isnt_shown_and_the_seller_is_told(
    client: PageClient, market: Market, seller: User
) -> None:
    market.onboarding_page = "https://evil.example/connect"
    page = await client.submit("/account/payouts", country="US")
    assert page.status_code == 503
    assert "evil.example" not in page.text
    assert "send you to Stripe now: the link that we got leads elsewhere" in text_of(page)
    assert "Continue at Stripe" not in text_of(page)
    assert 'role="alert"' in page.text


async def test_a_country_outside_the_region_is_refused_with_an_explanation(
    client: PageClient, seller: User
) -> None:
    page = await client.submit("/account/payouts", country="BR")
    assert page.status_code == 422
    assert "pay sellers in BR" in text_of(page)


@pytest.mark.parametrize(
    ("state", "text", "has_button"),
    [
        ("none", "Tell Stripe", True),
        ("incomplete", "Stripe still needs some of your details", True),
        ("checking", "Stripe is checking your details", False),
        ("active", "You are set up", True),
        ("restricted", "Stripe needs more of your details", True),
        ("rejected", "Your sales stay yours", False),
    ],
)
async def test_the_page_says_what_the_account_needs(
    client: PageClient, market: Market, seller: User, state: str, text: str, has_button: bool
) -> None:
    market.payout_account = state
    page = await client.get("/account/payouts")
    assert text in text_of(page)
    assert ('action="/account/payouts"' in page.text) == has_button


async def test_guests_sign_in_first(client: PageClient) -> None:
    page = await client.get("/account/payouts")
    assert (page.status_code, page.headers["location"]) == (303, "/signin?next=/account/payouts")


async def test_an_unknown_cursor_leads_to_the_first_page(client: PageClient, seller: User) -> None:
    page = await client.get("/account/payouts?after=nowhere")
    assert (page.status_code, page.headers["location"]) == (303, "/account/payouts")


async def test_the_list_of_sales_shows_where_the_money_is(
    client: PageClient, market: Market, seller: User
) -> None:
    payout = sold(market, seller)
    market.ticket(seller, "Low Roar", status="sold", price="30", order_id=payout.order_id)
    text = text_of(await client.get("/listings"))
    assert "Sold $30.00 Held $28.50 On its way $0.00 Paid $0.00" in text
    assert "$28.50 · Held until Tue, Jun 15, 2027" in text
    assert "Earned" not in text


async def test_the_list_of_sales_works_without_payouts(
    client: PageClient, market: Market, services: Services, seller: User
) -> None:
    market.ticket(seller, "Low Roar", status="sold", price="30", order_id=market.new_id())
    await services.stop("payouts")
    page = await client.get("/listings")
    assert page.status_code == 200
    assert "1 sold" in text_of(page)
