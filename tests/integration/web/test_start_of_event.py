"""The start of an event in the form to list or edit a ticket: a local time in a time zone."""

import gzip
import re
from typing import Any

import pytest

from contracts.api import User
from tests.integration.web.page_client import PageClient, text_of
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services

BERLIN: dict[str, Any] = {
    "venue": "Astra",
    "city": "Berlin",
    "title": "Nick Cave",
    "price": "20",
    "timeZone": "Europe/Berlin",
}
SKIPPED, TWICE = "2035-03-25T02:30", "2035-10-28T02:30"


@pytest.fixture
def seller(client: PageClient, market: Market) -> User:
    user, token = market.user("seller@example.com")
    client.sign_in_as(token)
    return user


def offsets(page: str) -> list[tuple[str, bool]]:
    """The choices between two moments: the offset of each, and whether it is chosen."""
    radios: list[str] = re.findall(r'<input type="radio" name="offset"[^>]*>', page)
    return [(radio.split('value="')[1].split('"')[0], " checked" in radio) for radio in radios]


async def test_a_time_that_clocks_skip_is_an_error_that_names_the_next_valid_time(
    client: PageClient, market: Market, seller: User
) -> None:
    response = await client.submit("/sell", **BERLIN, startsAt=SKIPPED)
    assert response.status_code == 422
    assert (
        "Clocks go forward and skip this time. The next valid time is "
        "Sun, Mar 25, 2035, 3:00 AM (Berlin time)"
    ) in text_of(response)
    assert 'id="startsAt-error"' in response.text
    assert f'value="{SKIPPED}"' in response.text
    assert market.tickets == {}
    assert (await client.submit("/sell", **BERLIN, startsAt="2035-03-25T03:00")).status_code == 303


async def test_a_ticket_is_not_moved_to_a_time_that_clocks_skip(
    client: PageClient, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller)
    response = await client.submit(f"/tickets/{ticket.id}/edit", **BERLIN, startsAt=SKIPPED)
    assert response.status_code == 422
    assert "Clocks go forward and skip this time" in text_of(response)
    assert market.tickets[ticket.id].starts_at is None


async def test_a_time_that_clocks_show_twice_has_to_be_chosen(
    client: PageClient, market: Market, seller: User
) -> None:
    response = await client.submit("/sell", **BERLIN, startsAt=TWICE)
    assert response.status_code == 422
    text = text_of(response)
    assert "Clocks go back at that time, so they show it twice" in text
    assert "The first 2:30 AM" in text
    assert "The second 2:30 AM" in text
    assert '<a href="#offset">Choose the first or the second time</a>' in response.text
    assert 'id="startsAt-error"' not in response.text
    assert offsets(response.text) == [("+02:00", False), ("+01:00", False)]
    assert market.tickets == {}


@pytest.mark.parametrize(
    ("offset", "utc"), [("+02:00", "2035-10-28T00:30:00+00:00"), ("+01:00", "2035-10-28T01:30:00+00:00")]
)
async def test_the_chosen_one_of_two_times_is_stored_and_shown_in_the_edit_form(
    client: PageClient, market: Market, seller: User, offset: str, utc: str
) -> None:
    await client.submit("/sell", **BERLIN, startsAt=TWICE, offset=offset)
    [ticket] = market.tickets.values()
    assert ticket.starts_at is not None
    assert ticket.starts_at.isoformat() == utc
    form = (await client.get(f"/tickets/{ticket.id}/edit")).text
    assert [value for value, is_chosen in offsets(form) if is_chosen] == [offset]
    saved: dict[str, Any] = {**BERLIN, "startsAt": TWICE, "offset": offset}
    await client.submit(f"/tickets/{ticket.id}/edit", **saved)
    assert market.tickets[ticket.id].starts_at == ticket.starts_at


async def test_a_choice_for_another_time_zone_is_not_reused(
    client: PageClient, market: Market, seller: User
) -> None:
    fields = BERLIN | {"timeZone": "America/New_York"}
    response = await client.submit("/sell", **fields, startsAt="2035-11-04T01:30", offset="+02:00")
    assert response.status_code == 422
    assert offsets(response.text) == [("-04:00", False), ("-05:00", False)]
    assert market.tickets == {}


async def test_other_errors_are_shown_together_with_the_choice(
    client: PageClient, market: Market, seller: User
) -> None:
    response = await client.submit("/sell", **BERLIN | {"price": "much"}, startsAt=TWICE)
    assert 'href="#price"' in response.text
    assert 'href="#offset"' in response.text


async def test_a_time_that_clocks_show_once_has_no_choice(
    client: PageClient, market: Market, seller: User
) -> None:
    await client.submit("/sell", **BERLIN, startsAt="2035-07-12T20:00", offset="+01:00")
    [ticket] = market.tickets.values()
    assert ticket.starts_at is not None
    assert ticket.starts_at.isoformat() == "2035-07-12T18:00:00+00:00"
    assert offsets((await client.get(f"/tickets/{ticket.id}/edit")).text) == []
    assert offsets((await client.get("/sell")).text) == []


async def test_a_time_with_an_offset_of_its_own_is_refused(
    client: PageClient, market: Market, seller: User
) -> None:
    response = await client.submit("/sell", **BERLIN, startsAt="2035-07-12T20:00-05:00")
    assert "Enter a date and a time" in text_of(response)
    assert market.tickets == {}


async def test_a_new_form_offers_every_zone_and_selects_that_of_the_previous_listing(
    client: PageClient, market: Market, seller: User
) -> None:
    first = (await client.get("/sell")).text
    assert '<option value="UTC" data-aliases=' in first
    assert '<option value="Asia/Kathmandu" data-aliases="Asia/Katmandu">Kathmandu</option>' in first
    assert '<optgroup label="Asia">' in first
    fields = BERLIN | {"timeZone": "Australia/Adelaide"}
    await client.submit("/sell", **fields, startsAt="2035-07-12T20:00")
    market.ticket(seller)  # a ticket without a date has no time zone
    next_form = (await client.get("/sell")).text
    assert '<option value="Australia/Adelaide" data-aliases="Australia/South" selected>' in next_form


async def test_the_form_is_shown_without_the_previous_zone_while_tickets_are_down(
    client: PageClient, services: Services, seller: User
) -> None:
    await services.stop("tickets")
    response = await client.get("/sell")
    assert response.status_code == 200
    assert '<option value="UTC"' in response.text


async def test_an_alias_that_the_api_stored_stays_selected_in_the_edit_form(
    client: PageClient, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller, starts_at="2035-07-12T20:00:00Z", time_zone="Asia/Katmandu")
    form = (await client.get(f"/tickets/{ticket.id}/edit")).text
    assert "<option selected>Asia/Katmandu</option>" in form


async def test_the_zones_take_a_few_kilobytes_of_the_compressed_form(
    client: PageClient, seller: User
) -> None:
    form = (await client.get("/sell")).text
    start, end = form.index('<select id="timeZone"'), form.index("</select>", form.index('id="timeZone"'))
    with_zones, without = (len(gzip.compress(text.encode(), 6)) for text in (form, form[:start] + form[end:]))
    assert with_zones - without < 8_000
