"""The SQL of the search: the tables, and a query's conditions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from services.tickets.folding import Phrase, Term, slug, terms
from services.tickets.query import Query, Span, prices_of, spans_of

Sort = Literal["newest", "price", "-price", "date"]

ORDERS: dict[Sort, tuple[tuple[str, ...], str]] = {
    "newest": (("id",), "DESC"),
    "price": (("price", "id"), "ASC"),
    "-price": (("price", "id"), "DESC"),
    "date": (("starts", "id"), "ASC"),
}
"""Columns and direction. The id makes each key unique. Tickets without a date come last. The price is that of
one ticket."""

_INDEXES = {
    "all_by_id": "id",
    "all_by_price": "price, id, starts, zone, kind",  # all that is read about dates and prices
    "all_by_starts": "starts, id, price, zone, kind",
    "all_by_kind": "kind, price, starts, zone",
    **{
        f"{key}_by_{columns[0]}": ", ".join((key, *columns))
        for key in ("city", "category")
        for columns, _ in ORDERS.values()
    },
}
_SHOW_INDEXES = {
    "all_by_show": "starts, show",
    "city_by_show": "city, starts, show",
    "category_by_show": "category, starts, show",
}
"""With them, the next event is found without reading the other tickets of the last one."""

# `words` keeps no copy of its text: a row is removed by repeating its text, which is in `texts.tokens`.
SCHEMA = f"""
PRAGMA journal_mode = OFF;
PRAGMA temp_store = MEMORY;
CREATE TABLE tickets (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, version INTEGER NOT NULL, price INTEGER NOT NULL,
    starts REAL NOT NULL, zone TEXT NOT NULL, city TEXT NOT NULL, category TEXT NOT NULL,
    kind INTEGER NOT NULL, show TEXT NOT NULL, instant INTEGER NOT NULL
);
CREATE INDEX of_show ON tickets (show, price) WHERE show != '';
{"".join(f"CREATE INDEX {name} ON tickets ({columns});" for name, columns in _INDEXES.items())}
{"".join(f"CREATE INDEX {n} ON tickets ({c}) WHERE show != '';" for n, c in _SHOW_INDEXES.items())}
CREATE TABLE texts (number INTEGER PRIMARY KEY, tokens TEXT NOT NULL, body BLOB NOT NULL);
CREATE VIRTUAL TABLE words USING fts5(
    tokens, content = '', columnsize = 0, prefix = '1 2',
    tokenize = "unicode61 remove_diacritics 0 categories 'L* N* Co M* S* P*'"
);
"""

Values = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition in SQL and the values of its placeholders."""

    sql: str
    values: Values = ()


@dataclass(frozen=True, slots=True)
class Source:
    """The FROM and WHERE clauses of a query, and the values of their placeholders."""

    sql: str
    values: Values = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """The conditions of a query."""

    text: tuple[Term, ...]
    city: str
    """The city's slug."""
    category: str
    bounds: Sequence[Condition]
    """Conditions of dates and prices."""
    prices: tuple[int | None, int | None] | None = None
    """The lowest and the highest price, both inclusive, if there are no bounds of dates."""
    spans: Mapping[Span, Sequence[str]] | None = None
    """When events may begin, with the time zones of each span, if there are no bounds of prices."""

    @property
    def match(self) -> str:
        """The expression for the full-text index, including city and category."""
        texts = (f"({match_of(term)})" for term in self.text)
        return " AND ".join([*texts, *(f'"{key}"' for key in keys(self.city, self.category))])

    def without_keys(self) -> "Filter":
        return replace(self, city="", category="")

    def walk(self, column: str, *others: Condition) -> Source:
        """Go through the tickets in the order of a column and check each of them."""
        prefix = "city" if self.city else "category" if self.category else "all"
        texts = " CROSS JOIN texts USING (number)" if self.text else ""
        return _source(
            f"tickets INDEXED BY {prefix}_by_{column}{texts}",
            [*self.bounds, *self._keys(), *map(contains, self.text), *others],
        )

    def walk_kinds(self) -> Source:
        """Go through all tickets in the order of their kinds and check their bounds."""
        return _source("tickets INDEXED BY all_by_kind", self.bounds)

    def lookup(self, *others: Condition) -> Source:
        """Find the matches by an index of what they match."""
        if not self.text:
            return _source("tickets", [*self.bounds, *self._keys(), *others])
        match = Condition("words MATCH ?", [self.match])
        return _source(
            "words CROSS JOIN tickets ON tickets.number = words.rowid", [match, *self.bounds, *others]
        )

    def _keys(self) -> Sequence[Condition]:
        given = (("city", self.city), ("category", self.category))
        return [Condition(f"{column} = ?", [value]) for column, value in given if value]


def filter_of(query: Query, zones: Iterable[str], now: datetime) -> Filter:
    """The conditions of a query about tickets with these time zones.

    Raises:
        Invalid: a bound is invalid.
    """
    bounds = []
    lowest, highest = prices = prices_of(query)
    if lowest is not None:
        bounds.append(Condition("price >= ?", [lowest]))
    if highest is not None:
        bounds.append(Condition("price <= ?", [highest]))
    spans = spans_of(query, zones, now) if query.has_dates else None
    if spans is not None:
        bounds.append(_dates(spans))
    wanted = Filter(terms(query.text), slug(query.city), query.category or "", bounds)
    if query.city.strip() and not wanted.city:
        return replace(wanted, bounds=[Condition("0")])  # no city consists of signs only
    if query.is_instant:  # the running counts don't know how tickets are delivered
        return replace(wanted, bounds=[*bounds, Condition("instant = 1")])
    if spans is None:
        return replace(wanted, prices=prices) if bounds else wanted
    return wanted if query.has_prices else replace(wanted, spans=spans)


def keys(city: str, category: str) -> list[str]:
    """Tokens of the full-text index that no text contains."""
    return [f"{sign}{value}" for sign, value in (("@", city), ("#", category)) if value]


def match_of(term: Iterable[Phrase]) -> str:
    """An expression for the full-text index that matches any of the phrases."""
    return " OR ".join(map(_quoted, term))


def contains(term: Iterable[Phrase]) -> Condition:
    """A condition that matches any of the phrases, without the full-text index."""
    texts = [f" {' '.join(phrase.tokens)}{'' if phrase.is_prefix else ' '}" for phrase in term]
    return Condition(f"({' OR '.join(['instr(tokens, ?) > 0'] * len(texts))})", texts)


def _quoted(phrase: Phrase) -> str:
    text = " ".join(phrase.tokens).replace('"', '""')
    return f'"{text}"{" *" if phrase.is_prefix else ""}'


def _source(tables: str, conditions: Sequence[Condition]) -> Source:
    where = f" WHERE {' AND '.join(condition.sql for condition in conditions)}" if conditions else ""
    return Source(tables + where, [value for condition in conditions for value in condition.values])


def _dates(spans: Mapping[Span, Sequence[str]]) -> Condition:
    """A day begins at different times in different time zones. Only near its bounds does the zone matter."""
    if not spans:
        return Condition("0")
    within = "starts >= ? AND starts < ?"
    widest = [min(first for first, _ in spans), max(end for _, end in spans)]
    if len(spans) == 1:
        return Condition(within, widest)
    choices = [within]
    values: list[Any] = [*widest, max(first for first, _ in spans), min(end for _, end in spans)]
    for (first, end), names in spans.items():
        choices.append(f"zone IN ({', '.join('?' * len(names))}) AND {within}")
        values += [*names, first, end]
    return Condition(f"{within} AND ({' OR '.join(choices)})", values)
