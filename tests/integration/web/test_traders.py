"""Traders state who they are, and buyers read it before they buy."""

import pytest

from contracts.api import TraderDetails, User
from tests.integration.web.page_client import PageClient, text_of
from tests.support.fakes.market import Market

FORM = {
    "trader": "true",
    "traderName": "Ada <Tickets> GmbH",
    "traderAddress": "Mühlenweg 1\n50667 Köln",
    "traderEmail": "info@example.com",
    "traderPhone": "+49 221 555010",
    "traderRegister": "",
}


@pytest.fixture
def seller(market: Market) -> User:
    return market.user("seller@example.com")[0]


async def test_a_trader_states_the_details_and_changes_them(
    client: PageClient, market: Market, seller: User
) -> None:
    client.sign_in_as(market.token_of(seller.id))
    answer = await client.submit("/account/trader", target=None, follow=False, **FORM)
    assert answer.headers["location"] == "/account?trader"
    assert market.trader_details[seller.id].name == "Ada <Tickets> GmbH"
    page = (await client.get("/account")).text
    assert 'value="Ada &lt;Tickets&gt; GmbH"' in page
    assert "50667 Köln</textarea>" in page
    await client.submit("/account/trader", trader="false")
    assert seller.id not in market.trader_details


async def test_missing_details_are_named_and_nothing_typed_is_lost(
    client: PageClient, market: Market, seller: User
) -> None:
    client.sign_in_as(market.token_of(seller.id))
    answer = await client.submit(
        "/account/trader",
        target=None,
        follow=False,
        **{**FORM, "traderPhone": "call me", "traderAddress": ""},
    )
    assert answer.status_code == 422
    text = text_of(answer)
    assert "Enter a phone number" in text
    assert "Enter the address" in text
    assert "Enter the name" not in text
    assert 'value="call me"' in answer.text
    assert 'value="true" required checked' in answer.text
    assert market.traders == {}


async def test_buyers_read_who_a_trader_is_before_they_buy_and_before_they_pay(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    market.traders[seller.id] = True
    market.trader_details[seller.id] = TraderDetails(
        name="Ada <Tickets> GmbH",
        address="Mühlenweg 1\n50667 Köln",
        email="info@example.com",
        phone="+49 221 555010",
        register_entry="HRB 12345",
    )
    ticket = market.ticket(seller)
    order = market.order(buyer, ticket)
    market.change_ticket(ticket.id, status="available")
    for path in (f"/tickets/{ticket.id}", f"/orders/{order.id}"):
        page = (await client.get(path)).text
        for shown in (
            "Ada &lt;Tickets&gt; GmbH",
            "50667 Köln",
            "info@example.com",
            "+49 221 555010",
            "HRB 12345",
        ):
            assert shown in page, path


async def test_a_private_seller_shows_no_address(client: PageClient, market: Market, seller: User) -> None:
    market.traders[seller.id] = False
    page = (await client.get(f"/tickets/{market.ticket(seller).id}")).text
    assert "<address>" not in page
