"""The home page, the city that a browser remembers, and what a search suggests."""

import re
from datetime import timedelta
from typing import Any

import httpx
import pytest

from contracts.api import Show, User
from contracts.wire import now
from tests.integration.web.page_client import PageClient, text_of
from tests.integration.web.shared_site import Site
from tests.support.fakes.market import Market


@pytest.fixture
def seller(market: Market) -> User:
    return market.user("seller@example.com")[0]


def offered(market: Market, seller: User, title: str, city: str = "Berlin", **fields: Any) -> Show:
    """An event with a ticket on sale."""
    starts_at = fields.pop("starts_at", now() + timedelta(days=40))
    show = market.show(title, city=city, starts_at=starts_at, performers=fields.pop("performers", []))
    where = {"city": city, "starts_at": starts_at, "venue": "Tempodrom", "time_zone": "Europe/Berlin"}
    market.ticket(seller, title, show_id=show.id, category="music", **where, **fields)
    return show


def shelf(page: httpx.Response, title: str) -> list[str]:
    """The titles of the events in a list of the home page."""
    found = re.search(rf'<h2 id="[^"]*">{title}</h2>.*?</section>', page.text, re.DOTALL)
    return re.findall(r"<strong><bdi>([^<]+)", found[0]) if found else []


def suggestions(page: httpx.Response) -> list[str]:
    found = re.search(r'id="search-suggestions".*?</div>', page.text, re.DOTALL)
    assert found
    return [
        re.sub(r"<[^>]+>|[\u2066-\u2069]", "", text) for text in re.findall(r"<a[^>]*>(.*?)</a>", found[0])
    ]


async def test_the_home_page_shows_events_with_prices_per_ticket(
    client: PageClient, market: Market, seller: User
) -> None:
    show = offered(market, seller, "Nick Cave", price="80", quantity=2)
    offered(market, seller, "Hamlet", starts_at=now() + timedelta(days=1))
    market.ticket(seller, "Nick Cave", show_id=show.id, status="sold")
    page = await client.get("/")
    assert shelf(page, "Upcoming") == ["Hamlet", "Nick Cave"]
    assert shelf(page, "Recently listed") == ["Hamlet", "Nick Cave"]
    assert shelf(page, "Popular") == ["Nick Cave"]
    assert "Tempodrom, Berlin from $40.00 per ticket" in text_of(page)
    assert f'<a class="event-tile" href="/events/{show.id}">' in page.text
    assert '<a class="category-tile" href="/?category=music">' in page.text


@pytest.mark.parametrize("search", ["q=cave", "city=berlin", "sort=price", "sort=newest", "category=music"])
async def test_a_search_shows_no_home_page(
    client: PageClient, market: Market, seller: User, search: str
) -> None:
    offered(market, seller, "Nick Cave")
    page = await client.get(f"/?{search}")
    assert 'class="home"' not in page.text
    assert "/api/shows/highlights" not in {request.path for request in market.seen}


async def test_the_tickets_are_asked_for_the_soonest_first(client: PageClient, market: Market) -> None:
    await client.get("/")
    [sort] = [request.query["sort"] for request in market.seen if request.path == "/api/tickets"]
    assert sort == "date"


async def test_the_home_page_works_without_events(client: PageClient, market: Market, seller: User) -> None:
    market.ticket(seller, "Nick Cave")
    page = await client.get("/")
    assert page.status_code == 200
    assert 'class="shelf"' not in page.text
    assert "Nick Cave" in page.text


async def test_the_browser_remembers_a_city_until_all_are_chosen_again(
    client: PageClient, market: Market, seller: User
) -> None:
    offered(market, seller, "Nick Cave")
    offered(market, seller, "Hamlet", "São Paulo")
    answer = await client.submit("/city", city="sao-paulo")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "httponly" in answer.headers["set-cookie"].lower()
    page = await client.get("/")
    assert shelf(page, "Upcoming") == ["Hamlet"]
    assert '<option value="sao-paulo" selected>' in page.text
    assert "Remove filter" not in page.text
    assert "1 listing" in text_of(page)
    await client.submit("/city", city="")
    assert shelf(await client.get("/"), "Upcoming") == sorted_by_id(market)


def sorted_by_id(market: Market) -> list[str]:
    shows = sorted(market.shows.values(), key=lambda show: (show.starts_at, show.id))
    return [show.title for show in shows]


