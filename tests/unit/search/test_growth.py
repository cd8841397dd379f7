"""The CPU time of a search grows much more slowly than the number of tickets.

A search among 30 times as many tickets may take at most 15 times as long. One that reads all tickets would
take 30 times as long.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from itertools import accumulate

import pytest

from contracts.api import Ticket
from contracts.tickets import CATEGORIES
from services.tickets.query import Query
from services.tickets.search_index import SearchIndex
from services.tickets.search_shows import newest, offers, soonest
from services.tickets.search_sql import Sort
from tests.unit.search.builders import NEW_YEAR, ticket

FEW, MANY = 1_000, 30_000
MAX_GROWTH = 15
BATCH = 200
SYLLABLES = "ka lo mi ra tor ben vel sha nor din che fu gra ste pol lin mar qu ze wy".split()
ZONES = ["Europe/Berlin", "America/New_York", "Asia/Tokyo", None]


def made_up(count: int) -> list[Ticket]:
    """Tickets whose words and cities are as unevenly frequent as in reality."""
    chance = random.Random(1)  # noqa: S311 - test data
    words = ["".join(chance.choices(SYLLABLES, k=chance.randint(2, 4))) for _ in range(8000)]
    frequencies = list(accumulate(1 / (rank + 10) for rank in range(len(words))))
    model = ticket(0)

    def text(length: int) -> str:
        return " ".join(chance.choices(words, cum_weights=frequencies, k=length)).title()

    return [
        model.model_copy(
            update={
                "id": f"{number:024x}",
                "title": text(chance.randint(2, 5)),
                "venue": text(2),
                "city": words[int(400 * chance.random() ** 2)].title(),
                "category": chance.choice(CATEGORIES),
                "price": model.price * chance.randint(1, 30),
                "starts_at": NEW_YEAR + timedelta(minutes=chance.randint(1, 500_000)),
                "time_zone": chance.choice(ZONES),
                "show_id": f"{number // 8:024x}",
            }
        )
        for number in range(count)
    ]


def index_of(tickets: Sequence[Ticket]) -> SearchIndex:
    index = SearchIndex()
    for start in range(0, len(tickets), BATCH):
        with index.batch():
            for each in tickets[start : start + BATCH]:
                index.put(each, b"x" * 600)
    index.merge_gradually()
    return index


@pytest.fixture(scope="module")
def tickets() -> list[Ticket]:
    return made_up(MANY)


@pytest.fixture(scope="module")
def indexes(tickets: list[Ticket]) -> Iterator[tuple[SearchIndex, SearchIndex]]:
    few, many = index_of(tickets[:FEW]), index_of(tickets)
    with closing(few), closing(many):
        yield few, many


def growth(indexes: tuple[SearchIndex, SearchIndex], work: Callable[[SearchIndex], object]) -> float:
    """How many times as long the work takes with many tickets as with few."""
    few, many = indexes
    return milliseconds(lambda: work(many)) / milliseconds(lambda: work(few))


def milliseconds(work: Callable[[], object]) -> float:
    """The CPU time of the fastest of several runs."""
    found = []
    for _ in range(5):
        began = time.thread_time()
        work()
        found.append((time.thread_time() - began) * 1000)
    return min(found)


LISTS: dict[str, tuple[Query, Sort]] = {
    "the newest": (Query(), "newest"),
    "the cheapest": (Query(), "price"),
    "the most expensive of a category": (Query(category="music"), "-price"),
    "a letter": (Query("k"), "date"),
    "a price range": (Query(min_price=50, max_price=60), "newest"),
    "a weekend": (Query(when="weekend"), "date"),
    "nothing": (Query("xyzzy"), "newest"),
}


@pytest.mark.parametrize("name", LISTS)
def test_the_time_of_a_list_grows_slowly(name: str, indexes: tuple[SearchIndex, SearchIndex]) -> None:
    query, sort = LISTS[name]
    assert growth(indexes, lambda index: index.find(query, sort, None, 21, NEW_YEAR)) < MAX_GROWTH


def test_the_time_of_a_search_for_a_title_grows_slowly(
    tickets: list[Ticket], indexes: tuple[SearchIndex, SearchIndex]
) -> None:
    for text in (tickets[7].title, tickets[7].title.split()[0]):
        query = Query(text)
        assert growth(indexes, lambda index: index.find(query, "price", None, 21, NEW_YEAR)) < MAX_GROWTH  # noqa: B023


def test_the_time_of_events_grows_slowly(indexes: tuple[SearchIndex, SearchIndex]) -> None:
    for query in (Query(), Query(when="weekend"), Query("k"), Query(category="music")):
        assert growth(indexes, lambda index: soonest(index, query, 8, NEW_YEAR)) < MAX_GROWTH  # noqa: B023
    assert growth(indexes, lambda index: newest(index, "", 8)) < MAX_GROWTH
    shows = [f"{number:024x}" for number in range(8)]
    assert growth(indexes, lambda index: offers(index, shows, Query(), 3, NEW_YEAR)) < MAX_GROWTH


def test_the_time_to_correct_a_word_grows_slowly(
    tickets: list[Ticket], indexes: tuple[SearchIndex, SearchIndex]
) -> None:
    word = max(tickets[7].title.split(), key=len)
    misspelled = Query(f"{word[:3]}{word[4:]}x")
    assert growth(indexes, lambda index: index.corrected(misspelled)) < MAX_GROWTH


def test_the_time_of_facets_similar_tickets_and_changes_grows_slowly(
    tickets: list[Ticket], indexes: tuple[SearchIndex, SearchIndex]
) -> None:
    assert growth(indexes, lambda index: index.facets(Query(), NEW_YEAR)) < MAX_GROWTH
    assert growth(indexes, lambda index: index.similar(tickets[7])) < MAX_GROWTH
    assert growth(indexes, lambda index: index.put(tickets[7], b"y" * 600)) < MAX_GROWTH
