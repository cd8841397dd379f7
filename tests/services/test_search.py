import base64
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.api import TicketBody
from services.tickets import actions
from tests.services.served import Served, messages, new_id, refusal

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
    assert await found(tickets, sort="date") == ["day 0", "day 1", "day 2"]
    assert await found(tickets, **{"from": "2031-01-02T00:00:00Z"}) == ["day 2", "day 1"]
    assert await found(tickets, **{"from": "2031-01-02T00:00:00", "sort": "date"}) == ["day 1", "day 2"]
    assert await found(tickets, to="2031-01-02T00:00:00Z", sort="date") == ["day 0", "day 1"]
    assert await found(tickets, to="2031-01-01T01:00:00+02:00") == []


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
        ("minPrice", "-1"),
        ("minPrice", "cheap"),
        ("maxPrice", "inf"),
        ("from", "tomorrow"),
        ("q", "x" * 201),
    ],
)
async def test_a_parameter_out_of_its_range_is_named(tickets: Served, name: str, value: str) -> None:
    ((field, message),) = refusal(await tickets.ask("GET", "/api/tickets", params={name: value}), 400)
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
