"""Days begin and end in the time zone of the event."""

from dataclasses import replace
from datetime import date, datetime

import pytest

from contracts.api import Ticket
from services.tickets.query import Query, When, next_midnight
from services.tickets.search_index import SearchIndex
from tests.unit.search.builders import NEW_YEAR, hits, index_of, ticket


def at(starts_at: str | None, zone: str | None = None) -> Ticket:
    return ticket(1, startsAt=starts_at, timeZone=zone)


def is_found(index: SearchIndex, query: Query, now: datetime = NEW_YEAR) -> bool:
    return bool(hits(index, query, now=now))


ELSEWHERE = [
    ticket(number, "elsewhere", startsAt="2031-06-12T12:00Z", timeZone=zone)
    for number, zone in enumerate(("Asia/Tokyo", "Pacific/Kiritimati", "Pacific/Pago_Pago", None), 2)
]
"""Tickets in other time zones, whose days begin at other times."""


@pytest.mark.parametrize(
    ("when", "moment", "zone", "starts_at", "matches"),
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
        # On a Sunday, the weekend is the current one.
        ("weekend", "2031-01-05T12:00Z", None, "2031-01-05T20:00:00Z", True),
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
def test_relative_days_use_the_time_zone_of_the_event(
    when: When, moment: str, zone: str | None, starts_at: str, matches: bool
) -> None:
    for others in ((), ELSEWHERE):
        index = index_of([at(starts_at, zone), *others])
        assert (
            is_found(index, Query(when=when, category=None, text="hamlet"), datetime.fromisoformat(moment))
            == matches
        )


@pytest.mark.parametrize(
    ("first", "last", "zone", "starts_at", "matches"),
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
def test_given_days_last_from_midnight_to_midnight_in_the_time_zone_of_the_event(
    first: str | None, last: str | None, zone: str | None, starts_at: str, matches: bool
) -> None:
    bounds = [None if day is None else date.fromisoformat(day) for day in (first, last)]
    query = Query("hamlet", starts_from=bounds[0], starts_to=bounds[1])
    for others in ((), ELSEWHERE):
        assert is_found(index_of([at(starts_at, zone), *others]), query) == matches


def test_given_days_and_relative_days_are_combined() -> None:
    index = index_of([at("2031-01-01T12:00Z")])
    today = Query(when="today", starts_from=date(2031, 1, 1), starts_to=date(2031, 1, 1))
    assert is_found(index, today)
    assert not is_found(index, replace(today, starts_from=date(2031, 1, 2)))
    assert not is_found(index, replace(today, when="tomorrow"))


def test_an_event_without_a_date_matches_no_day() -> None:
    index = index_of([at(None)])
    for when in ("today", "tomorrow", "weekend", "month"):
        assert not is_found(index, Query(when=when))
    for bound in (date(2031, 1, 1), date.max, NEW_YEAR):
        assert not is_found(index, Query(starts_from=bound))
        assert not is_found(index, Query(starts_to=bound))
    assert is_found(index, Query())


def test_the_next_midnight_is_that_of_the_first_zone_in_which_a_day_begins() -> None:
    noon = NEW_YEAR.replace(hour=12)
    assert (
        next_midnight(["", "Asia/Tokyo", "America/New_York"], noon) == NEW_YEAR.replace(hour=15).timestamp()
    )
    assert next_midnight([""], noon) == NEW_YEAR.replace(day=2).timestamp()
    assert next_midnight([], noon) == float("inf")


def test_a_result_changes_at_the_next_start_and_a_relative_day_also_at_midnight() -> None:
    noon = NEW_YEAR.replace(hour=12)
    index = index_of([ticket(1, startsAt="2031-01-02T10:00Z"), ticket(2, startsAt="2031-01-03T10:00Z")])
    start = NEW_YEAR.replace(day=2, hour=10).timestamp()
    assert index.changes_at(Query(), noon) == start
    assert index.changes_at(Query(when="today"), noon) == NEW_YEAR.replace(day=2).timestamp()
    index.remove(f"{1:024x}")
    assert index.changes_at(Query(), noon) == NEW_YEAR.replace(day=3, hour=10).timestamp()
    index.remove(f"{2:024x}")
    assert index.changes_at(Query(), noon) == float("inf")
