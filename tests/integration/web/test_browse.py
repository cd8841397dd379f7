"""The search page: filters and their chips, the number of matches, pagination, and empty results."""

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from contracts.wire import now
from tests.integration.web.page_client import PageClient, is_page, text_of
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services


@pytest.fixture
def programme(market: Market) -> Market:
    """Four tickets on sale: three in Berlin, one of them on 24 December 2099, and one in Łódź."""
    seller, _ = market.user("seller@example.com")
    late: Any = datetime(2099, 12, 24, 22, 30, tzinfo=UTC)
    market.ticket(seller, "Nick Cave", price="20", city="Berlin", category="music")
    market.ticket(seller, "Nick Drake", price="80", city="Łódź", category="music")
    market.ticket(seller, "Hamlet", price="45", city="Berlin", category="theatre", starts_at=late)
    market.ticket(seller, "Hertha", price="30", city="Berlin", category="sport")
    return market


def titles(page: httpx.Response) -> list[str]:
    return re.findall(r'<span class="stub-title"><bdi>([^<]+)', page.text)


def count(page: httpx.Response) -> str:
    match = re.search(r'id="count" role="status" tabindex="-1">([^<]*)<', page.text)
    assert match
    return match[1]


def links(page: httpx.Response) -> dict[str, str]:
    """The addresses of all links of a page, by the text of the link."""
    found = re.findall(r'<a [^>]*?href="([^"]*)"[^>]*>(.*?)</a>', page.text, re.DOTALL)
    texts = {" ".join(re.sub(r"<[^>]+>|\u00d7", " ", text).split()): address for address, text in found}
    return {text: html.unescape(address) for text, address in texts.items()}


def options(page: httpx.Response, name: str) -> list[str]:
    select = re.search(rf'<select id="{name}".*?</select>', page.text, re.DOTALL)
    assert select
    return re.findall(r"<option[^>]*>([^<]+)", select[0])


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", ["Hertha", "Hamlet", "Nick Drake", "Nick Cave"]),
        ("q=nick", ["Nick Drake", "Nick Cave"]),
        ("city=berlin", ["Hertha", "Hamlet", "Nick Cave"]),
        ("city=lodz", ["Nick Drake"]),
        ("category=music", ["Nick Drake", "Nick Cave"]),
        ("when=dates&from=2099-12-24", ["Hamlet"]),
        ("from=2099-12-24&to=2099-12-24", ["Hamlet"]),
        ("from=2099-12-25", []),
        ("to=2099-12-23", []),
        ("when=&from=2099-12-25", ["Hertha", "Hamlet", "Nick Drake", "Nick Cave"]),
        ("minPrice=30&maxPrice=45,00", ["Hertha", "Hamlet"]),
        ("q=nick&city=berlin&category=music&maxPrice=20", ["Nick Cave"]),
    ],
)
async def test_each_filter_narrows_the_result(
    client: PageClient, programme: Market, search: str, found: list[str]
) -> None:
    assert titles(await client.get(f"/?{search}")) == found


@pytest.mark.parametrize("when", ["today", "tomorrow", "weekend", "month"])
async def test_a_named_period_is_sent_to_the_tickets_service_instead_of_dates(
    client: PageClient, programme: Market, when: str
) -> None:
    page = await client.get(f"/?when={when}&from=2099-12-24")
    assert page.status_code == 200
    queries = [request.query for request in programme.seen if request.path == "/api/tickets"]
    assert [(query["when"], "from" in query) for query in queries] == [(when, False)]


@pytest.mark.parametrize("sort", ["price", "-price", "newest"])
async def test_the_sort_order_stays_selected_and_is_kept_by_clear_all(
    client: PageClient, programme: Market, sort: str
) -> None:
    page = await client.get(f"/?q=nick&city=berlin&sort={sort}")
    assert programme.seen[-1].path.startswith("/api/")
    assert f'<option value="{sort}" selected>' in page.text
    assert links(page)["Clear all"] == f"/?sort={sort}"


async def test_the_options_for_city_and_category_show_their_numbers_of_listings(
    client: PageClient, programme: Market
) -> None:
    page = await client.get("/?city=berlin&category=music")
    assert options(page, "city") == ["Any city", "Berlin (1)", "Łódź (1)"]
    assert options(page, "category") == ["Any category", "Music (1)", "Sport (1)", "Theatre (1)"]
    assert '<option value="berlin" selected>' in page.text


async def test_a_selected_option_without_matches_stays_in_the_list(
    client: PageClient, programme: Market
) -> None:
    page = await client.get("/?q=nothing&city=berlin&category=music")
    assert options(page, "city") == ["Any city", "Berlin (0)"]
    assert options(page, "category") == ["Any category", "Music (0)"]


@pytest.mark.parametrize(
    ("search", "text"), [("", "4 listings"), ("city=lodz", "1 listing"), ("q=nothing", "No tickets")]
)
async def test_the_number_of_matching_listings_is_shown_in_words(
    client: PageClient, programme: Market, search: str, text: str
) -> None:
    programme.page_size = 2
    assert count(await client.get(f"/?{search}")) == text


