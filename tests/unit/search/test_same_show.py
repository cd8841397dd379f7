"""Tickets for the same event come first among similar ones."""

from contracts.api import Ticket
from services.tickets.search_index import MAX_SIMILAR, SearchIndex
from tests.unit.search.builders import index_of, ticket

SHOW, OTHER = "a" * 24, "b" * 24


def similar(index: SearchIndex, to: Ticket) -> list[str]:
    return [hit.id[-2:] for hit in index.similar(to)]


def test_tickets_for_the_same_event_come_first_and_the_cheapest_of_them_before_all() -> None:
    sold = ticket(1, city="Berlin", showId=SHOW)
    index = index_of(
        [
            ticket(2, city="Berlin", startsAt="2031-01-02T20:00:00Z", price=5, showId=OTHER),
            ticket(3, city="Berlin", startsAt="2031-03-01T20:00:00Z", price=40, showId=SHOW),
            ticket(4, city="Berlin", startsAt="2031-03-01T20:00:00Z", price=30, showId=SHOW),
        ]
    )
    assert similar(index, sold) == ["04", "03", "02"]


def test_a_popular_event_leaves_no_room_for_others() -> None:
    sold = ticket(1, city="Berlin", showId=SHOW)
    same = [ticket(number, price=number, showId=SHOW) for number in range(10, 10 + MAX_SIMILAR)]
    index = index_of([*same, ticket(2, city="Berlin")])
    assert len(similar(index, sold)) == MAX_SIMILAR
    assert "02" not in similar(index, sold)


def test_tickets_of_no_event_have_no_event_in_common() -> None:
    index = index_of([ticket(2, title="Othello"), ticket(3, city="Berlin")])
    assert similar(index, ticket(1, city="Berlin")) == ["03"]
