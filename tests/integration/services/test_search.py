"""The list of tickets on sale: search, filters, sort orders, pages, facets, and similar tickets."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.api import TicketBody
from contracts.wire import now
from services.tickets import actions, browse_api
from tests.support.service import Served, messages, new_id, old_id, refusal

SELLER = new_id()
NEW_YEAR = datetime(2031, 1, 1, tzinfo=UTC)


async def list_ticket(title: str, price: object = 10, **fields: Any) -> str:
    body = TicketBody.model_validate({"title": title, "price": price, **fields})
    return (await actions.offer(SELLER, body)).key


async def search(tickets: Served, **query: Any) -> list[str]:
    """The titles on the first page of the list for this query, in order."""
    answer = await tickets.ask("GET", "/api/tickets", params=query)
    assert answer.status_code == 200, answer.text
    return [ticket["title"] for ticket in answer.json()]


async def pages(tickets: Served, **query: Any) -> list[list[str]]:
    """The ids on each page. The Link header of a page leads to the next page."""
    path, ids = "/api/tickets", []
    answer = await tickets.ask("GET", path, params=query)
    while True:
        assert answer.status_code == 200, answer.text
        ids.append([ticket["id"] for ticket in answer.json()])
        link = answer.headers.get("link")
        if link is None:
            return ids
        match = re.fullmatch(r'<(/api/tickets\?[^>]+)>; rel="next"', link)
        assert match is not None, link
        answer = await tickets.ask("GET", match[1])


@pytest.mark.parametrize(
    "query", ["cafe", "CAFÉ", "caf", "müller", "mull", "muller cafe", "  Café  ", "live"]
)
async def test_search_matches_beginnings_of_words_and_ignores_case_and_accents(
    tickets: Served, query: str
) -> None:
    await list_ticket("Live im Café", city="Straße", venue="Müller")
    await list_ticket("Hamlet")
    assert await search(tickets, q=query) == ["Live im Café"]


@pytest.mark.parametrize("query", ["afe", "cafe hamlet", ".*", "^", "c.fe", "(", "$", "[a"])
async def test_search_does_not_match_inside_words_or_interpret_regular_expressions(
    tickets: Served, query: str
) -> None:
    await list_ticket("Live im Café")
    await list_ticket("Hamlet")
    assert await search(tickets, q=query) == []


async def test_an_edited_ticket_is_found_by_the_words_of_its_new_title(tickets: Served) -> None:
    key = await list_ticket("Hamlet")
    await actions.edit(key, SELLER, TicketBody.model_validate({"title": "Macbeth", "price": 1}))
    assert await search(tickets, q="hamlet") == []
    assert await search(tickets, q="macb") == ["Macbeth"]


async def test_price_bounds_are_inclusive_and_exact(tickets: Served) -> None:
    for price in ("9.99", "10.00", "19.99", "20.00"):
        await list_ticket(price, price)
    assert await search(tickets, minPrice=10, maxPrice=19.99, sort="price") == ["10.00", "19.99"]
    assert await search(tickets, minPrice="19.99", sort="price") == ["19.99", "20.00"]
    assert await search(tickets, maxPrice="9.99") == ["9.99"]
    assert await search(tickets, minPrice=20.01) == []


async def test_date_bounds_exclude_events_without_a_date(tickets: Served) -> None:
    await list_ticket("undated")
    for day in range(3):
        await list_ticket(f"day {day}", startsAt=(NEW_YEAR + timedelta(days=day)).isoformat())
    assert await search(tickets, sort="date") == ["day 0", "day 1", "day 2", "undated"]
    assert await search(tickets, **{"from": "2031-01-02T00:00:00Z"}) == ["day 2", "day 1"]
    assert await search(tickets, **{"from": "2031-01-02T00:00:00", "sort": "date"}) == ["day 1", "day 2"]
    assert await search(tickets, to="2031-01-02T00:00:00Z", sort="date") == ["day 0", "day 1"]
    assert await search(tickets, to="2031-01-01T01:00:00+02:00") == []


async def test_a_date_bound_can_be_a_day_in_the_time_zone_of_the_event(tickets: Served) -> None:
    """In Tokyo, January 2 begins at 15:00 UTC on January 1."""
    for hour in (14, 15):
        starts = NEW_YEAR.replace(hour=hour).isoformat()
        await list_ticket(f"at {hour}", startsAt=starts, timeZone="Asia/Tokyo", city="Tokyo")
    assert await search(tickets, to="2031-01-01") == ["at 14"]
    assert await search(tickets, **{"from": "2031-01-02", "to": "2031-01-02"}) == ["at 15"]
    assert await facets_of(tickets, **{"from": "2031-01-02"}) == (1, {"tokyo": 1}, {})


@pytest.mark.parametrize("city", ["Köln", "köln", "KOLN", " koln ", "Ko\u0308ln"])
async def test_the_city_filter_ignores_case_and_accents(tickets: Served, city: str) -> None:
    await list_ticket("Hamlet", city="Köln")
    await list_ticket("Köln: the musical", city="Bonn")
    await list_ticket("nowhere")
    assert await search(tickets, city=city) == ["Hamlet"]


@pytest.mark.parametrize("city", ["São Paulo", "sao paulo", "sao-paulo", "SAO-PAULO"])
async def test_the_city_filter_accepts_a_slug(tickets: Served, city: str) -> None:
    await list_ticket("Hamlet", city="São Paulo")
    await list_ticket("Macbeth", city="São Paulo Novo")
    assert await search(tickets, city=city) == ["Hamlet"]


async def test_letters_with_strokes_match_letters_without_strokes(tickets: Served) -> None:
    await list_ticket("Bjørn Łukasz", city="København")
    assert await search(tickets, q="bjorn lukasz kobenhavn") == ["Bjørn Łukasz"]
    assert await search(tickets, q="Bjørn", city="kobenhavn") == ["Bjørn Łukasz"]


async def test_the_category_filter_excludes_other_categories(tickets: Served) -> None:
    await list_ticket("Hamlet", category="theatre")
    await list_ticket("Nick Cave", category="music")
    await list_ticket("something")
    assert await search(tickets, category="theatre") == ["Hamlet"]


async def test_the_response_contains_the_total_number_of_matches(tickets: Served) -> None:
    for n in range(5):
        await list_ticket(f"Hamlet {n}")
    await list_ticket("Macbeth")
    answer = await tickets.ask("GET", "/api/tickets?q=hamlet&limit=2")
    assert (len(answer.json()), answer.headers["x-total-count"]) == (2, "5")
    following = answer.headers["link"].partition(">")[0].removeprefix("<")
    assert (await tickets.ask("GET", following)).headers["x-total-count"] == "5"
    assert (await tickets.ask("GET", "/api/tickets?q=lear")).headers["x-total-count"] == "0"


async def test_a_ticket_leaves_the_list_when_its_event_begins(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = now() + timedelta(hours=1)
    await list_ticket("about to begin", startsAt=start.isoformat())
    await list_ticket("later", startsAt=NEW_YEAR.isoformat())
    monkeypatch.setattr(browse_api, "now", lambda: start - timedelta(milliseconds=1))
    assert await search(tickets, sort="date") == ["about to begin", "later"]
    monkeypatch.setattr(browse_api, "now", lambda: start)
    assert await search(tickets) == ["later"]
    assert (await tickets.ask("GET", "/api/tickets/facets")).json()["total"] == 1


async def test_filters_and_search_words_are_combined(tickets: Served) -> None:
    await list_ticket("Hamlet cheap", 5)
    await list_ticket("Hamlet expensive", 50)
    await list_ticket("Macbeth expensive", 50)
    assert await search(tickets, q="hamlet", minPrice=10) == ["Hamlet expensive"]


async def test_tickets_are_sorted_newest_first_by_default(tickets: Served) -> None:
    for title, price in (("a", 2), ("b", 3), ("c", 1)):
        await list_ticket(title, price)
    assert await search(tickets) == ["c", "b", "a"]
    assert await search(tickets, sort="price") == ["c", "a", "b"]
    assert await search(tickets, sort="-price") == ["b", "a", "c"]


async def test_tickets_without_a_date_come_last_when_sorted_by_date(tickets: Served) -> None:
    undated = [await list_ticket(f"undated {n}") for n in range(3)]
    dated = await list_ticket("dated", startsAt=NEW_YEAR.isoformat())
    assert await pages(tickets, sort="date", limit=2) == [[dated, undated[0]], undated[1:]]


@pytest.mark.parametrize("sort", ["newest", "price", "-price", "date"])
async def test_pages_contain_every_ticket_exactly_once(tickets: Served, sort: str) -> None:
    # Many tickets have the same price or date, so that only their ids determine the order.
    everything = [
        await list_ticket(f"t{n}", 1 + n % 3, startsAt=(NEW_YEAR + timedelta(hours=n % 4)).isoformat())
        for n in range(23)
    ]
    ids_by_page = await pages(tickets, sort=sort, limit=5, q="t")
    assert [len(page) for page in ids_by_page] == [5, 5, 5, 5, 3]
    ids = [key for page in ids_by_page for key in page]
    assert sorted(ids) == sorted(everything)
    (single_page,) = await pages(tickets, sort=sort, limit=100)
    assert ids == single_page


async def test_new_and_withdrawn_tickets_do_not_shift_later_pages(
    tickets: Served,
) -> None:
    keys = [await list_ticket(f"t{n}", 10) for n in range(6)]
    first = await tickets.ask("GET", "/api/tickets?limit=3&sort=price")
    await list_ticket("cheaper", 1)
    await actions.withdraw(keys[0], SELLER)
    following = first.headers["link"].partition(">")[0].removeprefix("<")
    second = await tickets.ask("GET", following)
    assert [ticket["title"] for ticket in first.json() + second.json()] == [f"t{n}" for n in range(6)]


async def test_a_page_has_20_tickets_by_default(tickets: Served) -> None:
    for n in range(21):
        await list_ticket(f"t{n}")
    assert [len(page) for page in await pages(tickets)] == [20, 1]
    assert [len(page) for page in await pages(tickets, limit=21)] == [21]


async def test_a_full_last_page_has_no_link_to_a_next_page(tickets: Served) -> None:
    for n in range(4):
        await list_ticket(f"t{n}")
    assert [len(page) for page in await pages(tickets, limit=2)] == [2, 2]


@pytest.mark.parametrize(
    ("sort", "cursor"),
    [
        ("newest", "x"),
        ("newest", "0" * 23),
        ("newest", '{"$gt": ""}'),
        ("price", "x"),
        ("price", "bnVsbA"),  # null
        ("price", "W10"),  # []
        ("price", "WyJhIiwgImIiXQ"),  # ["a", "b"]
        ("price", "WzEsIDdd"),  # [1, 7]
        ("price", "W3siJGd0IjogMH0sICIwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAiXQ"),  # [{"$gt": 0}, "000…"]
        ("-price", "é"),
        ("price", "WzFlOTk5LCAiMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwIl0"),  # [1e999, "000…"]
        ("price", "WzFlMjUsICIwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAiXQ"),  # [1e25, "000…"]
        ("price", "WzEsIG51bGxd"),  # [1, null]
        ("date", "WzEsICIwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAiXQ"),  # [1, "000…"]
    ],
)
async def test_an_invalid_cursor_is_refused(tickets: Served, sort: str, cursor: str) -> None:
    await list_ticket("Hamlet")
    answer = await tickets.ask("GET", "/api/tickets", params={"sort": sort, "after": cursor})
    assert messages(answer, 400) == ["After must be a cursor of this list"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "many"),
        ("sort", "title"),
        ("category", "opera"),
        ("when", "yesterday"),
        ("city", "x" * 201),
        ("minPrice", "-1"),
        ("minPrice", "cheap"),
        ("maxPrice", "inf"),
        ("from", "tomorrow"),
        ("from", "2031-02-29"),
        ("to", "2031-1-1"),
        ("to", "1924992000"),
        ("q", "x" * 201),
    ],
)
async def test_the_error_for_an_invalid_parameter_names_the_parameter(
    tickets: Served, name: str, value: str
) -> None:
    paths = ["/api/tickets"] if name in ("limit", "sort") else ["/api/tickets", "/api/tickets/facets"]
    for path in paths:
        ((field, message),) = refusal(await tickets.ask("GET", path, params={name: value}), 400)
        assert field == name
        assert "isn't valid" in message


@pytest.mark.parametrize("far", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_a_time_that_utc_cannot_represent_is_refused(tickets: Served, far: str) -> None:
    for name in ("from", "to"):
        answer = await tickets.ask("GET", "/api/tickets", params={name: far})
        assert messages(answer, 400) == ["Times must be within the years 1 to 9999"]
    cursor = base64.urlsafe_b64encode(json.dumps([far, "0" * 24]).encode()).decode().rstrip("=")
    answer = await tickets.ask("GET", "/api/tickets", params={"sort": "date", "after": cursor})
    assert messages(answer, 400) == ["After must be a cursor of this list"]


async def test_a_price_bound_that_is_not_a_number_is_refused(tickets: Served) -> None:
    assert messages(await tickets.ask("GET", "/api/tickets?minPrice=nan"), 400)


async def facets_of(tickets: Served, **query: Any) -> tuple[int, dict[str, int], dict[str, int]]:
    """The number of matching tickets, in total and for each city and each category."""
    answer = await tickets.ask("GET", "/api/tickets/facets", params=query)
    assert answer.status_code == 200, answer.text
    facets = answer.json()
    cities, categories = (
        {facet["value"]: facet["count"] for facet in facets[name]} for name in ("cities", "categories")
    )
    return facets["total"], cities, categories


async def test_facets_count_cities_and_categories_in_descending_order(tickets: Served) -> None:
    await list_ticket("Hamlet", city="Köln", category="theatre")
    await list_ticket("Macbeth", city="KÖLN", category="theatre")
    await list_ticket("Nick Cave", city="Köln", category="music")
    await list_ticket("Nick Cave", city="São Paulo", category="music")
    withdrawn = await list_ticket("withdrawn", city="Bonn", category="art")
    await actions.withdraw(withdrawn, SELLER)
    answer = (await tickets.ask("GET", "/api/tickets/facets")).json()
    assert answer["cities"] == [
        {"value": "koln", "label": "Köln", "count": 3},
        {"value": "sao-paulo", "label": "São Paulo", "count": 1},
    ]
    assert [facet["label"] for facet in answer["categories"]] == ["music", "theatre"]
    assert await facets_of(tickets, q="cave") == (2, {"koln": 1, "sao-paulo": 1}, {"music": 2})


async def test_a_selected_facet_narrows_the_other_facets_but_not_its_own(tickets: Served) -> None:
    await list_ticket("Hamlet", 10, city="Köln", category="theatre")
    await list_ticket("Nick Cave", 20, city="Köln", category="music")
    await list_ticket("Nick Cave", 30, city="Bonn", category="music")
    assert await facets_of(tickets, city="koln") == (
        2,
        {"koln": 2, "bonn": 1},
        {"theatre": 1, "music": 1},
    )
    assert await facets_of(tickets, city="koln", category="music") == (
        1,
        {"koln": 1, "bonn": 1},
        {"theatre": 1, "music": 1},
    )
    assert await facets_of(tickets, maxPrice=10) == (1, {"koln": 1}, {"theatre": 1})


async def similar_to(tickets: Served, key: str) -> list[str]:
    answer = await tickets.ask("GET", f"/api/tickets/{key}/similar")
    assert answer.status_code == 200, answer.text
    return [ticket["title"] for ticket in answer.json()]


async def test_similar_tickets_share_a_city_category_or_word_and_come_soonest_first(tickets: Served) -> None:
    def on(day: int) -> str:
        return (NEW_YEAR + timedelta(days=day)).isoformat()

    key = await list_ticket("The Tempest", city="Köln", category="theatre", startsAt=on(1))
    await list_ticket("same word: tempest", startsAt=on(4))
    await list_ticket("same city", city="KOLN", startsAt=on(2))
    await list_ticket("same category", category="theatre", startsAt=on(3))
    await list_ticket("same short word: the", startsAt=on(1))
    await list_ticket("nothing in common", city="Bonn", category="music", startsAt=on(1))
    expected = ["same city", "same category", "same word: tempest"]
    assert await similar_to(tickets, key) == expected
    await actions.withdraw(key, SELLER)  # the ticket itself doesn't have to be on sale
    assert await similar_to(tickets, key) == expected
    for n in range(3):
        await list_ticket(f"tempest without a date {n}")
    assert await similar_to(tickets, key) == [*expected, "tempest without a date 0"]


async def test_similar_tickets_of_an_unknown_ticket_are_not_found(tickets: Served) -> None:
    for unknown in (old_id(), "7"):
        assert messages(await tickets.ask("GET", f"/api/tickets/{unknown}/similar"), 404) == ["Not found"]