async def test_each_chip_removes_its_own_filter(client: PageClient, programme: Market) -> None:
    page = await client.get("/?q=nick&city=lodz&category=music&minPrice=10&maxPrice=99,5&sort=price")
    chips = {text: address for text, address in links(page).items() if text.startswith("Remove filter: ")}
    parameters = "q=nick&city=lodz&category=music&minPrice=10&maxPrice=99%2C5&sort=price".split("&")
    assert chips == {
        f"Remove filter: {text}": "/?" + "&".join(part for part in parameters if not part.startswith(name))
        for text, name in {
            "“nick”": "q=",
            "Łódź": "city=",
            "Music": "category=",
            "From $10.00": "minPrice=",
            "Up to $99.50": "maxPrice=",
        }.items()
    }


async def test_each_date_chip_shows_its_date_and_removes_only_that_date(
    client: PageClient, programme: Market
) -> None:
    found = links(await client.get("/?when=dates&from=2099-12-24&to=2099-12-31"))
    assert found["Remove filter: From Dec 24, 2099"] == "/?to=2099-12-31"
    assert found["Remove filter: Until Dec 31, 2099"] == "/?from=2099-12-24"
    found = links(await client.get("/?when=weekend&q=x"))
    assert found["Remove filter: This weekend"] == "/?q=x"


@pytest.mark.parametrize(
    ("language", "chip"),
    [("en-US", "Remove filter: Until Dec 24, 2099"), ("en-GB", "Remove filter: Until 24 Dec 2099")],
)
async def test_the_chip_of_a_day_follows_the_language_of_the_browser(
    client: PageClient, language: str, chip: str
) -> None:
    page = await client.get("/?to=2099-12-24", **{"Accept-Language": language})
    assert chip in links(page)


async def test_without_filters_the_page_has_no_chips(client: PageClient, programme: Market) -> None:
    page = await client.get("/?sort=price")
    assert "Remove filter" not in page.text
    assert "Clear all" not in page.text


async def test_an_empty_result_suggests_which_filters_to_remove(
    client: PageClient, programme: Market
) -> None:
    page = await client.get("/?category=sport&city=lodz&minPrice=10")
    suggestions = [text for text in links(page) if text.startswith("Search without")]
    assert suggestions == ["Search without: Lodz", "Search without: Sport", "Search without: From $10.00"]
    for text in suggestions[:2]:
        assert titles(await client.get(links(page)[text]))
    assert links(page)["Show all tickets"] == "/"


async def test_an_empty_result_does_not_suggest_removing_a_filter_that_would_not_help(
    client: PageClient, programme: Market
) -> None:
    page = await client.get("/?q=nothing&city=lodz")
    suggestions = [text for text in links(page) if text.startswith("Search without")]
    assert suggestions == ["Search without: “nothing”"]


@pytest.mark.parametrize("search", ["", "city=Berlin&category=sport", "q=nothing", "minPrice=cheap"])
async def test_without_facets_the_page_has_a_text_field_for_the_city_and_all_categories(
    client: PageClient, programme: Market, search: str
) -> None:
    programme.has_facets = False
    page = await client.get(f"/?{search}")
    assert page.status_code == (422 if "cheap" in search else 200)
    assert is_page(page)
    assert '<input id="city"' in page.text
    assert options(page, "category")[:2] == ["Any category", "Music"]
    if "Berlin" in search:
        assert titles(page) == ["Hertha"]
        assert count(page) == "1 listing"
        assert "Remove filter: Berlin" in links(page)


async def test_without_facets_a_fragment_does_not_change_the_options_of_the_page(
    client: PageClient, programme: Market
) -> None:
    programme.has_facets = False
    part = await client.get("/?q=nick", target="div#results")
    assert "city-field" not in part.text
    assert "category-field" not in part.text


@pytest.mark.parametrize(
    ("search", "field", "message"),
    [
        ("minPrice=cheap", "minPrice", "Enter a price, such as 20 or 19.99"),
        ("maxPrice=1.000,00", "maxPrice", "Enter a price, such as 20 or 19.99"),
        ("from=soon", "from", "Enter a day, such as 2026-12-24"),
        ("to=2026-13-01", "to", "Enter a day, such as 2026-12-24"),
        ("from=2000-12-24&to=2000-12-01", "to", "The last day is before the first"),
        ("category=opera", "category", "Choose one of the categories"),
        ("when=never", "when", "Choose one of the dates"),
        ("sort=best", "sort", "Choose one of the sort orders"),
    ],
)
async def test_an_invalid_filter_is_marked_and_keeps_its_value(
    client: PageClient, programme: Market, search: str, field: str, message: str
) -> None:
    page = await client.get(f"/?q=ham&{search}")
    assert page.status_code == 422
    assert f'<a href="#{field}">{message}' in page.text
    assert re.search(rf'id="{field}"[^>]*aria-invalid="true" aria-describedby="{field}-error"', page.text)
    assert 'value="ham"' in page.text
    if field not in {"category", "when", "sort"}:
        assert f'value="{search.rpartition("=")[2]}"' in page.text
    assert titles(page) == []
    assert options(page, "city")[1:], "the options are kept"


