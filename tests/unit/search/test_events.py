"""The events of tickets in the search index."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.api import Ticket
from services.tickets.query import Query
from services.tickets.search_index import SearchIndex
from services.tickets.search_shows import NEWEST_TICKETS, newest, offers, soonest, still_offered
from tests.unit.search.builders import NEW_YEAR, hits, index_of, ticket

SHOWS = [f"{number:024x}" for number in range(6)]
CITIES = ["Berlin", "Köln"]


def listed(number: int, show: int, **fields: Any) -> Ticket:
    """A ticket for an event, which begins on that day of the year and is in the first or the second city."""
    values = {
        "startsAt": NEW_YEAR + timedelta(days=show, hours=20),
        "city": CITIES[show % 2],
        "showId": SHOWS[show],
        **fields,
    }
    return ticket(number, f"Event{show} Live", **values)


@pytest.fixture
def index() -> SearchIndex:
    return index_of(
        [
            listed(1, 4, price=80, quantity=2),
            listed(2, 1, price=50),
            listed(3, 1, price=30),
            listed(4, 2, price=20),
            ticket(5, "Event Live", city="Berlin"),
            listed(6, 0, startsAt=None),
        ]
    )


@pytest.mark.parametrize(
    ("query", "shows"),
    [
        (Query(), [1, 2, 4]),
        (Query("live"), [1, 2, 4]),
        (Query("event4"), [4]),
        (Query(city="berlin"), [2, 4]),
        (Query(when="weekend"), [4]),
        (Query(max_price=40), [1, 2, 4]),
        (Query(max_price=20), [2]),
        (Query("nothing"), []),
    ],
)
def test_events_of_matching_tickets_are_found_the_soonest_first(
    index: SearchIndex, query: Query, shows: list[int]
) -> None:
    assert soonest(index, query, 8, NEW_YEAR) == [SHOWS[show] for show in shows]
    assert soonest(index, query, 1, NEW_YEAR) == [SHOWS[show] for show in shows[:1]]


def test_events_with_the_newest_tickets_come_first(index: SearchIndex) -> None:
    assert newest(index, "", 8) == [SHOWS[show] for show in (0, 2, 1, 4)]
    assert newest(index, "Berlin", 2) == [SHOWS[show] for show in (0, 2)]


def test_only_among_the_newest_tickets_are_new_events_looked_for() -> None:
    many = [listed(number, 2) for number in range(2, NEWEST_TICKETS + 2)]
    assert newest(index_of([listed(1, 4), *many]), "", 8) == [SHOWS[2]]


def test_popular_events_without_a_ticket_or_in_another_city_are_left_out(index: SearchIndex) -> None:
    popular = [SHOWS[show] for show in (3, 4, 1, 2)]
    assert still_offered(index, popular, "", 8) == [SHOWS[show] for show in (4, 1, 2)]
    assert still_offered(index, popular, "berlin", 1) == [SHOWS[4]]


def test_an_offer_has_the_lowest_price_per_ticket_and_the_cheapest_tickets(index: SearchIndex) -> None:
    found = offers(index, [SHOWS[show] for show in (1, 3, 4)], Query(), 1, NEW_YEAR)
    assert [(offer.show_id, offer.lowest, offer.on_sale) for offer in found] == [
        (SHOWS[1], 3000, 2),
        (SHOWS[4], 4000, 1),
    ]
    assert [Ticket.model_validate_json(offer.cheapest[0]).id[-1] for offer in found] == ["3", "1"]


def test_an_offer_has_only_tickets_within_the_bounds(index: SearchIndex) -> None:
    [offer] = offers(index, [SHOWS[1]], Query(min_price=40), 3, NEW_YEAR)
    assert (offer.lowest, offer.on_sale, len(offer.cheapest)) == (5000, 1, 1)


def test_prices_are_compared_per_ticket() -> None:
    index = index_of(
        [ticket(1, "Pair", 80, quantity=2), ticket(2, "One", 50), ticket(3, "Three", 10, quantity=3)]
    )
    assert [hit.id[-1] for hit in hits(index, Query(), "price")] == ["3", "1", "2"]
    assert [hit.id[-1] for hit in hits(index, Query(max_price=40), "price")] == ["3", "1"]
    assert [hit.id[-1] for hit in hits(index, Query(min_price=3.33, max_price=3.33))] == ["3"]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), max_size=40), st.integers(1, 6))
def test_events_are_those_of_a_naive_search(tickets: list[tuple[int, int]], limit: int) -> None:
    index = index_of(listed(number, show, price=price) for number, (show, price) in enumerate(tickets))
    for query, matching in (
        (Query(), tickets),
        (Query("live", max_price=5), [each for each in tickets if each[1] <= 5]),
        (Query(city="koln", min_price=5), [each for each in tickets if each[1] >= 5 and each[0] % 2]),
    ):
        expected = [SHOWS[show] for show in sorted({show for show, _ in matching})]
        assert soonest(index, query, limit, NEW_YEAR) == expected[:limit]
