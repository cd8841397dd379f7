"""The tickets that can be bought, in an in-memory SQLite database with a full-text index.

This module is synchronous: `services/tickets/catalogue.py` keeps it up to date and decides where it runs.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import nsmallest
from typing import Any

from contracts.api import Facets, Ticket
from contracts.money import price_per_ticket, to_minor_units
from services.tickets.folding import Term, phrase_of, slug, terms, tokens, typed_words, words
from services.tickets.query import UNDATED, Query, next_midnight
from services.tickets.running_counts import Groups, Kind, RunningCounts
from services.tickets.search_sql import (
    ORDERS,
    SCHEMA,
    Condition,
    Filter,
    Sort,
    Source,
    Values,
    filter_of,
    keys,
    match_of,
)
from services.tickets.spelling import Vocabulary

MAX_SIMILAR = 4
MIN_SHARED_WORD_LENGTH = 4
"""Shorter words also occur in unrelated tickets."""


MIN_TICKETS_PER_KIND = 16
"""With fewer tickets in each kind on average, a query counts them sooner than the running counts."""
MAX_KINDS = 2_000
"""With more kinds, going through them could block the event loop for too long. A query can be interrupted."""

MAX_CORRECTED_WORDS = 8

WRITES_PER_MERGE = 8
PAGES_PER_MERGE = 16


class TooSlow(Exception):
    """A search exceeded its time limit."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A ticket in a list."""

    id: str
    price: int
    """Of one ticket, in minor units."""
    starts: float
    """In seconds since 1970; `UNDATED` if unknown."""
    body: bytes
    """The ticket as JSON."""

    def key(self, sort: Sort) -> tuple[Any, ...]:
        """The values by which it is sorted."""
        return tuple(getattr(self, column) for column in ORDERS[sort][0])


