"""Traders state who they are, and buyers read it before they buy."""

from datetime import timedelta

import pytest
from aiohttp import web

from contracts.api import TraderDetails, User
from contracts.identity import Identity
from contracts.wire import now
from tests.integration.web.page_client import PageClient, text_of
from tests.support.fakes.market import SIGNER, Market
from tests.support.fakes.services import Services

FORM = {
    "trader": "true",
    "traderName": "Ada <Tickets> GmbH",
    "traderAddress": "Mühlenweg 1\n50667 Köln",
    "traderEmail": "info@example.com",
    "traderPhone": "+49 221 555010",
    "traderRegister": "",
}
DETAILS = TraderDetails(
    name="Ada <Tickets> GmbH",
    address="Mühlenweg 1\n50667 Köln",
    email="info@example.com",
    phone="+49 221 555010",
    register_entry="HRB 12345",
)


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
    market.trader_details[seller.id] = DETAILS
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


MISSING = "state who you are"


async def test_a_trader_who_has_not_said_who_they_are_is_led_to_the_account_page(
    client: PageClient, market: Market, seller: User
) -> None:
    market.ticket(seller)
    client.sign_in_as(market.token_of(seller.id))
    for stated, details, is_asked in ((True, None, True), (False, None, False), (True, DETAILS, False)):
        market.traders[seller.id] = stated
        if details is not None:
            market.trader_details[seller.id] = details
        for path in ("/listings", "/account"):
            page = await client.get(path)
            assert (MISSING in text_of(page)) is is_asked, path
    identity = Identity(id=seller.id, email=seller.email, session_id=market.new_id(), unidentified=True)
    token = SIGNER.sign(identity, now() + timedelta(hours=1))
    market.users[token] = (seller, "")
    client.sign_in_as(token)
    assert (await client.get("/sell")).headers["location"] == "/account#trader-form"


async def test_a_buyer_is_told_that_nobody_knows_who_the_seller_is_before_paying(
    client: PageClient, market: Market, services: Services, buyer: User, seller: User
) -> None:
    unknown, unstated = "We can\u2019t show now who the seller is", "You don\u2019t know with whom you deal"
    ticket = market.ticket(seller)
    order = market.order(buyer, ticket)
    market.traders[seller.id] = True
    words = text_of(await client.get(f"/orders/{order.id}"))
    assert (unknown in words, unstated in words) == (False, True)
    market.trader_details[seller.id] = DETAILS
    words = text_of(await client.get(f"/orders/{order.id}"))
    assert (unknown in words, unstated in words) == (False, False)

    async def fail(_: web.Request) -> web.Response:
        return web.Response(status=503)

    await services.replace(
        "auth", [web.get("/api/users/{id}", fail), web.get("/.well-known/jwks.json", keys)]
    )
    page = await client.get(f"/orders/{order.id}")
    assert unknown in text_of(page)
    assert page.status_code == 200


async def keys(_: web.Request) -> web.Response:
    return web.json_response(SIGNER.jwks)
