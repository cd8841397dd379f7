"""Choosing an event while listing a ticket, or describing one."""

import pytest

from contracts.api import Show, User
from tests.integration.web.page_client import PageClient, text_of
from tests.support.fakes.market import Market

EVENT = {"title": "Nick Cave", "startsAt": "2036-12-12T20:00", "venue": "Tempodrom", "city": "Berlin"}


@pytest.fixture(autouse=True)
def seller(client: PageClient, market: Market) -> User:
    user, token = market.user("seller@example.com")
    client.sign_in_as(token)
    return user


@pytest.fixture
def show(market: Market) -> Show:
    return market.show()


async def test_the_search_button_shows_matching_events_without_javascript(
    client: PageClient, market: Market, show: Show
) -> None:
    other = market.show("Hamlet")
    page = await client.get("/sell?q=nick")
    assert f'href="/sell?event={show.id}"' in page.text
    assert other.id not in page.text
    assert 'value="nick"' in page.text


async def test_a_search_without_a_match_says_so(client: PageClient) -> None:
    assert "No event found. Describe it below." in text_of(await client.get("/sell?q=nobody"))


async def test_events_are_suggested_while_the_seller_types(client: PageClient, show: Show) -> None:
    fragment = await client.get("/sell/events?q=cave", target="found")
    assert f'href="/sell?event={show.id}"' in fragment.text
    assert "<html" not in fragment.text
    plain = await client.get("/sell/events?q=nick cave")
    assert plain.headers["location"] == "/sell?q=nick+cave"


async def test_a_chosen_event_replaces_the_fields_that_describe_one(client: PageClient, show: Show) -> None:
    page = await client.get(f"/sell?event={show.id}")
    assert f'name="showId" value="{show.id}"' in page.text
    shown = "Nick Cave Fri, Dec 12, 2036, 8:00 PM (Berlin time) Tempodrom, Berlin Choose another event"
    assert shown in text_of(page)
    for name in ("title", "startsAt", "venue", "city", "country", "category"):
        assert f'name="{name}"' not in page.text


async def test_a_ticket_for_a_chosen_event_is_listed_with_its_title(
    client: PageClient, market: Market, show: Show
) -> None:
    await client.submit("/sell", showId=show.id, price="20", quantity="2", seat="Row 4")
    [ticket] = market.tickets.values()
    assert (ticket.title, ticket.show_id, ticket.quantity, ticket.seat) == ("Nick Cave", show.id, 2, "Row 4")


async def test_an_invalid_listing_keeps_the_chosen_event(
    client: PageClient, market: Market, show: Show
) -> None:
    page = await client.submit("/sell", showId=show.id, price="free")
    assert page.status_code == 422
    assert f'name="showId" value="{show.id}"' in page.text
    assert '<a href="#price">' in page.text
    assert '<a href="#startsAt">' not in page.text
    assert market.tickets == {}


async def test_an_event_that_does_not_exist_is_not_chosen(client: PageClient, market: Market) -> None:
    assert "showId" not in (await client.get("/sell?event=nonsense")).text
    page = await client.submit("/sell", showId="c" * 24, price="20")
    assert page.status_code == 422
    assert "The event that you chose" in text_of(page)
    assert market.tickets == {}


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("startsAt", "Enter a date and a time"),
        ("venue", "Enter the venue"),
        ("city", "Enter the city"),
    ],
)
async def test_the_form_requires_date_venue_and_city(
    client: PageClient, market: Market, missing: str, message: str
) -> None:
    page = await client.submit("/sell", follow=False, **{**EVENT, "price": "20", missing: " "})
    assert page.status_code == 422
    assert f'<a href="#{missing}">{message}</a>' in page.text
    assert market.tickets == {}


async def test_all_errors_are_shown_at_once(client: PageClient) -> None:
    page = await client.submit("/sell", title="", price="free")
    for name in ("title", "price", "startsAt", "venue", "city"):
        assert f'<a href="#{name}">' in page.text


async def test_the_country_follows_the_time_zone_unless_another_is_chosen(
    client: PageClient, market: Market
) -> None:
    await client.submit("/sell", follow=False, **EVENT, price="20", timeZone="Europe/Berlin", country="AT")
    [ticket] = market.tickets.values()
    assert ticket.country == "AT"
    form = await client.get(f"/tickets/{ticket.id}/edit")
    assert '<option value="AT" selected>Austria</option>' in form.text
    market.change_ticket(ticket.id, country="DE")
    form = await client.get(f"/tickets/{ticket.id}/edit")
    assert '<option value="" selected>That of the time zone</option>' in form.text