async def test_with_htmx_choosing_a_city_replaces_the_results(
    client: PageClient, market: Market, seller: User
) -> None:
    offered(market, seller, "Nick Cave")
    offered(market, seller, "Hamlet", "Köln")
    part = await client.submit("/city", city="koln", target="div#results")
    assert part.text.lstrip().startswith('<div id="results">')
    assert shelf(part, "Upcoming") == ["Hamlet"]
    assert part.headers["hx-replace-url"] == "/"
    assert shelf(await client.get("/"), "Upcoming") == ["Hamlet"]


async def test_the_remembered_city_does_not_change_a_search(
    client: PageClient, market: Market, seller: User
) -> None:
    offered(market, seller, "Nick Cave")
    await client.submit("/city", city="koln")
    assert "Nick Cave" in (await client.get("/?q=cave")).text
    assert "Nick Cave" in (await client.get("/results")).text


@pytest.mark.parametrize("cookie", ["a&sort=price", "x" * 400, '"', "a b", "%", ""])
async def test_a_cookie_that_is_no_city_is_harmless(client: PageClient, market: Market, cookie: str) -> None:
    page = await client.http.get("/", headers={"Cookie": f"city={cookie}"})
    assert page.status_code == 200


async def test_the_home_page_of_a_city_is_rendered_once_for_everyone(site: Site) -> None:
    remembering = {"Cookie": "city=berlin"}
    first = await site.get("/", **remembering)
    assert site.asked() != []
    assert (await site.get("/?in=berlin")).content == first.content
    assert (await site.get("/", **remembering)).content == first.content
    assert site.asked() == []
    assert (await site.get("/")).content != first.content
    assert site.asked() != []


async def test_networks_keep_no_page_that_a_cookie_has_chosen(site: Site) -> None:
    remembered = await site.get("/", Cookie="city=berlin")
    assert remembered.headers["cache-control"] == "private, no-cache"
    assert "cdn-cache-control" not in remembered.headers
    assert "cdn-cache-control" in (await site.get("/?in=berlin")).headers
    tag = remembered.headers["etag"]
    again = await site.get("/", Cookie="city=berlin", **{"If-None-Match": tag})
    assert (again.status_code, again.headers["cache-control"]) == (304, "private, no-cache")
    assert "cdn-cache-control" not in again.headers


async def test_a_search_shows_events_with_their_tickets(
    client: PageClient, market: Market, seller: User
) -> None:
    show = offered(market, seller, "Nick Cave", price="80", quantity=2, seat="Block A")
    for number in range(3):
        market.ticket(seller, "Nick Cave", price="50", show_id=show.id, seat=f"Row {number}")
    page = await client.get("/?q=cave")
    text = text_of(page)
    assert "Matching events" in text
    assert "Tempodrom, Berlin from $40.00 per ticket Cheapest tickets for Nick Cave Block A Handed" in text
    assert "All 4 listings for Nick Cave" in text
    assert page.text.count('class="seat-row"') == 3


async def test_a_search_without_tickets_offers_to_wait_for_events_with_the_words(
    client: PageClient, market: Market, seller: User
) -> None:
    show = offered(market, seller, "Nick Cave", status="reserved")
    offered(market, seller, "Hamlet", status="sold")
    page = await client.get("/?q=cave")
    text = text_of(page)
    assert "No matching tickets" in text
    assert "Wait for tickets of these events" in text
    assert f'<a class="offer-all" href="/account/alerts/new?event={show.id}">' in page.text
    assert "Hamlet" not in text


async def test_a_search_that_finds_nothing_shows_popular_events(
    client: PageClient, market: Market, seller: User
) -> None:
    show = offered(market, seller, "Nick Cave")
    market.ticket(seller, "Nick Cave", show_id=show.id, status="sold")
    page = await client.get("/?q=nothing+like+this")
    assert "No matching tickets" in text_of(page)
    assert '<h2 id="popular-title">Popular</h2>' in page.text
    assert f'<a class="event-tile" href="/events/{show.id}">' in page.text
    assert "popular-title" not in (await client.get("/?q=cave")).text


