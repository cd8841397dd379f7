import base64
import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from contracts.api import Ticket, TicketBody
from contracts.wire import now
from services.tickets import actions, browsing
from services.tickets.search import Query, When, entry_of, find
from tests.services.served import Served, messages, new_id, old_id, refusal

SELLER = new_id()
NEW_YEAR = datetime(2031, 1, 1, tzinfo=UTC)


async def offer(title: str, price: object = 10, **fields: Any) -> str:
    body = TicketBody.model_validate({"title": title, "price": price, **fields})
    return (await actions.offer(SELLER, body)).key


async def found(tickets: Served, **query: Any) -> list[str]:
    """The titles of a page of the list, in its order."""
    answer = await tickets.ask("GET", "/api/tickets", params=query)
    assert answer.status_code == 200, answer.text
    return [ticket["title"] for ticket in answer.json()]


async def pages(tickets: Served, **query: Any) -> list[list[str]]:
    """The ids on each page, from the first to the last, as the Link headers lead."""
    path, read = "/api/tickets", []
    answer = await tickets.ask("GET", path, params=query)
    while True:
        assert answer.status_code == 200, answer.text
        read.append([ticket["id"] for ticket in answer.json()])
        link = answer.headers.get("link")
        if link is None:
            return read
        match = re.fullmatch(r'<(/api/tickets\?[^>]+)>; rel="next"', link)
        assert match is not None, link
        answer = await tickets.ask("GET", match[1])


@pytest.mark.parametrize(
    "query", ["cafe", "CAFÉ", "caf", "müller", "mull", "muller cafe", "  Café  ", "live"]
)
async def test_words_are_found_by_their_beginning_without_case_and_accents(
    tickets: Served, query: str
) -> None:
    await offer("Live im Café", city="Straße", venue="Müller")
    await offer("Hamlet")
    assert await found(tickets, q=query) == ["Live im Café"]


@pytest.mark.parametrize("query", ["afe", "cafe hamlet", "cafes", ".*", "^", "c.fe", "(", "$", "[a"])
async def test_what_is_no_beginning_of_a_word_finds_nothing_of_it(tickets: Served, query: str) -> None:
    await offer("Live im Café")
    await offer("Hamlet")
    only_signs = not re.search(r"\w", query)
    assert await found(tickets, q=query) == (["Hamlet", "Live im Café"] if only_signs else [])


async def test_an_edited_ticket_is_found_by_its_new_words(tickets: Served) -> None:
    key = await offer("Hamlet")
    await actions.edit(key, SELLER, TicketBody.model_validate({"title": "Macbeth", "price": 1}))
    assert await found(tickets, q="hamlet") == []
    assert await found(tickets, q="macb") == ["Macbeth"]


async def test_bounds_of_price_are_inclusive_and_exact(tickets: Served) -> None:
    for price in ("9.99", "10.00", "19.99", "20.00"):
        await offer(price, price)
    assert await found(tickets, minPrice=10, maxPrice=19.99, sort="price") == ["10.00", "19.99"]
    assert await found(tickets, minPrice="19.99", sort="price") == ["19.99", "20.00"]
    assert await found(tickets, maxPrice="9.99") == ["9.99"]
    assert await found(tickets, minPrice=20.01) == []


async def test_bounds_of_date_leave_out_events_without_one(tickets: Served) -> None:
    await offer("undated")
    for day in range(3):
        await offer(f"day {day}", startsAt=(NEW_YEAR + timedelta(days=day)).isoformat())
    assert await found(tickets, sort="date") == ["day 0", "day 1", "day 2", "undated"]
    assert await found(tickets, **{"from": "2031-01-02T00:00:00Z"}) == ["day 2", "day 1"]
    assert await found(tickets, **{"from": "2031-01-02T00:00:00", "sort": "date"}) == ["day 1", "day 2"]
    assert await found(tickets, to="2031-01-02T00:00:00Z", sort="date") == ["day 0", "day 1"]
    assert await found(tickets, to="2031-01-01T01:00:00+02:00") == []


