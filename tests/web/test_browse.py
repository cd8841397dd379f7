"""Finding a ticket: filters, chips, how many there are, and what to change where there are none."""

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from contracts.wire import now
from tests.web.conftest import Browser, is_page, text_of
from tests.web.market import Market
from tests.web.served import Services


@pytest.fixture
def programme(market: Market) -> Market:
    """Three in Berlin, one in Łódź; one on 24 December 2099, at night."""
    seller, _ = market.user("seller@example.com")
    late: Any = datetime(2099, 12, 24, 22, 30, tzinfo=UTC)
    market.ticket(seller, "Nick Cave", price="20", city="Berlin", category="music")
    market.ticket(seller, "Nick Drake", price="80", city="Łódź", category="music")
    market.ticket(seller, "Hamlet", price="45", city="Berlin", category="theatre", starts_at=late)
    market.ticket(seller, "Hertha", price="30", city="Berlin", category="sport")
    return market


def titles(page: httpx.Response) -> list[str]:
    return re.findall(r'<span class="stub-title">([^<]+)', page.text)


def count(page: httpx.Response) -> str:
    said = re.search(r'id="count" role="status">([^<]*)<', page.text)
    assert said
    return said[1]


def links(page: httpx.Response) -> dict[str, str]:
    """By their text, where they lead."""
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
async def test_each_filter_narrows_what_is_shown(
    browser: Browser, programme: Market, search: str, found: list[str]
) -> None:
    assert titles(await browser.get(f"/?{search}")) == found


@pytest.mark.parametrize("when", ["today", "tomorrow", "weekend", "month"])
async def test_days_by_name_are_left_to_the_service(browser: Browser, programme: Market, when: str) -> None:
    page = await browser.get(f"/?when={when}&from=2099-12-24")
    assert page.status_code == 200
    asked = [request.query for request in programme.seen if request.path == "/api/tickets"]
    assert [(query["when"], "from" in query) for query in asked] == [(when, False)]


@pytest.mark.parametrize("sort", ["price", "-price", "date"])
async def test_the_order_is_the_services_and_is_kept(browser: Browser, programme: Market, sort: str) -> None:
    page = await browser.get(f"/?q=nick&city=berlin&sort={sort}")
    assert programme.seen[-1].path.startswith("/api/")
    assert f'<option value="{sort}" selected>' in page.text
    assert links(page)["Clear all"] == f"/?sort={sort}"


async def test_cities_and_categories_say_how_many_tickets_they_have(
    browser: Browser, programme: Market
) -> None:
    page = await browser.get("/?city=berlin&category=music")
    assert options(page, "city") == ["Any city", "Berlin (1)", "Łódź (1)"]
    assert options(page, "category") == ["Any category", "Music (1)", "Sport (1)", "Theatre (1)"]
    assert '<option value="berlin" selected>' in page.text


async def test_a_choice_that_nothing_matches_stays_chosen(browser: Browser, programme: Market) -> None:
    page = await browser.get("/?q=nothing&city=berlin&category=music")
    assert options(page, "city") == ["Any city", "Berlin (0)"]
    assert options(page, "category") == ["Any category", "Music (0)"]


@pytest.mark.parametrize(
    ("search", "said"), [("", "4 tickets"), ("city=lodz", "1 ticket"), ("q=nothing", "No tickets")]
)
async def test_how_many_there_are_is_said_in_words(
    browser: Browser, programme: Market, search: str, said: str
) -> None:
    programme.page_size = 2
    assert count(await browser.get(f"/?{search}")) == said


async def test_each_chip_removes_its_own_filter(browser: Browser, programme: Market) -> None:
    page = await browser.get("/?q=nick&city=lodz&category=music&minPrice=10&maxPrice=99,5&sort=price")
    chips = {text: address for text, address in links(page).items() if text.startswith("Remove filter: ")}
    everything = "q=nick&city=lodz&category=music&minPrice=10&maxPrice=99%2C5&sort=price".split("&")
    assert chips == {
        f"Remove filter: {text}": "/?" + "&".join(part for part in everything if not part.startswith(name))
        for text, name in {
            "“nick”": "q=",
            "Łódź": "city=",
            "Music": "category=",
            "From $10.00": "minPrice=",
            "Up to $99.50": "maxPrice=",
        }.items()
    }


