"""The number of tickets in each city and category, updated with each change."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nsmallest
from itertools import count

from contracts.api import Facet, Facets

MAX_CITIES = 100


@dataclass(frozen=True, slots=True)
class Kind:
    """What tickets have in common that are counted together."""

    city: str
    """The city's slug."""
    label: str
    """The city as the seller spelled it."""
    category: str


class RunningCounts:
    """How many tickets there are of each kind. A query would take tens of milliseconds."""

    def __init__(self) -> None:
        self.total = 0
        self._numbers: dict[Kind, int] = {}
        self._kinds: dict[int, Kind] = {}
        self._tickets: Counter[int] = Counter()
        self._of_cities: Counter[str] = Counter()
        self._of_categories: Counter[str] = Counter()
        self._next_number = count(1)

    def add(self, kind: Kind) -> int:
        """Count a ticket. The number stands for its kind."""
        number = self._numbers.get(kind)
        if number is None:
            number = self._numbers[kind] = next(self._next_number)
            self._kinds[number] = kind
        self._tickets[number] += 1
        self._change_totals(kind, 1)
        return number

    def remove(self, number: int) -> Kind:
        """Count one ticket less of this kind."""
        kind = self._kinds[number]
        self._tickets[number] -= 1
        self._change_totals(kind, -1)
        if not self._tickets[number]:
            del self._tickets[number], self._kinds[number], self._numbers[kind]
        return kind

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

    def facets(self, city: str, category: str, groups: Iterable[tuple[int, int]] | None = None) -> Facets:
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
