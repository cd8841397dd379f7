"""Find tickets among those that can be bought: words, places, dates, prices."""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from heapq import nsmallest
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from contracts.api import Facet, Facets
from contracts.api import Ticket as TicketView
from contracts.money import to_minor_units
from contracts.tickets import Category
from services.kit.errors import Invalid

When = Literal["today", "tomorrow", "weekend", "month"]

Bound = date | datetime
"""A moment, which names its zone, or a day by the clocks where the event is."""

UNDATED = math.inf
MOST_CITIES = 100
MOST_SIMILAR = 4
TELLING_LETTERS = 4
"""Shorter words are shared by tickets that have nothing in common."""

# Letters that no decomposition takes the accent from.
_PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "\u0131": "i"}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A ticket, and what it is found by."""

    ticket: TicketView
    id: str
    price_minor: int
    starts: float
    """In seconds since 1970; `UNDATED` if it isn't known."""
    text: str
    """The words of title, venue and city, each between blanks."""
    city: str
    """The city's slug."""


@dataclass(frozen=True, slots=True)
class Query:
    """What somebody looks for."""

    text: str = ""
    city: str = ""
    """As typed, or its slug."""
    category: Category | None = None
    starts_from: Bound | None = None
    starts_to: Bound | None = None
    when: When | None = None
    """By the clocks where the event is."""
    min_price: float | None = None
    max_price: float | None = None


def entry_of(ticket: TicketView) -> Entry:
    return Entry(
        ticket=ticket,
        id=ticket.id,
        price_minor=to_minor_units(ticket.price),
        starts=UNDATED if ticket.starts_at is None else ticket.starts_at.timestamp(),
        text=f" {' '.join(words(ticket.title, ticket.venue, ticket.city))} ",
        city=slug(ticket.city or ""),
    )


def words(*texts: str | None) -> list[str]:
    """The distinct words in the texts, without case and accents: "Café Ümlaut" → ["cafe", "umlaut"]."""
    return sorted(set(_words(" ".join(text for text in texts if text))))


def slug(text: str) -> str:
    """A text in an address: "São Paulo" → "sao-paulo"."""
    return "-".join(_words(text))


def find(entries: Iterable[Entry], query: Query, now: datetime) -> list[Entry]:
    """Those that match, in the order in which they come. What has begun is found by nobody.

    Raises:
        Invalid: a bound isn't one.
    """
    moment = now.timestamp()
    found = [entry for entry in entries if entry.starts > moment]
    for word in words(query.text):
        # By prefix, so that a search finds while it is typed.
        beginning = f" {word}"
        found = [entry for entry in found if beginning in entry.text]
    if query.city.strip():
        city = slug(query.city)
        found = [entry for entry in found if entry.city == city]
    if query.category is not None:
        found = [entry for entry in found if entry.ticket.category == query.category]
    return _in_time(_in_price(found, query), query, now)


def facets(entries: Sequence[Entry], query: Query, now: datetime) -> Facets:
    """The cities and categories that there are, each with how many match the other filters.

    Raises:
        Invalid: a bound isn't one.
    """
    matching = find(entries, query, now)
    wherever = find(entries, replace(query, city=""), now) if query.city else matching
    whatever = find(entries, replace(query, category=None), now) if query.category else matching
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in wherever:
        if entry.city and entry.ticket.city:
            spellings[entry.city][entry.ticket.city] += 1
    cities = [
        Facet(value=city, label=spelling.most_common(1)[0][0], count=spelling.total())
        for city, spelling in spellings.items()
    ]
    categories = Counter(entry.ticket.category for entry in whatever if entry.ticket.category)
    return Facets(
        total=len(matching),
        cities=sorted(cities, key=_most_first)[:MOST_CITIES],
        categories=sorted(
            (Facet(value=category, label=category, count=count) for category, count in categories.items()),
            key=_most_first,
        ),
    )


def similar(entries: Iterable[Entry], to: Entry, now: datetime) -> list[Entry]:
    """A few others of the same city or category, or that share a word; the soonest first."""
    moment = now.timestamp()
    shared = [f" {word} " for word in to.text.split() if len(word) >= TELLING_LETTERS]
    category = to.ticket.category
    alike = (
        entry
        for entry in entries
        if entry.starts > moment
        and entry.id != to.id
        and (
            (entry.city and entry.city == to.city)
            or (category and entry.ticket.category == category)
            or any(word in entry.text for word in shared)
        )
    )
    return nsmallest(MOST_SIMILAR, alike, key=lambda entry: (entry.starts, entry.id))


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(letter for letter in folded if not unicodedata.combining(letter))
    return re.findall(r"\w+", bare.translate(_PLAIN))


def _most_first(facet: Facet) -> tuple[int, str]:
    return -facet.count, facet.label


def _in_price(found: list[Entry], query: Query) -> list[Entry]:
    if query.min_price is not None:
        low = _minor(query.min_price)
        found = [entry for entry in found if entry.price_minor >= low]
    if query.max_price is not None:
        high = _minor(query.max_price)
        found = [entry for entry in found if entry.price_minor <= high]
    return found


def _minor(price: float) -> int:
    """A bound needs no exactness beyond the minor unit."""
    if not math.isfinite(price):
        raise Invalid("Prices must be numbers")
    return round(price * 100)


def _in_time(found: list[Entry], query: Query, now: datetime) -> list[Entry]:
    if query.starts_from is None and query.starts_to is None and query.when is None:
        return found
    spans: dict[str | None, tuple[float, float]] = {}
    for zone in {entry.ticket.time_zone for entry in found}:
        first, end = _given_span(query, _zone(zone))
        if query.when is not None:
            first_then, end_then = _span(query.when, now, _zone(zone))
            first, end = max(first, first_then), min(end, end_then)
        spans[zone] = first, end
    return [
        entry
        for entry in found
        if spans[entry.ticket.time_zone][0] <= entry.starts < spans[entry.ticket.time_zone][1]
    ]


def _given_span(query: Query, zone: tzinfo) -> tuple[float, float]:
    """From when until before when: both bounds are part of it, and a day is so until its end."""
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


def utc(moment: datetime) -> datetime:
    """In UTC, which is meant where no time zone is named.

    Raises:
        OverflowError: UTC can't tell it.
    """
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@lru_cache(maxsize=1024)
def _zone(name: str | None) -> tzinfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):  # of a machine that knew more zones
        return UTC


def _span(when: When, now: datetime, zone: tzinfo) -> tuple[float, float]:
    """From when until before when, by the clocks of a zone."""
    today = now.astimezone(zone).date()
    match when:
        case "today":
            first, days = today, 1
        case "tomorrow":
            first, days = today + timedelta(days=1), 1
        case "weekend":  # the one that is or the one that comes
            first, days = today + timedelta(days=5 - today.weekday()), 2
        case "month":
            first, days = today.replace(day=1), 0
    end = first + timedelta(days=days) if days else (first + timedelta(days=31)).replace(day=1)
    return _midnight(first, zone), _midnight(end, zone)


def _midnight(day: date, zone: tzinfo) -> float:
    return datetime.combine(day, time(), zone).timestamp()
