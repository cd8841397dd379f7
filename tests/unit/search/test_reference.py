"""The search index finds the same as a naive search that looks at every ticket."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.api import Facets, Ticket
from contracts.tickets import CATEGORIES
from services.tickets.folding import slug, words
from services.tickets.query import Query
from services.tickets.search_index import SearchIndex
from services.tickets.search_sql import Sort
from tests.unit.search.builders import NEW_YEAR, hits, index_of, ticket

WORDS = [
    "ann",
    "anna",
    "annabel",
    "cave",
    "café",
    "köln",
    "koeln",
    "o'neill",
    "ac/dc",
    "東京",
    "東",
    "!!!",
    "🎸",
]
CITIES = ["Köln", "KÖLN", "Bonn", "São Paulo"]
ZONES = ["Asia/Tokyo", "America/New_York", None]

texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
starts = st.none() | st.integers(-24, 24 * 40).map(lambda hours: NEW_YEAR + timedelta(hours=hours))


@st.composite
def listed(draw: st.DrawFn) -> list[Ticket]:
    count = draw(st.integers(0, 25))
    return [
        ticket(
            number,
            draw(texts),
            draw(st.integers(1, 5)),
            startsAt=draw(starts),
            city=draw(st.none() | st.sampled_from(CITIES)),
            category=draw(st.none() | st.sampled_from(CATEGORIES[:2])),
            timeZone=draw(st.sampled_from(ZONES)),
        )
        for number in range(count)
    ]


queries = st.builds(
    Query,
    text=st.just("") | texts | st.sampled_from(["an", "k", "caves", "oneill", "acdc", "京", "!", "zzz"]),
    city=st.just("") | st.sampled_from([*CITIES, "sao-paulo", "Ulm"]),
    category=st.none() | st.sampled_from(CATEGORIES[:3]),
    when=st.none() | st.sampled_from(["today", "tomorrow", "weekend", "month"]),
    starts_from=st.none() | st.dates(NEW_YEAR.date(), (NEW_YEAR + timedelta(days=20)).date()),
    starts_to=st.none()
    | st.datetimes(NEW_YEAR.replace(tzinfo=None)).map(lambda at: at.replace(tzinfo=NEW_YEAR.tzinfo)),
    min_price=st.none() | st.integers(0, 6),
    max_price=st.none() | st.integers(0, 6),
)
sorts = st.sampled_from(["newest", "price", "-price", "date"])

# What each text of `queries` finds, written out: the words that it is a beginning or another spelling of.
FINDS: dict[str, set[str]] = {
    "an": {"ann", "anna", "annabel"},
    "ann": {"ann", "anna", "annabel"},
    "anna": {"anna", "annabel"},
    "annabel": {"annabel"},
    "k": {"köln", "koeln"},
    "köln": {"köln", "koeln"},
    "koeln": {"köln", "koeln"},
    "cave": {"cave"},
    "caves": set(),
    "café": {"café"},
    "o'neill": {"o'neill"},
    "oneill": {"o'neill"},
    "ac/dc": {"ac/dc"},
    "acdc": {"ac/dc"},
    "東": {"東京", "東"},
    "東京": {"東京"},
    "京": {"東京"},
    "!!!": {"!!!"},
    "!": {"!!!"},
    "🎸": {"🎸"},
    "zzz": set(),
}


def matches(listed: Ticket, query: Query, now: datetime) -> bool:
    has = set(f"{listed.title} {(listed.city or '').lower()}".split())
    return (
        (listed.starts_at is None or listed.starts_at > now)
        and all(FINDS[word] & has for word in query.text.split())
        and (not query.city or slug(listed.city or "") == slug(query.city))
        and query.category in (None, listed.category)
        and (query.min_price is None or listed.price >= query.min_price)
        and (query.max_price is None or listed.price <= query.max_price)
        and is_then(listed, query, now)
    )


def is_then(listed: Ticket, query: Query, now: datetime) -> bool:
    if query.when is None and query.starts_from is None and query.starts_to is None:
        return True
    if listed.starts_at is None:
        return False
    zone = ZoneInfo(listed.time_zone or "UTC")
    day, today = listed.starts_at.astimezone(zone).date(), now.astimezone(zone).date()
    saturday = today + timedelta(days=5 - today.weekday())
    days = {
        "today": [today],
        "tomorrow": [today + timedelta(days=1)],
        "weekend": [saturday, saturday + timedelta(days=1)],
        "month": [day] if (day.year, day.month) == (today.year, today.month) else [],
        None: [day],
    }
    return (
        day in days[query.when]
        and (query.starts_from is None or day >= query.starts_from)
        and (query.starts_to is None or listed.starts_at <= query.starts_to)
    )


def key(listed: Ticket, sort: Sort) -> tuple[Any, ...]:
    starts = float("inf") if listed.starts_at is None else listed.starts_at.timestamp()
    first = {"newest": (), "price": (listed.price,), "-price": (listed.price,), "date": (starts,)}[sort]
    return *first, listed.id


def naive(tickets: list[Ticket], query: Query, sort: Sort) -> list[str]:
    found = [each for each in tickets if matches(each, query, NEW_YEAR)]
    found.sort(key=lambda each: key(each, sort), reverse=sort in ("newest", "-price"))
    return [each.id for each in found]


@given(listed(), queries, sorts)
@settings(max_examples=400)
def test_a_list_is_equal_to_that_of_a_naive_search(tickets: list[Ticket], query: Query, sort: Sort) -> None:
    expected = naive(tickets, query, sort)
    for many in (1, 1000):  # few tickets per page, and all of them, are found in different ways
        index = index_of(tickets)
        assert [hit.id for hit in hits(index, query, sort, limit=many)] == expected[:many]


@given(listed(), queries, sorts, st.integers(1, 5))
def test_pages_are_the_list_in_parts(tickets: list[Ticket], query: Query, sort: Sort, limit: int) -> None:
    index = index_of(tickets)
    index.drop_begun(NEW_YEAR)
    read, after = [], None
    while True:
        page, total = index.find(query, sort, after, limit, NEW_YEAR)
        read += [hit.id for hit in page]
        if len(page) < limit:
            break
        after = page[-1].key(sort)
    assert read == naive(tickets, query, sort)
    assert total == len(read)


@given(listed(), queries)
@settings(max_examples=200)
def test_facets_are_those_of_a_naive_search(tickets: list[Ticket], query: Query) -> None:
    index = index_of(tickets)
    index.drop_begun(NEW_YEAR)
    counted = index.facets(query, NEW_YEAR)
    assert counted.total == len(naive(tickets, query, "newest"))
    others = [each for each in tickets if matches(each, _without(query, city=""), NEW_YEAR)]
    cities = Counter(slug(each.city) for each in others if each.city)
    assert {facet.value: facet.count for facet in counted.cities} == cities
    assert all(slug(facet.label) == facet.value for facet in counted.cities)
    others = [each for each in tickets if matches(each, _without(query, category=None), NEW_YEAR)]
    assert {facet.value: facet.count for facet in counted.categories} == Counter(
        each.category for each in others if each.category
    )
    assert _is_sorted(counted)


@given(listed(), st.data())
def test_similar_tickets_are_those_of_a_naive_search(tickets: list[Ticket], data: st.DataObject) -> None:
    if not tickets:
        return
    index = index_of(tickets)
    index.drop_begun(NEW_YEAR)
    to = data.draw(st.sampled_from(tickets))
    shared = {word for word in words(to.title, to.city) if len(word) >= 4}
    alike = [
        each
        for each in tickets
        if matches(each, Query(), NEW_YEAR)
        and each.id != to.id
        and (
            (each.city and slug(each.city) == slug(to.city or ""))
            or (each.category and each.category == to.category)
            or shared & spellings(each)
        )
    ]
    alike.sort(key=lambda each: key(each, "date"))
    assert [hit.id for hit in index.similar(to)] == [each.id for each in alike[:4]]


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | texts), max_size=40))
def test_an_index_with_a_history_is_equal_to_a_new_one(changes: list[tuple[int, str | None]]) -> None:
    index = SearchIndex()
    present: dict[int, Ticket] = {}
    for number, (which, title) in enumerate(changes):
        if title is None:
            index.remove(f"{which:024x}")
            present.pop(which, None)
        else:
            present[which] = ticket(which, title, version=number, city=CITIES[number % 4], category="music")
            index.put(present[which], b"")
    new = index_of(present.values())
    for text in FINDS:
        assert {hit.id for hit in hits(index, Query(text))} == {hit.id for hit in hits(new, Query(text))}
    assert index.facets(Query(), NEW_YEAR) == new.facets(Query(), NEW_YEAR)
    assert index.facets(Query("an"), NEW_YEAR) == new.facets(Query("an"), NEW_YEAR)


@given(st.text(max_size=30), st.text(max_size=30))
@settings(max_examples=300)
def test_any_text_can_be_searched_and_finds_itself(title: str, text: str) -> None:
    index = index_of([ticket(1).model_copy(update={"title": title})])
    assert len(hits(index, Query(title))) == 1
    hits(index, Query(text))
    index.remove(f"{1:024x}")
    assert hits(index, Query()) == []


def spellings(listed: Ticket) -> set[str]:
    text = f"{listed.title} {listed.city or ''}"
    return {*words(text), *words(text.lower().replace("ö", "oe"))}


def _without(query: Query, **fields: Any) -> Query:
    return Query(**{**{name: getattr(query, name) for name in Query.__slots__}, **fields})


def _is_sorted(facets: Facets) -> bool:
    orders = [[(-facet.count, facet.label) for facet in each] for each in (facets.cities, facets.categories)]
    return all(order == sorted(order) for order in orders)
