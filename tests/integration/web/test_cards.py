"""The card of a changed ticket is rendered from its event, before browsers ask for the card."""

import asyncio
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest
from aiohttp import web

from contracts.api import POSITION
from contracts.events import TicketUpdated
from contracts.wire import now
from tests.integration.web.page_client import text_of
from tests.integration.web.shared_site import Site
from tests.support.fakes.services import Services
from web.page_cache import cards

IN_GERMANY = {"accept-language": "de-DE"}


def changed(site: Site, **changes: Any) -> TicketUpdated:
    """Change the ticket, and return the event of the change."""
    site.market.change_ticket(site.ticket.id, **changes)
    return TicketUpdated.model_validate(dict(site.market.tickets[site.ticket.id]))


def card_of(site: Site) -> str:
    return f"{site.page}/card"


@pytest.mark.parametrize("headers", [{}, IN_GERMANY])
async def test_a_renewed_card_equals_the_card_that_the_app_renders(
    site: Site, headers: dict[str, str]
) -> None:
    begins = now() + timedelta(days=9)
    details = {"venue": "Arena", "starts_at": begins, "time_zone": "Europe/Berlin", "quantity": 2}
    await site.get(card_of(site), **headers)
    site.asked()
    event = changed(site, title="<Nick> Drake", status="reserved", held_until=now(), **details)
    site.feed.apply(event, 11)
    renewed = await site.get(card_of(site), **headers)
    assert site.asked() == []
    assert "&lt;Nick&gt; Drake" in renewed.text
    site.cache.pages.clear()
    by_app = await site.get(card_of(site), **headers)
    assert site.asked() == [f"/api/tickets/{site.ticket.id}"]
    assert (renewed.text, renewed.headers) == (by_app.text, by_app.headers)


async def test_a_card_that_nobody_has_asked_for_is_not_rendered(site: Site) -> None:
    site.feed.apply(changed(site, title="Nick Drake"), 11)
    site.market.position = 11
    await site.get(card_of(site))
    assert site.asked() == [f"/api/tickets/{site.ticket.id}"]


async def test_an_event_that_is_not_newer_than_the_card_does_not_bring_back_an_old_state(site: Site) -> None:
    old, new = changed(site, title="Old"), changed(site, title="New")
    await site.get(card_of(site))
    for number, event in enumerate((old, new, old), 11):
        site.feed.apply(event, number)
        site.market.position = number
        assert "New" in text_of(await site.get(card_of(site)))


async def test_the_seller_gets_the_own_card_after_a_renewal(site: Site) -> None:
    await site.get(card_of(site))
    site.feed.apply(changed(site, title="Nick Drake"), 11)
    site.client.sign_in_as(site.market.token_of(site.seller.id))
    assert "Yours" in text_of(await site.get(card_of(site)))


async def test_a_renewed_card_is_kept_only_until_the_event_begins(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.get(card_of(site))
    begins = now() + timedelta(minutes=1)
    site.feed.apply(changed(site, starts_at=begins), 11)
    site.asked()
    for ahead, requests in ((50, 0), (60, 1)):
        moment = monotonic() + ahead
        monkeypatch.setattr("web.page_cache.store.monotonic", lambda moment=moment: moment)
        await site.get(card_of(site))
        assert len(site.asked()) == requests


async def test_only_a_few_tickets_and_countries_are_renewed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "MAX_LOCALES", 1)
    monkeypatch.setattr(cards, "MAX_TICKETS", 1)
    await site.get(card_of(site))
    await site.get(card_of(site), **IN_GERMANY)
    site.feed.apply(changed(site, title="Nick Drake"), 11)
    site.market.position = 11
    site.asked()
    for headers, requests in ((IN_GERMANY, 0), ({}, 1)):
        await site.get(card_of(site), **headers)
        assert len(site.asked()) == requests
    other = site.market.ticket(site.seller, "Hamlet")
    await site.get(f"/tickets/{other.id}/card")
    site.feed.apply(changed(site, title="Nick Cave"), 12)
    site.market.position = 12
    site.asked()
    await site.get(card_of(site), **IN_GERMANY)
    assert len(site.asked()) == 1


@pytest.mark.parametrize("event_comes_first", [True, False])
async def test_an_edit_through_this_process_drops_the_card_unless_its_event_has_renewed_the_card(
    site: Site, services: Services, *, event_comes_first: bool
) -> None:
    await site.get(card_of(site))

    async def edit(_: web.Request) -> web.Response:
        event = changed(site, title="Nick Drake")
        if event_comes_first:
            site.feed.apply(event, 11)
        return web.json_response({})

    async def show(_: web.Request) -> web.Response:
        return web.Response(
            text=site.market.tickets[site.ticket.id].to_json(), content_type="application/json"
        )

    path = "/api/tickets/{id}"
    await services.replace("tickets", [web.put(path, edit), web.get(path, show)])
    assert (await site.client.http.put(f"/api{site.page}", json={})).status_code == 200
    site.asked()
    assert "Nick Drake" in text_of(await site.get(card_of(site)))
    assert len(site.asked()) == (0 if event_comes_first else 1)


async def test_a_card_that_cannot_be_rendered_does_not_hold_up_the_signal(site: Site) -> None:
    await site.get(card_of(site))
    event = changed(site, starts_at=now() + timedelta(days=1), time_zone="Mars/Olympus")
    site.feed.apply(event, 11)
    assert site.feed.hub.position == 11
    site.market.change_ticket(site.ticket.id, time_zone=None)
    site.market.position = 11
    assert (await site.get(card_of(site))).status_code == 200


async def test_a_late_event_does_not_hide_one_that_came_while_the_app_rendered_the_first_card(
    site: Site, services: Services
) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()
    before = site.market.tickets[site.ticket.id]
    late, new = changed(site, title="Late"), changed(site, title="New")

    async def show(_: web.Request) -> web.Response:
        entered.set()
        await go_on.wait()
        return web.Response(text=before.to_json(), content_type="application/json", headers={POSITION: "10"})

    await services.replace("tickets", [web.get("/api/tickets/{id}", show)])
    first = asyncio.create_task(site.get(card_of(site)))
    await entered.wait()
    site.feed.apply(new, 11)
    go_on.set()
    await first
    site.feed.apply(late, 12)
    await services.restore()
    site.market.position = 12
    assert "New" in text_of(await site.get(card_of(site)))


async def test_a_late_event_does_not_hide_one_that_was_missed(site: Site) -> None:
    await site.get(card_of(site))
    late, _missed = changed(site, title="Late"), changed(site, title="New")
    site.feed.forget()
    site.cache.pages.confirm(11)
    site.feed.apply(late, 12)
    site.market.position = 12
    assert "New" in text_of(await site.get(card_of(site)))


async def test_addresses_with_a_query_do_not_displace_the_card(site: Site) -> None:
    await site.get(card_of(site))
    for number in range(cards.MAX_LOCALES):
        await site.get(f"{card_of(site)}?{number}")
    site.feed.apply(changed(site, title="Nick Drake"), 11)
    site.asked()
    assert "Nick Drake" in text_of(await site.get(card_of(site)))
    assert site.asked() == []
