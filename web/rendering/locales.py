"""The reader's language and country, and money and dates as both write them.

The Accept-Language header determines the country, and the language unless the reader has chosen one. A
reader in Germany sees "19,99 €" and "Sa., 12. Dez. 2026, 19:30", or in English "Sat, 12 Dec 2026, 19:30". One
in the United States sees "€19.99" and "Sat, Dec 12, 2026, 7:30 PM". CLDR defines the formats.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date as calendar_day
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from unicodedata import combining, normalize
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.dates import format_date, format_skeleton, format_time, get_datetime_format
from babel.numbers import format_currency, format_decimal

from contracts.languages import LANGUAGES, Language
from contracts.tickets import countries as codes_of_countries
from kit.texts import ENGLISH as DEFAULT
from kit.texts import current, using
from kit.zones import zone_name

__all__ = ["DEFAULT", "current", "using", "zone_name"]

DEFAULTS = {"en": "US", "de": "DE"}
"""The country of browsers that send none, for each language."""
WORLD = {"en": Locale("en", "001"), "de": Locale("de", "DE")}
"""The locale of a language for countries where CLDR doesn't have it."""

MAX_HEADER_LENGTH = 500
"""The most characters of a header that are read, because `_locale_of` stores headers in a cache."""

# https://www.rfc-editor.org/rfc/rfc9110#field.accept-language
_RANGE = re.compile(
    r"\s*(?P<tag>[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*)\s*(?:;\s*q=(?P<q>[01](?:\.\d{0,3})?)\s*)?"
)


MAX_FORMATTED = 10_000
"""Formatted amounts and dates that are kept, of each kind: about 2 MB. Babel takes 50 µs to format one, and
the same ones appear on many pages."""


def locale_of(accept_language: str, chosen: Language | None = None) -> Locale:
    """The language that a reader has chosen, or else the one of ours that the browser prefers, as it is
    written in the browser's country.
    """
    return _locale_of(accept_language[:MAX_HEADER_LENGTH], chosen)


@lru_cache(maxsize=1000)
def _locale_of(accept_language: str, chosen: Language | None) -> Locale:
    tags = [tag for tag, _quality in sorted(_ranges(accept_language), key=lambda range_: -range_[1])]
    accepted = [tag.partition("-")[0].lower() for tag in tags]
    language: str = chosen or next((each for each in accepted if each in LANGUAGES), DEFAULT.language)
    country = next(filter(None, map(_country, tags)), None)
    try:
        return Locale(language, country or DEFAULTS[language])
    except UnknownLocaleError:
        return WORLD[language]


def _ranges(accept_language: str) -> Iterator[tuple[str, float]]:
    for part in accept_language.split(","):
        match = _RANGE.fullmatch(part)
        if match and (quality := float(match["q"] or 1)) > 0:
            yield match["tag"], quality


def _country(tag: str) -> str | None:
    """The country in a language tag, or the country where most speakers of the language live."""
    language, *parts = tag.split("-")
    named = next((part.upper() for part in parts if len(part) == 2 and part.isalpha()), None)
    likely = get_global("likely_subtags").get(language.lower(), "")
    return named or likely.rpartition("_")[2] or None


@lru_cache(MAX_FORMATTED)
def money(amount: Decimal, currency: str, locale: Locale) -> str:
    """An amount such as $1,234.50."""
    return format_currency(amount, currency.upper(), locale=locale)


def country_name(code: str) -> str:
    """The name of a country in the current language, such as Germany."""
    return _country_name(code, current())


def _country_name(code: str, locale: Locale) -> str:
    return str(locale.territories.get(code, code))


def countries() -> Sequence[tuple[str, str]]:
    """The codes and names of all countries, in alphabetical order of their names."""
    return _countries(current())


@cache
def _countries(locale: Locale) -> Sequence[tuple[str, str]]:
    named = [(code, _country_name(code, locale)) for code in codes_of_countries()]
    return sorted(named, key=lambda each: _sort_key(each[1]))


def _sort_key(name: str) -> str:
    """Sorts \u00d6sterreich next to Oman, as dictionaries do (DIN 5007)."""
    return "".join(letter for letter in normalize("NFKD", name) if not combining(letter)).casefold()


def number(value: float | Decimal, locale: Locale) -> str:
    """A number such as 1,234.5."""
    return str(format_decimal(value, locale=locale))


@lru_cache(MAX_FORMATTED)
def date(moment: datetime, zone: str | None, locale: Locale) -> str:
    """A date such as Sat, Dec 12, 2026."""
    return format_skeleton("yMMMEd", moment, tzinfo=_zone(zone), locale=locale)


def day(of: calendar_day, locale: Locale) -> str:
    """A day that is in no time zone, such as Dec 12, 2026."""
    return format_date(of, "medium", locale=locale)


def date_and_time(moment: datetime, zone: str | None, locale: Locale) -> str:
    """A date and time such as Sat, Dec 12, 2026, 7:30 PM."""
    both = str(get_datetime_format("medium", locale=locale))
    return both.format(time_of_day(moment, zone, locale), date(moment, zone, locale))


def date_and_time_in_zone(moment: datetime, zone: str | None, locale: Locale) -> str:
    """A date and time such as Sat, Dec 12, 2026, 7:30 PM (Berlin time). In UTC if `zone` is None."""
    return f"{date_and_time(moment, zone, locale)} {zone_behind_time(zone)}"


@lru_cache(MAX_FORMATTED)
def time_of_day(moment: datetime, zone: str | None, locale: Locale) -> str:
    """A time such as 7:30 PM."""
    return format_time(moment, "short", tzinfo=_zone(zone), locale=locale)


@lru_cache(MAX_FORMATTED)
def part_of_date(skeleton: str, moment: datetime, zone: str | None, locale: Locale) -> str:
    """A part of a date in the format of a CLDR skeleton, such as "December 2026" for yMMMM."""
    return format_skeleton(skeleton, moment, tzinfo=_zone(zone), locale=locale)


def zone_behind_time(zone: str | None) -> str:
    """The time zone as it follows a time: (Berlin time), or UTC if `zone` is None."""
    name = zone_name(zone)
    return name if name == "UTC" else f"({name})"


def _zone(zone: str | None) -> ZoneInfo:
    return ZoneInfo(zone or "UTC")
