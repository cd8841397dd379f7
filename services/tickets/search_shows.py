"""The events of the tickets in the search index: those that match a query, and those that are highlighted."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from services.tickets.folding import slug
from services.tickets.query import Query
from services.tickets.search_index import SearchIndex
from services.tickets.search_sql import Condition, Filter, Source, filter_of

NEWEST_TICKETS = 500
"""Among so many of the newest tickets, the events with new tickets are found."""

_OF_DATED_SHOW = Condition("show != '' AND starts < 9e999")


@dataclass(frozen=True, slots=True)
class Offer:
    """What is on sale for an event."""

    show_id: str
    lowest: int
    """The lowest price per ticket, in minor units."""
    on_sale: int
    """The number of listings."""
    cheapest: Sequence[bytes]
    """The cheapest tickets as JSON, at least one of them."""


def soonest(index: SearchIndex, query: Query, limit: int, now: datetime) -> list[str]:
    """The ids of events with matching tickets, the soonest first. Tickets without a date don't count.

    Raises:
        Invalid: a bound is invalid.
        TooSlow
    """
    wanted = filter_of(query, index.zones, now)
    total = index.count(wanted)
    if not total:
        return []
    if index.is_common(wanted, total, limit):
        return list(islice(dict.fromkeys(_walk(index, wanted, 2 * limit)), limit))
    # The unary plus keeps SQLite from reading all events by their index.
    source = wanted.lookup(Condition("+show != '' AND starts < 9e999"))
    ordered = f"{source.sql} GROUP BY +show ORDER BY min(starts), show LIMIT ?"
    return [show for (show,) in index.rows(ordered, [*source.values, limit], "show")]


def newest(index: SearchIndex, city: str, limit: int) -> list[str]:
    """The ids of the events of the newest tickets in a city, or anywhere if it is empty.

    Raises:
        TooSlow
    """
    which, values = ("city", [slug(city)]) if city else ("all", [])
    where = " WHERE city = ?" if city else ""
    tickets = f"tickets INDEXED BY {which}_by_id{where} ORDER BY id DESC LIMIT ?"
    rows = index.rows(tickets, [*values, NEWEST_TICKETS], "show")
    return list(islice(dict.fromkeys(show for (show,) in rows if show), limit))


def still_offered(index: SearchIndex, shows: Iterable[str], city: str, limit: int) -> list[str]:
    """The first of these events that have a ticket on sale, in a city unless it is empty.

    Raises:
        TooSlow
    """
    wanted, found = slug(city) if city else "", []
    for show in shows:
        rows = index.rows("tickets INDEXED BY of_show WHERE show != '' AND show = ? LIMIT 1", [show], "city")
        if rows and wanted in ("", rows[0][0]):
            found.append(show)
            if len(found) == limit:
                break
    return found


def offers(
    index: SearchIndex, shows: Iterable[str], query: Query, tickets: int, now: datetime
) -> list[Offer]:
    """What is on sale for these events within the bounds of a query, with their cheapest tickets. Events
    without such a ticket are left out.

    Raises:
        Invalid: a bound is invalid.
        TooSlow
    """
    bounds = filter_of(query, index.zones, now).bounds
    found = []
    for show in shows:
        source = _of_show(show, bounds)
        ((lowest, on_sale),) = index.rows(source.sql, source.values, "min(price), count(*)")
        if on_sale:
            hits = sorted(index.hits(source, "price, id", tickets), key=lambda hit: hit.key("price"))
            found.append(Offer(show, lowest, on_sale, [hit.body for hit in hits]))
    return found


def _of_show(show: str, bounds: Sequence[Condition]) -> Source:
    of_show = Condition("show != '' AND show = ?", [show])
    conditions = [of_show, *bounds]
    where = " AND ".join(condition.sql for condition in conditions)
    values = [value for condition in conditions for value in condition.values]
    return Source(f"tickets INDEXED BY of_show WHERE {where}", values)


def _walk(index: SearchIndex, wanted: Filter, limit: int) -> Iterator[str]:
    """The events in the order of their start, each found by an index after the last one."""
    key: tuple[float, str] = (-math.inf, "")
    for _ in range(limit):
        follows = Condition("(starts, show) > (?, ?)", key)
        source = wanted.walk("show", _OF_DATED_SHOW, follows)
        rows = index.rows(f"{source.sql} ORDER BY starts, show LIMIT 1", source.values, "starts, show")
        if not rows:
            return
        key = rows[0]
        yield key[1]
