"""A search for tickets: words, city, category, dates and prices."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from contracts.tickets import Category
from kit.errors import Invalid

When = Literal["today", "tomorrow", "weekend", "month"]

Bound = date | datetime
"""A time with its zone, or a day in the time zone of the event."""

Span = tuple[float, float]
"""Start (inclusive) and end (exclusive) in seconds since 1970."""

UNDATED = math.inf


@dataclass(frozen=True, slots=True)
class Query:
    """A search."""

    text: str = ""
    city: str = ""
    """As typed, or its slug."""
    category: Category | None = None
    starts_from: Bound | None = None
    starts_to: Bound | None = None
    when: When | None = None
    """In the time zone of the event."""
    min_price: float | None = None
    max_price: float | None = None
    is_instant: bool = False
    """Whether only tickets are wanted whose files are there."""

    @property
    def has_dates(self) -> bool:
        return not (self.starts_from is None and self.starts_to is None and self.when is None)

    @property
    def has_prices(self) -> bool:
        return not (self.min_price is None and self.max_price is None)


def prices_of(query: Query) -> tuple[int | None, int | None]:
    """The lowest and the highest price in minor units, both inclusive.

    Raises:
        Invalid: a bound is invalid.
    """
    return _minor(query.min_price), _minor(query.max_price)


def spans_of(query: Query, zones: Iterable[str], now: datetime) -> dict[Span, Sequence[str]]:
    """When events may begin, with the time zones in which that is so. The zone "" is UTC."""
    spans: defaultdict[Span, list[str]] = defaultdict(list)
    for name in zones:
        zone = _zone(name)
        first, end = _given_span(query, zone)
        if query.when is not None:
            first_then, end_then = _span(query.when, now, zone)
            first, end = max(first, first_then), min(end, end_then)
        spans[first, end].append(name)
    return dict(spans)


def next_midnight(zones: Iterable[str], now: datetime) -> float:
    """When the next day begins in any of the time zones; `UNDATED` if there are none."""
    midnights = (
        _midnight(now.astimezone(zone).date() + timedelta(days=1), zone) for zone in map(_zone, zones)
    )
    return min(midnights, default=UNDATED)


def utc(moment: datetime) -> datetime:
    """Convert to UTC. Times without a zone are in UTC.

    Raises:
        OverflowError: it can't be represented in UTC.
    """
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _minor(price: float | None) -> int | None:
    """A price bound in minor units, rounded."""
    if price is None:
        return None
    if not math.isfinite(price):
        raise Invalid("Prices must be numbers")
    return round(price * 100)


def _given_span(query: Query, zone: tzinfo) -> Span:
    """The span of the bounds. A day ends at midnight."""
    first, end = -math.inf, UNDATED
    match query.starts_from:
        case datetime() as moment:
            first = moment.timestamp()
        case date() as day:
            first = _midnight(day, zone)
    match query.starts_to:
        case datetime() as moment:
            end = math.nextafter(moment.timestamp(), UNDATED)
        case date() as day if day < date.max:
            end = _midnight(day + timedelta(days=1), zone)
    return first, end


@lru_cache(maxsize=1024)
def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):  # another machine may know more zones
        return UTC


def _span(when: When, now: datetime, zone: tzinfo) -> Span:
    """The span of a period in a time zone."""
    today = now.astimezone(zone).date()
    match when:
        case "today":
            first, days = today, 1
        case "tomorrow":
            first, days = today + timedelta(days=1), 1
        case "weekend":  # the current or the next one
            first, days = today + timedelta(days=5 - today.weekday()), 2
        case "month":
            first, days = today.replace(day=1), 0
    end = first + timedelta(days=days) if days else (first + timedelta(days=31)).replace(day=1)
    return _midnight(first, zone), _midnight(end, zone)


@lru_cache(maxsize=4096)
def _midnight(day: date, zone: tzinfo) -> float:
    return datetime.combine(day, time(), zone).timestamp()