@pytest.mark.parametrize(
    ("search", "shown"),
    [("city=berlin", True), ("city=berlin&sort=price", False), ("q=cave&sort=price", False)],
)
async def test_events_are_shown_if_the_list_begins_with_the_soonest(
    client: PageClient, market: Market, seller: User, search: str, shown: bool
) -> None:
    offered(market, seller, "Nick Cave")
    assert ('class="offer-event"' in (await client.get(f"/?{search}")).text) == shown


async def test_a_misspelled_search_says_what_was_searched(
    client: PageClient, market: Market, seller: User
) -> None:
    market.ticket(seller, "Coldplay")
    text = text_of(await client.get("/?q=codlplay"))
    assert "Nothing matches “codlplay”. These are the results for “coldplay”." in text
    assert "1 listing" in text
    assert "Nothing matches" not in text_of(await client.get("/?q=coldplay"))


@pytest.mark.parametrize("filters", ["", "&city=hamburg", "&city=berlin&category=sport", "&minPrice=900"])
async def test_a_correction_is_announced_only_above_its_results(
    client: PageClient, market: Market, seller: User, filters: str
) -> None:
    offered(market, seller, "Glass Pigeons", city="Berlin")
    market.ticket(seller, "Hamlet", city="Hamburg")
    page = await client.get(f"/?q=glas+pigons{filters}")
    assert ("These are the results" in page.text) == ('class="stub-title"' in page.text) == (not filters)


async def test_an_empty_search_of_a_city_leads_to_the_results_elsewhere(
    client: PageClient, market: Market, seller: User
) -> None:
    offered(market, seller, "Glass Pigeons", city="Łódź")
    market.ticket(seller, "Hamlet", city="Berlin")
    page = await client.get("/?q=glas+pigons&city=berlin")
    assert "No matching tickets in Berlin 1 listing elsewhere" in text_of(page)
    assert '<a href="/?q=glas+pigons">1 listing elsewhere</a>' in page.text
    assert "elsewhere" not in (await client.get("/?q=nothing&city=berlin")).text


async def test_corrected_words_without_results_are_offered_without_the_other_filters(
    client: PageClient, market: Market, seller: User
) -> None:
    offered(market, seller, "Glass Pigeons")
    page = await client.get("/?q=glas+pigons&minPrice=900&sort=price")
    assert "Nothing matches “glas pigons”. Search for “glas pigeons” without other filters" in text_of(page)
    assert 'href="/?q=glas+pigeons&amp;sort=price"' in page.text


async def test_a_search_on_the_home_page_of_a_remembered_city_shows_the_city_as_a_filter(
    client: PageClient, market: Market, seller: User
) -> None:
    offered(market, seller, "Nick Cave", city="Berlin")
    await client.submit("/city", city="berlin")
    home = await client.get("/")
    form = re.search(r'<form class="search".*?</form>', home.text, re.DOTALL)
    assert form
    assert '<option value="berlin" selected>' in form[0]
    for address in ("/", "/results"):
        page = await client.get(f"{address}?q=cave&city=berlin")
        assert "Remove filter: Berlin" in text_of(page)
        assert '<a class="chip" href="/?q=cave">' in page.text
    page = await client.get("/?city=berlin")
    assert '<a class="chip" href="/?in=">' in page.text
    assert '<option value="" selected>Everywhere' in (await client.get("/?in=")).text


async def test_other_searches_are_suggested_while_typing(
    client: PageClient, market: Market, seller: User
) -> None:
    offered(market, seller, "Berlin Calling", performers=["Paul Kalkbrenner"])
    part = await client.get("/results?q=berl", target="div#results")
    assert suggestions(part) == ["Berlin Calling", "Paul Kalkbrenner", "All events in Berlin"]
    assert 'href="/?q=Berlin+Calling"' in part.text
    assert 'href="/?city=berlin"' in part.text
    assert suggestions(await client.get("/?q=b")) == []
    assert suggestions(await client.get("/?q=Berlin+Calling"))[0] == "Paul Kalkbrenner"
    assert suggestions(await client.get("/?q=musi&city=berlin")) == []


async def test_show_more_asks_for_no_events(client: PageClient, market: Market, seller: User) -> None:
    offered(market, seller, "Nick Cave")
    await client.get("/results/rows?q=cave&after=~", target="li#more")
    assert {request.path for request in market.seen} & {"/api/shows/search", "/api/shows/highlights"} == set()