async def test_days_are_given_as_such(tickets: Served) -> None:
    """By the clocks of Tokyo the new year's first event is on the second day of it."""
    for hour in (14, 15):
        starts = NEW_YEAR.replace(hour=hour).isoformat()
        await offer(f"at {hour}", startsAt=starts, timeZone="Asia/Tokyo", city="Tokyo")
    assert await found(tickets, to="2031-01-01") == ["at 14"]
    assert await found(tickets, **{"from": "2031-01-02", "to": "2031-01-02"}) == ["at 15"]
    assert await facets_of(tickets, **{"from": "2031-01-02"}) == (1, {"tokyo": 1}, {})


@pytest.mark.parametrize("city", ["Köln", "köln", "KOLN", " koln ", "Ko\u0308ln"])
async def test_a_city_is_the_same_without_case_and_accents(tickets: Served, city: str) -> None:
    await offer("Hamlet", city="Köln")
    await offer("Köln: the musical", city="Bonn")
    await offer("nowhere")
    assert await found(tickets, city=city) == ["Hamlet"]


@pytest.mark.parametrize("city", ["São Paulo", "sao paulo", "sao-paulo", "SAO-PAULO"])
async def test_a_city_may_be_given_as_its_slug(tickets: Served, city: str) -> None:
    await offer("Hamlet", city="São Paulo")
    await offer("Macbeth", city="São Paulo Novo")
    assert await found(tickets, city=city) == ["Hamlet"]


async def test_letters_that_have_no_accent_to_take_away_are_plain_too(tickets: Served) -> None:
    await offer("Bjørn Łukasz", city="København")
    assert await found(tickets, q="bjorn lukasz kobenhavn") == ["Bjørn Łukasz"]
    assert await found(tickets, q="Bjørn", city="kobenhavn") == ["Bjørn Łukasz"]


async def test_a_category_leaves_out_all_others(tickets: Served) -> None:
    await offer("Hamlet", category="theatre")
    await offer("Nick Cave", category="music")
    await offer("something")
    assert await found(tickets, category="theatre") == ["Hamlet"]


async def test_the_answer_says_how_many_match_in_all(tickets: Served) -> None:
    for n in range(5):
        await offer(f"Hamlet {n}")
    await offer("Macbeth")
    answer = await tickets.ask("GET", "/api/tickets?q=hamlet&limit=2")
    assert (len(answer.json()), answer.headers["x-total-count"]) == (2, "5")
    following = answer.headers["link"].partition(">")[0].removeprefix("<")
    assert (await tickets.ask("GET", following)).headers["x-total-count"] == "5"
    assert (await tickets.ask("GET", "/api/tickets?q=lear")).headers["x-total-count"] == "0"