async def test_chips_of_dates_say_them_and_remove_one_at_a_time(browser: Browser, programme: Market) -> None:
    found = links(await browser.get("/?when=dates&from=2099-12-24&to=2099-12-31"))
    assert found["Remove filter: From 24 Dec 2099"] == "/?to=2099-12-31"
    assert found["Remove filter: Until 31 Dec 2099"] == "/?from=2099-12-24"
    found = links(await browser.get("/?when=weekend&q=x"))
    assert found["Remove filter: This weekend"] == "/?q=x"


async def test_without_filters_there_is_nothing_to_remove(browser: Browser, programme: Market) -> None:
    page = await browser.get("/?sort=price")
    assert "Remove filter" not in page.text
    assert "Clear all" not in page.text


async def test_where_nothing_is_found_it_says_what_to_leave_out(browser: Browser, programme: Market) -> None:
    page = await browser.get("/?category=sport&city=lodz&minPrice=10")
    tries = [text for text in links(page) if text.startswith("Search without")]
    assert tries == ["Search without: Lodz", "Search without: Sport", "Search without: From $10.00"]
    for text in tries[:2]:
        assert titles(await browser.get(links(page)[text]))
    assert links(page)["Show all tickets"] == "/"


async def test_what_is_known_not_to_help_is_not_suggested(browser: Browser, programme: Market) -> None:
    page = await browser.get("/?q=nothing&city=lodz")
    tries = [text for text in links(page) if text.startswith("Search without")]
    assert tries == ["Search without: “nothing”"]


@pytest.mark.parametrize("search", ["", "city=Berlin&category=sport", "q=nothing", "minPrice=cheap"])
async def test_without_facets_the_page_does_without_them(
    browser: Browser, programme: Market, search: str
) -> None:
    programme.has_facets = False
    page = await browser.get(f"/?{search}")
    assert page.status_code == (422 if "cheap" in search else 200)
    assert is_page(page)
    assert '<input id="city"' in page.text
    assert options(page, "category")[:2] == ["Any category", "Music"]
    if "Berlin" in search:
        assert titles(page) == ["Hertha"]
        assert count(page) == "1 ticket"
        assert "Remove filter: Berlin" in links(page)


async def test_without_facets_what_there_is_to_choose_from_stays(browser: Browser, programme: Market) -> None:
    programme.has_facets = False
    part = await browser.get("/?q=nick", target="div#results")
    assert "city-field" not in part.text
    assert "category-field" not in part.text


@pytest.mark.parametrize(
    ("search", "field", "said"),
    [
        ("minPrice=cheap", "minPrice", "Type a price such as 20 or 19.99"),
        ("maxPrice=1.000,00", "maxPrice", "Type a price such as 20 or 19.99"),
        ("from=soon", "from", "Choose a day, such as 2026-12-24"),
        ("to=2026-13-01", "to", "Choose a day, such as 2026-12-24"),
        ("from=2000-12-24&to=2000-12-01", "to", "The last day is before the first"),
        ("category=opera", "category", "Choose one of the categories"),
        ("when=never", "when", "Choose one of the dates"),
        ("sort=best", "sort", "Choose one of the orders"),
    ],
)
async def test_what_is_wrong_is_marked_and_kept(
    browser: Browser, programme: Market, search: str, field: str, said: str
) -> None:
    page = await browser.get(f"/?q=ham&{search}")
    assert page.status_code == 422
    assert f'<a href="#{field}">{said}' in page.text
    assert re.search(rf'id="{field}"[^>]*aria-invalid="true" aria-describedby="{field}-error"', page.text)
    assert 'value="ham"' in page.text
    if field not in {"category", "when", "sort"}:
        assert f'value="{search.rpartition("=")[2]}"' in page.text
    assert titles(page) == []
    assert options(page, "city")[1:], "there is still something to choose from"


async def test_a_price_and_a_day_that_are_wrong_are_both_marked(browser: Browser, programme: Market) -> None:
    page = await browser.get("/?minPrice=cheap&from=soon")
    assert len(re.findall('aria-invalid="true"', page.text)) == 2


async def test_a_page_asks_the_tickets_twice_and_more_of_them_once(
    browser: Browser, programme: Market
) -> None:
    def asked() -> list[str]:
        paths = sorted(request.path for request in programme.seen if "/api/tickets" in request.path)
        programme.seen.clear()
        return paths

    await browser.get("/?q=nick")
    assert asked() == ["/api/tickets", "/api/tickets/facets"]
    await browser.get("/?q=nick&after=~", target="li#more")
    assert asked() == ["/api/tickets"]


