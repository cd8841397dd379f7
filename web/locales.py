"""Money and dates as the reader's country writes them, in English: the texts of the pages are English too.

What a browser says in Accept-Language gives the country: a German reader gets "19,99 €" and "Sat, 12 Dec
2026, 19:30", one from the United States "€19.99" and "Sat, Dec 12, 2026, 7:30 PM". The forms come from CLDR.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.dates import format_skeleton, format_time, get_datetime_format
from babel.numbers import format_currency

DEFAULT = Locale("en", "US")
"""For who doesn't say where they are."""
WORLD = Locale("en", "001")
"""For countries of which CLDR doesn't say how English is written there."""

LONGEST = 500
"""Characters of a header that are read, and so are remembered: anybody can send long ones."""

# https://www.rfc-editor.org/rfc/rfc9110#field.accept-language
_RANGE = re.compile(
    r"\s*(?P<tag>[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*)\s*(?:;\s*q=(?P<q>[01](?:\.\d{0,3})?)\s*)?"
)


def locale_of(accept_language: str) -> Locale:
    """English as it is written in the country of the language that is liked best."""
    return _locale_of(accept_language[:LONGEST])


@lru_cache(maxsize=1000)
def _locale_of(accept_language: str) -> Locale:
    tags = sorted(_ranges(accept_language), key=lambda range_: -range_[1])
    for tag, _ in tags:
        if country := _country(tag):
            try:
                return Locale("en", country)
            except UnknownLocaleError:
                return WORLD
    return DEFAULT


def _ranges(accept_language: str) -> Iterator[tuple[str, float]]:
    for part in accept_language.split(","):
        match = _RANGE.fullmatch(part)
        if match and (quality := float(match["q"] or 1)) > 0:
            yield match["tag"], quality


def _country(tag: str) -> str | None:
    """The one that is named, or where the language is mostly spoken."""
    language, *parts = tag.split("-")
    named = next((part.upper() for part in parts if len(part) == 2 and part.isalpha()), None)
    likely = get_global("likely_subtags").get(language.lower(), "")
    return named or likely.rpartition("_")[2] or None


def money(amount: Decimal, currency: str, locale: Locale) -> str:
    """$1,234.50"""
    return format_currency(amount, currency.upper(), locale=locale)


def date(moment: datetime, zone: str | None, locale: Locale) -> str:
    """Sat, Dec 12, 2026"""
    return format_skeleton("yMMMEd", moment, tzinfo=_zone(zone), locale=locale)


def date_and_time(moment: datetime, zone: str | None, locale: Locale) -> str:
    """Sat, Dec 12, 2026, 7:30 PM"""
    both = str(get_datetime_format("medium", locale=locale))
    return both.format(time_of_day(moment, zone, locale), date(moment, zone, locale))


def time_of_day(moment: datetime, zone: str | None, locale: Locale) -> str:
    """7:30 PM"""
    return format_time(moment, "short", tzinfo=_zone(zone), locale=locale)


def part_of_date(skeleton: str, moment: datetime, zone: str | None, locale: Locale) -> str:
    """A part by CLDR's skeleton for it: yMMMM gives "December 2026"."""
    return format_skeleton(skeleton, moment, tzinfo=_zone(zone), locale=locale)


def place(zone: str | None) -> str:
    """What a zone is called in a sentence: Berlin time."""
    name = (zone or "UTC").rpartition("/")[2].replace("_", " ")
    return "UTC" if name == "UTC" else f"{name} time"


def _zone(zone: str | None) -> ZoneInfo:
    return ZoneInfo(zone or "UTC")