async def test_an_event_leaves_the_list_when_it_begins(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins = now() + timedelta(hours=1)
    await offer("about to begin", startsAt=begins.isoformat())
    await offer("later", startsAt=NEW_YEAR.isoformat())
    monkeypatch.setattr(browsing, "now", lambda: begins - timedelta(milliseconds=1))
    assert await found(tickets, sort="date") == ["about to begin", "later"]
    monkeypatch.setattr(browsing, "now", lambda: begins)
    assert await found(tickets) == ["later"]
    assert (await tickets.ask("GET", "/api/tickets/facets")).json()["total"] == 1


async def test_filters_and_words_hold_together(tickets: Served) -> None:
    await offer("Hamlet cheap", 5)
    await offer("Hamlet dear", 50)
    await offer("Macbeth dear", 50)
    assert await found(tickets, q="hamlet", minPrice=10) == ["Hamlet dear"]


async def test_the_newest_come_first_unless_asked_otherwise(tickets: Served) -> None:
    for title, price in (("a", 2), ("b", 3), ("c", 1)):
        await offer(title, price)
    assert await found(tickets) == ["c", "b", "a"]
    assert await found(tickets, sort="price") == ["c", "a", "b"]
    assert await found(tickets, sort="-price") == ["b", "a", "c"]


async def test_those_without_a_date_come_last_by_date_and_on_pages_of_their_own(tickets: Served) -> None:
    undated = [await offer(f"undated {n}") for n in range(3)]
    dated = await offer("dated", startsAt=NEW_YEAR.isoformat())
    assert await pages(tickets, sort="date", limit=2) == [[dated, undated[0]], undated[1:]]


@pytest.mark.parametrize("sort", ["newest", "price", "-price", "date"])
async def test_pages_give_every_ticket_exactly_once(tickets: Served, sort: str) -> None:
    # Prices and dates that many share: only the id tells such tickets apart.
    everything = [
        await offer(f"t{n}", 1 + n % 3, startsAt=(NEW_YEAR + timedelta(hours=n % 4)).isoformat())
        for n in range(23)
    ]
    read = await pages(tickets, sort=sort, limit=5, q="t")
    assert [len(page) for page in read] == [5, 5, 5, 5, 3]
    flat = [key for page in read for key in page]
    assert sorted(flat) == sorted(everything)
    (whole,) = await pages(tickets, sort=sort, limit=100)
    assert flat == whole


async def test_what_is_offered_or_sold_meanwhile_repeats_and_hides_nothing_on_later_pages(
    tickets: Served,
) -> None:
    keys = [await offer(f"t{n}", 10) for n in range(6)]
    first = await tickets.ask("GET", "/api/tickets?limit=3&sort=price")
    await offer("cheaper", 1)
    await actions.withdraw(keys[0], SELLER)
    following = first.headers["link"].partition(">")[0].removeprefix("<")
    second = await tickets.ask("GET", following)
    assert [ticket["title"] for ticket in first.json() + second.json()] == [f"t{n}" for n in range(6)]


async def test_a_page_has_20_tickets_unless_asked_otherwise(tickets: Served) -> None:
    for n in range(21):
        await offer(f"t{n}")
    assert [len(page) for page in await pages(tickets)] == [20, 1]
    assert [len(page) for page in await pages(tickets, limit=21)] == [21]


async def test_a_full_last_page_leads_nowhere(tickets: Served) -> None:
    for n in range(4):
        await offer(f"t{n}")
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
async def test_a_cursor_of_no_list_is_refused(tickets: Served, sort: str, cursor: str) -> None:
    await offer("Hamlet")
    answer = await tickets.ask("GET", "/api/tickets", params={"sort": sort, "after": cursor})
    assert messages(answer, 400) == ["After isn't a page of this list"]


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
async def test_a_parameter_out_of_its_range_is_named(tickets: Served, name: str, value: str) -> None:
    paths = ["/api/tickets"] if name in ("limit", "sort") else ["/api/tickets", "/api/tickets/facets"]
    for path in paths:
        ((field, message),) = refusal(await tickets.ask("GET", path, params={name: value}), 400)
        assert field == name
        assert "isn't valid" in message


@pytest.mark.parametrize("far", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_a_time_that_utc_cannot_tell_is_refused(tickets: Served, far: str) -> None:
    for name in ("from", "to"):
        answer = await tickets.ask("GET", "/api/tickets", params={name: far})
        assert messages(answer, 400) == ["Times must be within the years 1 to 9999"]
    cursor = base64.urlsafe_b64encode(json.dumps([far, "0" * 24]).encode()).decode().rstrip("=")
    answer = await tickets.ask("GET", "/api/tickets", params={"sort": "date", "after": cursor})
    assert messages(answer, 400) == ["After isn't a page of this list"]


async def test_a_price_that_is_no_number_is_refused(tickets: Served) -> None:
    assert messages(await tickets.ask("GET", "/api/tickets?minPrice=nan"), 400)


async def facets_of(tickets: Served, **query: Any) -> tuple[int, dict[str, int], dict[str, int]]:
    """How many match, and how many of each city and category there are."""
    answer = await tickets.ask("GET", "/api/tickets/facets", params=query)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    cities, categories = (
        {facet["value"]: facet["count"] for facet in said[name]} for name in ("cities", "categories")
    )
    return said["total"], cities, categories


async def test_facets_count_cities_and_categories_most_first(tickets: Served) -> None:
    await offer("Hamlet", city="Köln", category="theatre")
    await offer("Macbeth", city="KÖLN", category="theatre")
    await offer("Nick Cave", city="Köln", category="music")
    await offer("Nick Cave", city="São Paulo", category="music")
    sold = await offer("gone", city="Bonn", category="art")
    await actions.withdraw(sold, SELLER)
    answer = (await tickets.ask("GET", "/api/tickets/facets")).json()
    assert answer["cities"] == [
        {"value": "koln", "label": "Köln", "count": 3},
        {"value": "sao-paulo", "label": "São Paulo", "count": 1},
    ]
    assert [facet["label"] for facet in answer["categories"]] == ["music", "theatre"]
    assert await facets_of(tickets, q="cave") == (2, {"koln": 1, "sao-paulo": 1}, {"music": 2})


async def test_a_chosen_facet_narrows_the_others_but_not_its_own(tickets: Served) -> None:
    await offer("Hamlet", 10, city="Köln", category="theatre")
    await offer("Nick Cave", 20, city="Köln", category="music")
    await offer("Nick Cave", 30, city="Bonn", category="music")
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


async def test_similar_ones_share_city_category_or_a_word_and_come_soonest_first(tickets: Served) -> None:
    def on(day: int) -> str:
        return (NEW_YEAR + timedelta(days=day)).isoformat()

    key = await offer("The Tempest", city="Köln", category="theatre", startsAt=on(1))
    await offer("same word: tempest", startsAt=on(4))
    await offer("same city", city="KOLN", startsAt=on(2))
    await offer("same category", category="theatre", startsAt=on(3))
    await offer("same short word: the", startsAt=on(1))
    await offer("nothing in common", city="Bonn", category="music", startsAt=on(1))
    expected = ["same city", "same category", "same word: tempest"]
    assert await similar_to(tickets, key) == expected
    await actions.withdraw(key, SELLER)  # it need not be for sale itself
    assert await similar_to(tickets, key) == expected
    for n in range(3):
        await offer(f"tempest without a date {n}")
    assert await similar_to(tickets, key) == [*expected, "tempest without a date 0"]


async def test_nothing_is_similar_to_a_ticket_that_does_not_exist(tickets: Served) -> None:
    for unknown in (old_id(), "7"):
        assert messages(await tickets.ask("GET", f"/api/tickets/{unknown}/similar"), 404) == ["Not found"]


def at(starts_at: str, zone: str | None = None) -> Any:
    ticket = Ticket.model_validate(
        {
            "id": new_id(),
            "title": "Hamlet",
            "price": 1,
            "userId": SELLER,
            "version": 0,
            "status": "available",
            "startsAt": starts_at,
            "timeZone": zone,
        }
    )
    return entry_of(ticket)


@pytest.mark.parametrize(
    ("when", "moment", "zone", "starts_at", "is_then"),
    [
        # A Wednesday, noon in UTC
        ("today", "2031-01-01T12:00Z", None, "2031-01-01T23:59:59Z", True),
        ("today", "2031-01-01T12:00Z", None, "2031-01-02T00:00:00Z", False),
        ("today", "2031-01-01T12:00Z", "Asia/Tokyo", "2031-01-01T14:59:59Z", True),
        ("today", "2031-01-01T12:00Z", "Asia/Tokyo", "2031-01-01T15:00:00Z", False),
        ("today", "2031-01-01T02:00Z", "America/New_York", "2031-01-01T04:30:00Z", True),
        ("today", "2031-01-01T02:00Z", "America/New_York", "2031-01-01T20:00:00Z", False),
        ("tomorrow", "2031-01-01T12:00Z", "Asia/Tokyo", "2031-01-01T15:00:00Z", True),
        ("tomorrow", "2031-01-01T12:00Z", "Asia/Tokyo", "2031-01-02T15:00:00Z", False),
        ("tomorrow", "2031-01-01T12:00Z", None, "2031-01-01T20:00:00Z", False),
        ("weekend", "2031-01-01T12:00Z", None, "2031-01-03T23:00:00Z", False),
        ("weekend", "2031-01-01T12:00Z", None, "2031-01-04T00:00:00Z", True),
        ("weekend", "2031-01-01T12:00Z", None, "2031-01-05T23:00:00Z", True),
        ("weekend", "2031-01-01T12:00Z", None, "2031-01-06T00:00:00Z", False),
        ("weekend", "2031-01-05T12:00Z", None, "2031-01-05T20:00:00Z", True),  # Sunday: the one that is
        ("weekend", "2031-01-05T12:00Z", None, "2031-01-11T20:00:00Z", False),
        ("month", "2031-01-15T12:00Z", None, "2031-01-31T23:59:59Z", True),
        ("month", "2031-01-15T12:00Z", None, "2031-02-01T00:00:00Z", False),
        ("month", "2031-12-15T12:00Z", None, "2031-12-31T23:00:00Z", True),
        ("month", "2031-12-15T12:00Z", "Europe/Berlin", "2031-12-31T23:00:00Z", False),
        # The day on which clocks are put forward has 23 hours.
        ("today", "2031-03-30T10:00Z", "Europe/Berlin", "2031-03-30T21:59:59Z", True),
        ("today", "2031-03-30T10:00Z", "Europe/Berlin", "2031-03-30T22:00:00Z", False),
    ],
)
def test_days_are_those_of_the_clocks_where_the_event_is(
    when: When, moment: str, zone: str | None, starts_at: str, is_then: bool
) -> None:
    entry = at(starts_at, zone)
    found = find([entry], Query(when=when), datetime.fromisoformat(moment))
    assert (found == [entry]) == is_then


@pytest.mark.parametrize(
    ("first", "last", "zone", "starts_at", "is_then"),
    [
        ("2031-06-12", "2031-06-12", "Pacific/Kiritimati", "2031-06-11T10:00:00Z", True),  # 14 hours ahead
        ("2031-06-12", "2031-06-12", "Pacific/Kiritimati", "2031-06-11T09:59:59.999Z", False),
        ("2031-06-12", "2031-06-12", "Pacific/Kiritimati", "2031-06-12T09:59:59.999Z", True),
        ("2031-06-12", "2031-06-12", "Pacific/Kiritimati", "2031-06-12T10:00:00Z", False),
        ("2031-06-12", "2031-06-13", "Pacific/Pago_Pago", "2031-06-12T10:59:59Z", False),  # 11 hours behind
        ("2031-06-12", "2031-06-13", "Pacific/Pago_Pago", "2031-06-12T11:00:00Z", True),
        ("2031-06-12", "2031-06-13", "Pacific/Pago_Pago", "2031-06-14T10:59:59Z", True),
        ("2031-06-12", None, "Asia/Tokyo", "2031-06-11T15:00:00Z", True),
        ("2031-06-12", None, "Asia/Tokyo", "2031-06-11T14:59:59Z", False),
        (None, "2031-06-12", "Asia/Tokyo", "2031-06-12T14:59:59Z", True),
        (None, "2031-06-12", "Asia/Tokyo", "2031-06-12T15:00:00Z", False),
        ("2031-06-12", "2031-06-12", None, "2031-06-12T23:59:59Z", True),
        ("2031-06-12", "2031-06-12", None, "2031-06-13T00:00:00Z", False),
        ("0001-01-01", "9999-12-31", "Pacific/Kiritimati", "2031-06-13T00:00:00Z", True),
    ],
)
def test_days_that_are_given_are_those_of_the_clocks_there_from_midnight_to_midnight(
    first: str | None, last: str | None, zone: str | None, starts_at: str, is_then: bool
) -> None:
    entry = at(starts_at, zone)
    bounds = [None if day is None else date.fromisoformat(day) for day in (first, last)]
    found = find([entry], Query(starts_from=bounds[0], starts_to=bounds[1]), NEW_YEAR)
    assert (found == [entry]) == is_then


def test_days_that_are_given_and_a_choice_of_days_hold_together() -> None:
    today = Query(when="today", starts_from=date(2031, 1, 1), starts_to=date(2031, 1, 1))
    assert find([entry := at("2031-01-01T12:00Z")], today, NEW_YEAR) == [entry]
    assert find([at("2031-01-01T12:00Z")], replace(today, starts_from=date(2031, 1, 2)), NEW_YEAR) == []
    assert find([at("2031-01-01T12:00Z")], replace(today, when="tomorrow"), NEW_YEAR) == []


def test_what_has_no_date_is_on_no_day() -> None:
    undated = at(NEW_YEAR.isoformat())
    undated = entry_of(undated.ticket.model_copy(update={"starts_at": None}))
    for when in ("today", "tomorrow", "weekend", "month"):
        assert find([undated], Query(when=when), NEW_YEAR) == []
    for bound in (date(2031, 1, 1), date.max, NEW_YEAR):
        assert find([undated], Query(starts_from=bound), NEW_YEAR) == []
        assert find([undated], Query(starts_to=bound), NEW_YEAR) == []
    assert find([undated], Query(), NEW_YEAR) == [undated]
