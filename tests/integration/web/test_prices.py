"""What buyers read before they buy, and sellers before they set a price."""

import re
from datetime import timedelta
from typing import Any

import pytest

from contracts import guarantees
from contracts.api import User
from contracts.wire import now
from tests.integration.web.page_client import PageClient, text_of
from tests.support.fakes.market import Market

EVENT: dict[str, Any] = {
    "title": "Nick Cave",
    "startsAt": "2027-06-05T20:30",
    "timeZone": "Europe/Rome",
    "venue": "Arena",
    "city": "Verona",
}
TRADER = {
    "traderName": "Ada Tickets",
    "traderAddress": "Mill Lane 1, Cologne",
    "traderEmail": "info@example.com",
    "traderPhone": "+49 221 555010",
}
CAPACITIES = {
    None: "The seller hasn\u2019t said whether they sell privately or as a trader.",
    True: "The seller states to be a trader.",
    False: "The seller states to be a private seller.",
}


@pytest.fixture
def seller(market: Market) -> User:
    return market.user("seller@example.com")[0]


@pytest.mark.parametrize(("stated", "text"), CAPACITIES.items())
async def test_ticket_page_and_review_say_in_what_capacity_the_seller_sells(
    client: PageClient, market: Market, buyer: User, seller: User, stated: bool | None, text: str
) -> None:
    if stated is not None:
        market.traders[seller.id] = stated
    ticket = market.ticket(seller)
    assert text in text_of(await client.get(f"/tickets/{ticket.id}"))
    order = market.order(buyer, ticket)
    assert text in text_of(await client.get(f"/orders/{order.id}"))


async def test_the_review_shows_all_that_a_buyer_has_to_know_before_paying(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    ticket = market.ticket(
        seller, price="60.00", quantity=4, face_value="48.00", seat="Row 3", notes="From 18 years."
    )
    order = market.order(buyer, ticket)
    text = text_of(await client.get(f"/orders/{order.id}"))
    assert "Face value 4 \u00d7 $12.00 Price 4 \u00d7 $15.00 Fees for buyers None You pay $60.00" in text
    notes = "Restrictions and notes from the seller From 18 years."
    for said in ("Row 3", notes, "How you get the ticket", "You can report it until: 48 hours after"):
        assert said in text


async def test_a_listing_without_face_value_or_restrictions_is_labelled_so(
    client: PageClient, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller)
    text = text_of(await client.get(f"/tickets/{ticket.id}"))
    assert "Face value Not stated Price $20.00 Fees for buyers None You pay $20.00" in text
    assert "The seller mentions no restrictions." in text
    assert "$20.00 Face value not stated" in text_of(await client.get("/"))


async def test_a_seller_reads_what_a_sale_would_bring(
    client: PageClient, market: Market, buyer: User
) -> None:
    mine = market.ticket(buyer, price="19.99", face_value="20.00")
    text = text_of(await client.get(f"/tickets/{mine.id}"))
    assert "Face value $20.00 Price $19.99 Our fee None You receive $19.99" in text
    sold = market.ticket(buyer, status="sold")
    assert "You receive" not in text_of(await client.get(f"/tickets/{sold.id}"))


@pytest.mark.parametrize("delivery", guarantees.DELIVERY)
async def test_ticket_page_and_review_state_the_same_guarantee_as_how_it_works(
    client: PageClient, market: Market, buyer: User, seller: User, delivery: str
) -> None:
    statement = guarantees.DELIVERY[delivery].what % guarantees.numbers(24, 72)  # type: ignore[index]
    statement = statement.replace("'", "\u2019")
    ticket = market.ticket(seller, delivery=delivery)
    order = market.order(buyer, ticket)
    market.change_ticket(ticket.id, status="available")
    for path in (f"/tickets/{ticket.id}", f"/orders/{order.id}", guarantees.PAGE):
        assert statement in (await client.get(path)).text, path


async def test_how_it_works_is_linked_from_every_page_and_names_all_caps(client: PageClient) -> None:
    assert f'<a href="{guarantees.PAGE}">How it works</a>' in (await client.get("/")).text
    text = text_of(await client.get(guarantees.PAGE))
    assert "may cost at most 20 % more" in text
    assert "0 % Belgium, France, Norway, Portugal" in text
    assert "10 % Australia" in text
    assert "%(" not in text[text.index("How it works Sellers list") :]


async def test_the_form_explains_the_cap_before_and_after_an_error(
    client: PageClient, market: Market
) -> None:
    _, token = market.user("seller@example.com")
    client.sign_in_as(token)
    form = (await client.get("/sell")).text
    assert '<details class="price-cap" id="price-cap">' in form
    assert "Belgium, France, Norway, Portugal" in form
    assert '<p class="hint" id="price-hint">For all tickets together</p>' in form
    market.refuses_price = "Price must be at most $12.00: the limit in the event's country, Italy, is 5 %"
    refused = await client.submit("/sell", follow=False, price="20", faceValue="10", **EVENT)
    assert refused.status_code == 422
    assert "Price must be at most $12.00" in text_of(refused)
    assert 'aria-describedby="price-error' in refused.text
    assert '<details class="price-cap" id="price-cap" open>' in refused.text
    assert 'value="10"' in refused.text


async def test_without_a_script_the_form_says_that_utc_is_only_the_default(
    client: PageClient, market: Market
) -> None:
    user, token = market.user("seller@example.com")
    client.sign_in_as(token)
    says_so = '<noscript><p class="hint">UTC counts until you choose'
    assert says_so in (await client.get("/sell")).text
    market.ticket(user, time_zone="Europe/Berlin", starts_at=now() + timedelta(days=9))
    assert says_so not in (await client.get("/sell")).text


async def test_a_seller_states_on_the_account_page_how_they_sell(client: PageClient, market: Market) -> None:
    user, token = market.user("seller@example.com")
    client.sign_in_as(token)
    assert not re.search('name="trader"[^>]* checked', (await client.get("/account")).text)
    for stated, value in ((True, "true"), (False, "false")):
        response = await client.submit("/account/trader", target=None, follow=False, trader=value, **TRADER)
        assert response.headers["location"] == "/account?trader"
        assert market.traders == {user.id: stated}
        assert f'value="{value}" required checked' in (await client.get("/account?trader")).text
    assert (await client.submit("/account/trader")).headers["location"] == "/account"
    assert market.traders == {user.id: False}
