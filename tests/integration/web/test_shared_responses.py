"""Cards and API responses that are the same for everyone are served from the page cache, too."""

import re

import httpx
import pytest

from tests.integration.web.shared_site import Site
from tests.support.fakes.services import Services


def cards_in(response: httpx.Response) -> list[str]:
    """The ids of the cards that the response replaces."""
    return re.findall('<hx-partial hx-target="#ticket-([0-9a-f]{24})"', response.text)


async def test_one_request_returns_several_cards_without_asking_for_them_again(site: Site) -> None:
    others = [site.market.ticket(site.seller, f"Other {number}") for number in range(3)]
    wanted = [site.ticket.id, *(ticket.id for ticket in others)]
    path = "/cards?" + "&".join(f"id={ticket_id}" for ticket_id in wanted)
    first = await site.get(path)
    assert cards_in(first) == wanted
    assert "Other 2" in first.text
    assert first.text.count("</hx-partial>") == 4
    site.asked()
    assert (await site.get(path)).text == first.text
    assert site.asked() == []


async def test_a_seller_gets_the_own_card_and_the_shared_cards_of_others(site: Site) -> None:
    other = site.market.ticket(site.market.user("other@example.com")[0], "Hamlet")
    path = f"/cards?id={site.ticket.id}&id={other.id}"
    await site.get(path)
    site.client.sign_in_as(site.market.token_of(site.seller.id))
    site.asked()
    cards = await site.get(path)
    assert cards.text.count("Yours") == 1
    assert cards_in(cards) == [site.ticket.id, other.id]
    assert site.asked() == [f"/api/tickets/{site.ticket.id}"]


async def test_a_request_for_cards_ignores_everything_else_in_its_query(site: Site) -> None:
    for query in ("", "?id=", "?id=../../x", "?id=" + "f" * 25, "?ids=" + site.ticket.id, "?id=" + "f" * 24):
        cards = await site.get(f"/cards{query}")
        assert (cards.status_code, cards_in(cards)) == (200, [])
    many = "&".join(f"id={number:024x}" for number in range(200))
    assert (await site.get(f"/cards?{many}")).status_code == 200
    assert len(site.asked()) <= 110


async def test_cards_that_are_unavailable_are_answered_with_503(site: Site, services: Services) -> None:
    await services.stop("tickets")
    assert (await site.get(f"/cards?id={site.ticket.id}")).status_code == 503


API = ["/api/tickets", "/api/tickets?q=nick", "/api/tickets/facets", "/api{page}", "/api{page}/similar"]


@pytest.mark.parametrize("path", [*API, "/api/tickets/sellers/{seller}"])
async def test_a_public_api_response_is_requested_once(path: str, site: Site) -> None:
    path = path.format(page=site.page, seller=site.seller.id)
    first = await site.get(path)
    assert first.status_code == 200
    assert "stagedoor-position" not in first.headers
    site.asked()
    again = await site.get(path)
    assert (again.content, again.headers["content-type"]) == (first.content, first.headers["content-type"])
    assert site.asked() == []
    site.happens(11, site.ticket)
    await site.get(path)
    assert site.asked() != []


async def test_a_signed_in_user_gets_the_shared_list_unchanged(site: Site) -> None:
    shared = await site.get("/api/tickets")
    fragment = await site.get("/results")
    _, token = site.market.user("ann@example.com")
    site.client.sign_in_as(token)
    site.asked()
    assert (await site.get("/api/tickets")).content == shared.content
    assert (await site.get("/results")).content == fragment.content
    assert site.asked() == []


@pytest.mark.parametrize("path", ["/api{page}", "/api/tickets/mine", "/api/tickets/mine/summary"])
async def test_an_api_response_that_depends_on_the_caller_is_not_shared(path: str, site: Site) -> None:
    path = path.format(page=site.page)
    await site.get(path)
    site.client.sign_in_as(site.market.token_of(site.seller.id))
    for _ in range(2):
        site.asked()
        assert (await site.get(path)).status_code == 200
        assert path in site.asked()


async def test_a_request_with_a_bearer_token_is_passed_on(site: Site) -> None:
    await site.get("/api/tickets")
    for _ in range(2):
        site.asked()
        await site.get("/api/tickets", Authorization="Bearer x")
        assert site.asked() == ["/api/tickets"]


async def test_the_response_with_cards_has_the_security_headers(site: Site) -> None:
    cards = await site.get(f"/cards?id={site.ticket.id}")
    assert "default-src 'self'" in cards.headers["content-security-policy"]
    assert cards.headers["x-content-type-options"] == "nosniff"


async def test_a_title_with_the_markers_of_the_masthead_stays_as_it_is(site: Site) -> None:
    """Only a page that shows who is signed in has a slot for it, whatever other responses contain."""
    title = "<!--viewer-->Nick Cave<!--/viewer-->"
    site.market.change_ticket(site.ticket.id, title=title)
    for path in ("/api/tickets", "/results", "/"):
        await site.get(path)
    site.client.sign_in_as(site.market.user("ann@example.com")[1])
    [ticket] = (await site.get("/api/tickets")).json()
    assert ticket["title"] == title
    assert "ann@example.com" not in (await site.get("/results")).text
    page = await site.get("/")
    assert page.text.count('action="/signout"') == 1
    assert "&lt;!--viewer--&gt;Nick Cave" in page.text


async def test_an_event_about_another_ticket_keeps_the_api_response_about_a_ticket(site: Site) -> None:
    await site.get(f"/api{site.page}")
    site.happens(11, site.market.ticket(site.market.user("other@example.com")[0], "Hamlet"))
    site.asked()
    await site.get(f"/api{site.page}")
    assert site.asked() == []
