"""The page of an event, and what leads to it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.api import Show, User
from contracts.events import TicketUpdated
from tests.integration.web.page_client import PageClient, text_of
from tests.integration.web.shared_site import Site
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services
from web.live.buyers import Buyers
from web.live.changes import Change
from web.live.feed import change_of


@pytest.fixture
def seller(market: Market) -> User:
    return market.user("seller@example.com")[0]


@pytest.fixture
def show(market: Market) -> Show:
    return market.show(performers=["Nick Cave", "Warren Ellis"])


async def test_the_page_shows_tickets_by_area_and_number_with_prices_per_ticket(
    client: PageClient, market: Market, seller: User, show: Show
) -> None:
    of: dict[str, Any] = {"show_id": show.id, "starts_at": show.starts_at}
    market.ticket(seller, price="30.00", quantity=2, seat="Block A, row 4", **of)
    market.ticket(seller, price="40.00", seat="Balcony", **of)
    market.ticket(seller, price="5.00", seat="Balcony", status="sold", **of)
    market.ticket(seller, price="50.00", show_id=show.id)
    page = await client.get(f"/events/{show.id}")
    text = text_of(page)
    for said in (
        "Nick Cave, Warren Ellis",
        "Fri, Dec 12, 2036, 8:00 PM (Berlin time) Tempodrom, Berlin, Germany Music",
        "$15.00\u2013$50.00 per ticket 4 tickets on sale",
        "Block A · 2 tickets together Block A, row 4 Handed over by the seller $15.00 per ticket",
        "$15.00 per ticket $30.00 for all",
        "Balcony · 1 ticket Balcony Handed over by the seller $40.00 per ticket Face value not stated",
        "Face value not stated Balcony Sold $5.00",
        "1 ticket No seat given The seller has given no date Handed over by the seller $50.00 per ticket",
    ):
        assert said in text
    assert f'data-live="show:{show.id}" hx-get="/events/{show.id}/tickets"' in page.text
    assert 'data-status="sold"' in page.text


async def test_the_page_leads_to_other_dates_and_other_events_at_the_venue(
    client: PageClient, market: Market, show: Show
) -> None:
    later = market.show(starts_at=datetime(2036, 12, 13, 19, 0, tzinfo=UTC))
    other = market.show("Hamlet")
    page = await client.get(f"/events/{show.id}")
    assert "Other dates" in text_of(page)
    assert "Other events at Tempodrom" in text_of(page)
    for event in (later, other):
        assert f'href="/events/{event.id}"' in page.text


async def test_a_fragment_contains_only_the_event(client: PageClient, show: Show) -> None:
    fragment = await client.get(f"/events/{show.id}/tickets", target="event")
    assert fragment.text.lstrip().startswith("<article")
    assert "No ticket is on sale right now" in text_of(fragment)


async def test_a_merged_event_redirects_to_the_one_that_stays(
    client: PageClient, market: Market, show: Show
) -> None:
    market.merged["b" * 24] = show.id
    page = await client.get(f"/events/{'b' * 24}")
    assert (page.status_code, page.headers["location"]) == (303, f"/events/{show.id}")


async def test_an_unknown_event_is_not_found(client: PageClient) -> None:
    for address in ("/events/" + "c" * 24, "/events/nonsense"):
        assert (await client.get(address)).status_code == 404


async def test_cards_and_the_page_of_a_ticket_lead_to_its_event(
    client: PageClient, market: Market, seller: User, show: Show
) -> None:
    ticket, alone = market.ticket(seller, show_id=show.id), market.ticket(seller, "Alone")
    link = f'href="/events/{show.id}"'
    for address in ("/", f"/tickets/{ticket.id}", f"/tickets/{ticket.id}/card"):
        assert link in (await client.get(address)).text
    assert "/events/" not in (await client.get(f"/tickets/{alone.id}")).text


async def test_an_event_about_a_ticket_signals_its_show(market: Market, seller: User, show: Show) -> None:
    ticket = market.ticket(seller, show_id=show.id)
    event = TicketUpdated.model_validate(ticket.model_dump(include=set(TicketUpdated.model_fields)))
    assert ("show", show.id) in change_of(event, 7, Buyers()).topics
    alone = event.model_copy(update={"show_id": None})
    assert {kind for kind, _ in change_of(alone, 7, Buyers()).topics} == {"ticket", "seller"}


async def test_the_page_is_kept_until_a_ticket_for_the_event_changes(site: Site) -> None:
    show = site.market.show()
    site.market.tickets[site.ticket.id] = site.ticket.model_copy(update={"show_id": show.id})
    path = f"/events/{show.id}"
    first = await site.get(path)
    assert site.asked() == [f"/api/shows/{show.id}"]
    assert (await site.get(path)).text == first.text
    assert site.asked() == []
    site.market.position = 11
    site.cache.pages.invalidate(Change(11, (("ticket", "d" * 24), ("show", "e" * 24))))
    await site.get(path)
    assert site.asked() == []
    site.market.position = 12
    site.cache.pages.invalidate(Change(12, (("ticket", site.ticket.id), ("show", show.id))))
    await site.get(path)
    assert site.asked() == [f"/api/shows/{show.id}"]


async def test_the_page_says_that_the_service_is_unavailable(
    client: PageClient, services: Services, show: Show
) -> None:
    await services.stop("tickets")
    assert (await client.get(f"/events/{show.id}")).status_code == 503