class SearchIndex:
    """Tickets by words, city, category, date and price."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(
            ":memory:", isolation_level=None, check_same_thread=False, cached_statements=512
        )
        self._database.executescript(SCHEMA)
        self._counts = RunningCounts()
        self._vocabulary = Vocabulary()
        self._zones: Counter[str] = Counter()
        self._is_over: Callable[[], bool] | None = None
        self._next_start = UNDATED
        self._merges_gradually = False
        self._writes = 0

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def time_limit(self, is_over: Callable[[], bool]) -> Iterator[None]:
        """Until the block ends, a search raises TooSlow once `is_over` returns true."""
        self._database.set_progress_handler(is_over, 2000)
        self._is_over = is_over
        try:
            yield
        finally:
            self._is_over = None
            self._database.set_progress_handler(None, 0)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Add many tickets faster."""
        self._database.execute("BEGIN")
        try:
            yield
        finally:
            self._database.execute("COMMIT")

    def merge_gradually(self) -> None:
        """From now on, merge the segments of the full-text index in small steps, so that no write takes long.

        By default, a write merges them once they are too many, which takes up to 25 ms with 100,000 tickets.
        """
        for setting, value in (("automerge", 0), ("crisismerge", 500)):
            self._database.execute("INSERT INTO words (words, rank) VALUES (?, ?)", (setting, value))
        self._merges_gradually = True

    def version_of(self, ticket_id: str) -> int | None:
        """The version of a ticket that is on sale."""
        found = self._database.execute("SELECT version FROM tickets WHERE id = ?", (ticket_id,)).fetchone()
        return found[0] if found else None

    def put(self, ticket: Ticket, body: bytes) -> None:
        """Add or replace a ticket. `body` is its JSON."""
        self.remove(ticket.id)
        kind = Kind(slug(ticket.city or ""), ticket.city or "", ticket.category or "")
        starts = UNDATED if ticket.starts_at is None else ticket.starts_at.timestamp()
        price = to_minor_units(price_per_ticket(ticket.price, ticket.quantity))
        zone = ticket.time_zone or ""
        text = tokens(ticket.title, ticket.venue, ticket.city)
        execute = self._database.execute
        number = execute(
            "INSERT INTO tickets (id, version, price, starts, zone, city, category, kind, show, instant) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(ticket.id, ticket.version, price, starts, zone),
                *(kind.city, kind.category, self._counts.add(kind, price, starts, zone)),
                ticket.show_id or "",
                ticket.delivery == "instant",
            ),
        ).lastrowid
        execute("INSERT INTO texts VALUES (?, ?, ?)", (number, text, body))
        execute("INSERT INTO words (rowid, tokens) VALUES (?, ?)", (number, _entry(text, kind)))
        self._vocabulary.add(text)
        self._zones[zone] += 1
        self._next_start = min(self._next_start, starts)
        self._written()

    def remove(self, ticket_id: str) -> None:
        """Remove a ticket. Does nothing if it isn't there."""
        execute = self._database.execute
        found = execute(
            "DELETE FROM tickets WHERE id = ? RETURNING number, price, starts, zone, kind", (ticket_id,)
        ).fetchone()
        if found is None:
            return
        number, price, starts, zone, kind_number = found
        kind = self._counts.remove(kind_number, price, starts, zone)
        (text,) = execute("DELETE FROM texts WHERE number = ? RETURNING tokens", (number,)).fetchone()
        execute(
            "INSERT INTO words (words, rowid, tokens) VALUES ('delete', ?, ?)", (number, _entry(text, kind))
        )
        self._vocabulary.remove(text)
        self._zones[zone] -= 1
        if not self._zones[zone]:
            del self._zones[zone]
        if starts == self._next_start:
            (self._next_start,) = execute("SELECT coalesce(min(starts), 9e999) FROM tickets").fetchone()
        self._written()

    def drop_begun(self, now: datetime, at_most: int | None = None) -> bool:
        """Remove the tickets whose events have begun. Do nothing and return False if they are more than
        `at_most`.
        """
        moment = now.timestamp()
        if self._next_start > moment:
            return True
        begun = self._database.execute("SELECT id FROM tickets WHERE starts <= ?", (moment,)).fetchall()
        if at_most is not None and len(begun) > at_most:
            return False
        for (ticket_id,) in begun:
            self.remove(ticket_id)
        return True

    def changes_at(self, query: Query, now: datetime) -> float:
        """When the result of a query may change because time passes; `UNDATED` if it can't."""
        midnight = UNDATED if query.when is None else next_midnight(self._zones, now)
        return min(self._next_start, midnight)

    @property
    def zones(self) -> Mapping[str, int]:
        """The time zones of the tickets, each with its number of tickets."""
        return self._zones

    def corrected(self, query: Query) -> Query:
        """The query with the nearest known words instead of unknown ones, if nothing has the words that were
        typed, whatever the other filters. The same query if that doesn't help.

        Raises:
            TooSlow
        """
        if not query.text or self._has(query.text):
            return query
        typed = typed_words(query.text)[:MAX_CORRECTED_WORDS]
        known = [
            word if self._has(word) else self._vocabulary.nearest(word, self._check_time) or word
            for word in typed
        ]
        text = " ".join(known)
        return replace(query, text=text) if known != typed and self._has(text) else query

    def _has(self, text: str) -> bool:
        """Whether a ticket has all these words."""
        wanted = terms(text)
        if not wanted:
            return True
        match = " AND ".join(f"({match_of(term)})" for term in wanted)
        return bool(self.rows("words WHERE words MATCH ? LIMIT 1", [match], "1"))

    def _check_time(self) -> None:
        if self._is_over is not None and self._is_over():
            raise TooSlow

    def find(
        self, query: Query, sort: Sort, after: tuple[Any, ...] | None, limit: int, now: datetime
    ) -> tuple[list[Hit], int]:
        """The matching tickets that follow the key `after`, and the number of all matches.

        Raises:
            Invalid: a bound is invalid.
            TooSlow
        """
        wanted = filter_of(query, self._zones, now)
        total = self.count(wanted)
        if not total:
            return [], total
        columns, direction = ORDERS[sort]
        follows = [] if after is None else [_follows(columns, direction, after)]
        # Among many matches, the first ones are found soon in the order of the list. A few matches are found
        # sooner by what they match, and then sorted. The unary plus keeps SQLite from using another index.
        if self.is_common(wanted, total, limit):
            source, sign = wanted.walk(columns[0], *follows), ""
        else:
            source, sign = wanted.lookup(*follows), "+"
        order = ", ".join(f"{sign}{column} {direction}" for column in columns)
        hits = self.hits(source, order, limit)
        return sorted(hits, key=lambda hit: hit.key(sort), reverse=direction == "DESC"), total

    def is_common(self, wanted: Filter, total: int, limit: int) -> bool:
        """Whether so many tickets match that the first ones are found soon by looking at each."""
        return total * total > 4 * limit * self._counts.total or not (wanted.text or wanted.bounds)

    def facets(self, query: Query, now: datetime) -> Facets:
        """All cities and categories, each with the number of tickets that match the other filters.

        Raises:
            Invalid: a bound is invalid.
            TooSlow
        """
        wanted = filter_of(query, self._zones, now)
        groups = self._groups(wanted)
        if groups is None and (wanted.text or wanted.bounds):
            anywhere = wanted.without_keys()
            # Unless few tickets match, reading them in the order of their kinds is faster than sorting them.
            is_common = not wanted.text and 4 * self.count(anywhere) > self._counts.total
            source = anywhere.walk_kinds() if is_common else anywhere.lookup()
            groups = self.rows(f"{source.sql} GROUP BY kind", source.values, "kind, count(*)")
        return self._counts.facets(wanted.city, wanted.category, groups)

    def similar(self, to: Ticket) -> list[Hit]:
        """Other tickets for the same event, the cheapest first. Then those of the same city or category, or
        with a common word, the soonest first.

        Raises:
            TooSlow
        """
        same = self._of_show(to)
        others = [hit for hit in self._related(to) if hit not in same]
        return [*same, *others][:MAX_SIMILAR]

    def _of_show(self, to: Ticket) -> list[Hit]:
        if to.show_id is None:
            return []
        source = Source(
            "tickets INDEXED BY of_show WHERE show != '' AND show = ? AND id != ?", [to.show_id, to.id]
        )
        return sorted(self.hits(source, "price, id", MAX_SIMILAR), key=lambda hit: hit.key("price"))

    def _related(self, to: Ticket) -> list[Hit]:
        other = Condition("id != ?", [to.id])
        found: set[Hit] = set()
        for city, category in ((slug(to.city or ""), ""), ("", to.category or "")):
            if city or category:
                same = Filter((), city, category, ()).walk("starts", other)
                found |= set(self.hits(same, "starts, id", MAX_SIMILAR))
        soonest = _soonest(found)
        shared = [
            phrase_of(word)
            for word in words(to.title, to.venue, to.city)
            if len(word) >= MIN_SHARED_WORD_LENGTH
        ]
        if shared:
            latest = soonest[-1].starts if len(soonest) == MAX_SIMILAR else UNDATED
            found |= set(self._with_any(tuple(shared), other, Condition("starts <= ?", [latest])))
        return _soonest(found)

    def _written(self) -> None:
        self._writes += 1
        if self._merges_gradually and self._writes % WRITES_PER_MERGE == 0:
            self._database.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (PAGES_PER_MERGE,))

    def _with_any(self, term: Term, *others: Condition) -> list[Hit]:
        """The soonest tickets with one of the phrases."""
        wanted = Filter((term,), "", "", ())
        count = self.count(wanted)
        if count * count > 4 * MAX_SIMILAR * self._counts.total:
            return self.hits(wanted.walk("starts", *others), "starts, id", MAX_SIMILAR)
        return self.hits(wanted.lookup(*others), "+starts, +id", MAX_SIMILAR)

    def _groups(self, wanted: Filter) -> Groups | None:
        """The numbers of matches in each kind by the running counts, whatever their city and category.

        None if only a query can tell them, or tells them sooner.
        """
        kinds = self._counts.kinds
        if wanted.text or kinds > MAX_KINDS or kinds * MIN_TICKETS_PER_KIND > self._counts.total:
            return None
        if wanted.prices is not None:
            return self._counts.by_price(*wanted.prices)
        return None if wanted.spans is None else self._counts.by_date(wanted.spans)

    def count(self, wanted: Filter) -> int:
        """The number of matching tickets."""
        if (groups := self._groups(wanted)) is not None:
            return self._counts.within(wanted.city, wanted.category, groups)
        if wanted.bounds:
            source = wanted.lookup()
        elif wanted.text:
            source = Source("words WHERE words MATCH ?", [wanted.match])
        else:
            return self._counts.count(wanted.city, wanted.category)
        ((count,),) = self.rows(source.sql, source.values, "count(*)")
        return int(count)

    def hits(self, source: Source, order: str, limit: int) -> list[Hit]:
        """The first tickets in this order. They are returned in any order."""
        numbers = f"SELECT tickets.number FROM {source.sql} ORDER BY {order} LIMIT ?"  # noqa: S608 - no values
        found = self.rows(
            f"tickets JOIN texts USING (number) WHERE number IN ({numbers})",
            [*source.values, limit],
            "id, price, starts, body",
        )
        return [Hit(*row) for row in found]

    def rows(self, source: str, values: Values, columns: str) -> list[Any]:
        """The rows of a query, given by the SQL after FROM.

        Raises:
            TooSlow
        """
        try:
            statement = f"SELECT {columns} FROM {source}"  # noqa: S608 - values are only in placeholders
            return self._database.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise TooSlow from None
            raise


def _entry(text: str, kind: Kind) -> str:
    return " ".join([text, *keys(kind.city, kind.category)])


def _follows(columns: Sequence[str], direction: str, key: Values) -> Condition:
    """The rows after a key in the order of a list."""
    comparison = ">" if direction == "ASC" else "<"
    return Condition(f"({', '.join(columns)}) {comparison} ({', '.join('?' * len(columns))})", key)


def _soonest(hits: Iterable[Hit]) -> list[Hit]:
    return nsmallest(MAX_SIMILAR, hits, key=lambda hit: hit.key("date"))
