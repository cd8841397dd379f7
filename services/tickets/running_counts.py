"""The number of tickets in each city and category, updated with each change."""

from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import count

from contracts.api import Facet, Facets
from services.tickets.query import Span

MAX_CITIES = 100

Groups = Sequence[tuple[int, int]]
"""The numbers of kinds, each with a number of tickets."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What tickets have in common that are counted together."""

    city: str
    """The city's slug."""
    label: str
    """The city as the seller spelled it."""
    category: str


@dataclass(slots=True)
class _Values:
    """The prices and the dates of the tickets of a kind, each in ascending order."""

    prices: list[int] = field(default_factory=list)
    """In minor units."""
    starts: dict[str, list[float]] = field(default_factory=dict)
    """By time zone, in seconds since 1970."""

    def add(self, price: int, starts: float, zone: str) -> None:
        insort(self.prices, price)
        insort(self.starts.setdefault(zone, []), starts)

    def remove(self, price: int, starts: float, zone: str) -> None:
        del self.prices[bisect_left(self.prices, price)]
        in_zone = self.starts[zone]
        del in_zone[bisect_left(in_zone, starts)]
        if not in_zone:
            del self.starts[zone]


class RunningCounts:
    """How many tickets there are of each kind. A query would take tens of milliseconds."""

    def __init__(self) -> None:
        self.total = 0
        self._numbers: dict[Kind, int] = {}
        self._kinds: dict[int, Kind] = {}
        self._tickets: Counter[int] = Counter()
        self._values: defaultdict[int, _Values] = defaultdict(_Values)
        self._of_cities: Counter[str] = Counter()
        self._of_categories: Counter[str] = Counter()
        self._next_number = count(1)

    @property
    def kinds(self) -> int:
        """The number of kinds."""
        return len(self._kinds)

    def add(self, kind: Kind, price: int, starts: float, zone: str) -> int:
        """Count a ticket. The number stands for its kind."""
        number = self._numbers.get(kind)
        if number is None:
            number = self._numbers[kind] = next(self._next_number)
            self._kinds[number] = kind
        self._tickets[number] += 1
        self._values[number].add(price, starts, zone)
        self._change_totals(kind, 1)
        return number

    def remove(self, number: int, price: int, starts: float, zone: str) -> Kind:
        """Count one ticket less of this kind."""
        kind = self._kinds[number]
        self._tickets[number] -= 1
        self._values[number].remove(price, starts, zone)
        self._change_totals(kind, -1)
        if not self._tickets[number]:
            del self._tickets[number], self._values[number], self._kinds[number], self._numbers[kind]
        return kind

    def by_price(self, lowest: int | None, highest: int | None) -> Groups:
        """The kinds, and how many of their tickets have a price within these bounds, both inclusive."""
        groups = []
        for number, values in self._values.items():
            prices = values.prices
            first = 0 if lowest is None else bisect_left(prices, lowest)
            end = len(prices) if highest is None else bisect_right(prices, highest)
            if end > first:
                groups.append((number, end - first))
        return groups

    def by_date(self, spans: Mapping[Span, Iterable[str]]) -> Groups:
        """The kinds, and how many of their tickets begin within the span of their time zone."""
        span_of = {zone: span for span, zones in spans.items() for zone in zones}
        groups = []
        for number, values in self._values.items():
            tickets = 0
            for zone, starts in values.starts.items():
                first, end = span_of[zone]
                tickets += max(0, bisect_left(starts, end) - bisect_left(starts, first))
            if tickets:
                groups.append((number, tickets))
        return groups

    def within(self, city: str, category: str, groups: Groups) -> int:
        """The number of tickets in groups that are of a city and a category; empty texts stand for all."""
        return sum(
            tickets
            for number, tickets in groups
            if city in ("", self._kinds[number].city) and category in ("", self._kinds[number].category)
        )

    def count(self, city: str, category: str) -> int:
        """The number of tickets of a city and a category; an empty text stands for all of them."""
        if not city:
            return self._of_categories[category] if category else self.total
        if not category:
            return self._of_cities[city]
        return sum(
            self._tickets[number]
            for number, kind in self._kinds.items()
            if kind.city == city and kind.category == category
        )

    def facets(self, city: str, category: str, groups: Groups | None = None) -> Facets:
        """All cities and categories, each with its number of tickets. The city doesn't restrict the cities,
        nor the category the categories.

        Args:
            groups: the kinds and their numbers of tickets, if not all tickets are counted.
        """
        total = 0
        spellings: defaultdict[str, Counter[str]] = defaultdict(Counter)
        categories: Counter[str] = Counter()
        for number, tickets in self._tickets.items() if groups is None else groups:
            kind = self._kinds[number]
            is_in_city, is_in_category = city in ("", kind.city), category in ("", kind.category)
            if is_in_city and is_in_category:
                total += tickets
            if is_in_category and kind.city:
                spellings[kind.city][kind.label] += tickets
            if is_in_city and kind.category:
                categories[kind.category] += tickets
        cities = ((value, *_label_and_count(labels)) for value, labels in spellings.items())
        return Facets(
            total=total,
            cities=[
                Facet(value=value, label=label, count=tickets)
                for value, label, tickets in nsmallest(
                    MAX_CITIES, cities, key=lambda city: (-city[2], city[1])
                )
            ],
            categories=[
                Facet(value=value, label=value, count=tickets)
                for value, tickets in sorted(categories.items(), key=lambda each: (-each[1], each[0]))
            ],
        )

    def _change_totals(self, kind: Kind, by: int) -> None:
        self.total += by
        for counter, value in ((self._of_cities, kind.city), (self._of_categories, kind.category)):
            counter[value] += by
            if not counter[value]:
                del counter[value]


def _label_and_count(labels: Counter[str]) -> tuple[str, int]:
    """The most frequent spelling, and the number of tickets in all spellings."""
    if len(labels) == 1:
        return next(iter(labels.items()))
    return max(labels.items(), key=lambda each: (each[1], each[0]))[0], labels.total()