async def test_an_invalid_price_and_an_invalid_day_are_both_marked(
    client: PageClient, programme: Market
) -> None:
    page = await client.get("/?minPrice=cheap&from=soon")
    assert len(re.findall('aria-invalid="true"', page.text)) == 2


async def test_a_page_sends_two_requests_to_the_tickets_service_and_show_more_sends_one(
    client: PageClient, programme: Market
) -> None:
    def requested_paths() -> list[str]:
        paths = sorted(request.path for request in programme.seen if "/api/tickets" in request.path)
        programme.seen.clear()
        return paths

    await client.get("/?q=nick")
    assert requested_paths() == ["/api/tickets", "/api/tickets/facets"]
    await client.get("/results/rows?q=nick&after=~", target="li#more")
    assert requested_paths() == ["/api/tickets"]


async def test_a_later_page_links_back_to_the_first(client: PageClient, programme: Market) -> None:
    programme.page_size = 2
    first = await client.get("/?minPrice=1")
    second = await client.get(links(first)["Show more tickets"])
    assert titles(first) + titles(second) == ["Hertha", "Hamlet", "Nick Drake", "Nick Cave"]
    assert count(second) == "4 listings"
    assert links(second)["Back to the first tickets"] == "/?minPrice=1"


async def test_reloading_the_page_after_show_more_shows_the_same_tickets(
    client: PageClient, programme: Market
) -> None:
    programme.page_size = 2
    first = await client.get("/?minPrice=1")
    more = re.search(r'hx-get="([^"]*)"[^>]*>Show more', first.text)
    assert more
    part = await client.get(html.unescape(more[1]), target="li#more")
    assert part.headers["hx-replace-url"] == "/?minPrice=1&show=40"
    again = await client.get(part.headers["hx-replace-url"])
    assert titles(again) == titles(first) + titles(part)
    assert "Back to the first tickets" not in links(again)


@pytest.mark.parametrize(("show", "expected"), [("99999", "100"), ("40", "40"), ("-1", None), ("many", None)])
async def test_the_number_of_tickets_on_a_page_is_limited(
    client: PageClient, programme: Market, show: str, expected: str | None
) -> None:
    assert (await client.get(f"/?show={show}")).status_code == 200
    [limit] = [seen.query.get("limit") for seen in programme.seen if seen.path == "/api/tickets"]
    assert limit == expected


@pytest.mark.parametrize("target", [None, "li#more"])
async def test_an_invalid_cursor_redirects_to_the_first_page(
    client: PageClient, programme: Market, target: str | None
) -> None:
    answer = await client.get("/?minPrice=1&after=nowhere", target=target)
    assert answer.headers["hx-redirect" if target else "location"] == "/?minPrice=1"


async def test_collapsed_filters_show_how_many_are_active(client: PageClient, programme: Market) -> None:
    page = await client.get("/?q=nick&city=berlin&category=music&sort=price")
    assert "Filters (2 on)" in " ".join(re.sub(r"<[^>]+>", "", page.text).split())
    assert '<details class="filters">' in page.text
    part = await client.get("/?q=nick&city=berlin", target="div#results")
    assert 'hx-target="#filter-count"' in part.text
    assert '<details class="filters" open>' in (await client.get("/?minPrice=cheap")).text


async def test_a_card_shows_the_year_only_for_distant_dates(client: PageClient, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    soon: Any = now() + timedelta(days=30)
    market.ticket(seller, starts_at=soon, time_zone="UTC", quantity=2)
    market.ticket(seller, starts_at=datetime(2099, 12, 24, 22, 30, tzinfo=UTC), time_zone="Europe/Berlin")
    words = text_of(await client.get("/")).replace("\u202f", " ")
    assert f"{soon:%a, %b} {soon.day} · " in words
    assert "Thu, Dec 24, 2099 · 11:30 PM (Berlin time)" in words
    assert "2 \u00d7 $10.00 $20.00 in total" in words


async def test_a_search_with_htmx_also_updates_the_filters(client: PageClient, programme: Market) -> None:
    part = await client.get("/?q=nick&city=&when=&from=&to=&category=", target="div#results")
    assert part.headers["hx-push-url"] == "/?q=nick"
    assert options(part, "city") == ["Any city", "Berlin (1)", "Łódź (1)"]
    assert count(part) == "2 listings"


async def test_a_filter_with_html_is_escaped(client: PageClient) -> None:
    hostile = '"><script>alert(1)</script>'
    for name in ("q", "city", "category", "when", "from", "minPrice", "sort", "after"):
        page = await client.http.get("/", params={name: hostile})
        assert "<script>alert" not in page.text, name


async def test_the_page_keeps_the_search_while_the_tickets_service_is_unavailable(
    client: PageClient, services: Services
) -> None:
    await services.stop("tickets")
    page = await client.get("/?q=nick")
    assert page.status_code == 503
    assert 'href="/?q=nick"' in page.text