async def test_a_later_page_leads_back_to_the_first(browser: Browser, programme: Market) -> None:
    programme.page_size = 2
    first = await browser.get("/?minPrice=1")
    second = await browser.get(links(first)["Show more tickets"])
    assert titles(first) + titles(second) == ["Hertha", "Hamlet", "Nick Drake", "Nick Cave"]
    assert count(second) == "4 tickets"
    assert links(second)["Back to the first tickets"] == "/?minPrice=1"


async def test_who_asked_for_more_comes_back_to_all_of_it(browser: Browser, programme: Market) -> None:
    programme.page_size = 2
    first = await browser.get("/?minPrice=1")
    more = re.search(r'hx-get="([^"]*)"[^>]*>Show more', first.text)
    assert more
    part = await browser.get(html.unescape(more[1]), target="li#more")
    assert part.headers["hx-replace-url"] == "/?minPrice=1&show=40"
    again = await browser.get(part.headers["hx-replace-url"])
    assert titles(again) == titles(first) + titles(part)
    assert "Back to the first tickets" not in links(again)


@pytest.mark.parametrize(("said", "asked"), [("99999", "100"), ("40", "40"), ("-1", None), ("many", None)])
async def test_nobody_makes_a_page_too_long(
    browser: Browser, programme: Market, said: str, asked: str | None
) -> None:
    assert (await browser.get(f"/?show={said}")).status_code == 200
    [limit] = [seen.query.get("limit") for seen in programme.seen if seen.path == "/api/tickets"]
    assert limit == asked


@pytest.mark.parametrize("target", [None, "li#more"])
async def test_a_page_that_is_nowhere_leads_to_the_first(
    browser: Browser, programme: Market, target: str | None
) -> None:
    answer = await browser.get("/?minPrice=1&after=nowhere", target=target)
    assert answer.headers["hx-redirect" if target else "location"] == "/?minPrice=1"


async def test_folded_filters_say_how_many_are_on(browser: Browser, programme: Market) -> None:
    page = await browser.get("/?q=nick&city=berlin&category=music&sort=price")
    assert "Filters (2 on)" in " ".join(re.sub(r"<[^>]+>", "", page.text).split())
    assert '<details class="filters">' in page.text
    part = await browser.get("/?q=nick&city=berlin", target="div#results")
    assert 'hx-target="#filter-count"' in part.text
    assert '<details class="filters" open>' in (await browser.get("/?minPrice=cheap")).text


async def test_a_card_says_when_without_a_year_that_everybody_knows(browser: Browser, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    soon: Any = now() + timedelta(days=30)
    market.ticket(seller, starts_at=soon, time_zone="UTC", quantity=2)
    market.ticket(seller, starts_at=datetime(2099, 12, 24, 22, 30, tzinfo=UTC), time_zone="Europe/Berlin")
    words = text_of(await browser.get("/")).replace("\u202f", " ")
    assert f"{soon:%a, %b} {soon.day} · " in words
    assert "Thu, Dec 24, 2099 · 11:30 PM" in words
    assert "$20.00 for 2 tickets" in words


async def test_a_search_with_htmx_brings_the_filters_along(browser: Browser, programme: Market) -> None:
    part = await browser.get("/?q=nick&city=&when=&from=&to=&category=", target="div#results")
    assert part.headers["hx-push-url"] == "/?q=nick"
    assert options(part, "city") == ["Any city", "Berlin (1)", "Łódź (1)"]
    assert count(part) == "2 tickets"


@pytest.mark.parametrize(
    ("before", "now_at", "header"),
    [
        ("/", "/?q=n", "hx-push-url"),
        ("/?q=n", "/?q=nick", "hx-replace-url"),
        ("/?q=n&city=", "/?q=nick&city=berlin", "hx-push-url"),
        ("/?q=nick", "/", "hx-push-url"),
    ],
)
async def test_who_types_on_goes_back_in_one_step(
    browser: Browser, before: str, now_at: str, header: str
) -> None:
    current = {"HX-Current-URL": f"http://stagedoor.test{before}"}
    part = await browser.get(now_at, target="div#results", **current)
    assert part.headers[header] == now_at


async def test_a_hostile_filter_is_text(browser: Browser) -> None:
    hostile = '"><script>alert(1)</script>'
    for name in ("q", "city", "category", "when", "from", "minPrice", "sort", "after"):
        page = await browser.http.get("/", params={name: hostile})
        assert "<script>alert" not in page.text, name


async def test_a_search_stays_when_tickets_are_away(browser: Browser, services: Services) -> None:
    await services.stop("tickets")
    page = await browser.get("/?q=nick")
    assert page.status_code == 503
    assert 'href="/?q=nick"' in page.text
