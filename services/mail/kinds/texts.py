"""Amounts, dates and people's texts in messages, in the recipient's language.

Nothing tells the reader's country, so the formats are those that nobody misreads: months as words, the
24-hour clock, and the name of the time zone.
"""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.dates import format_datetime
from babel.numbers import format_currency

from contracts.money import from_minor_units
from contracts.text import is_right_to_left, plain
from kit.texts import N_, _, current, ngettext
from kit.zones import zone_name

DAY_AND_TIME = N_("EEEE d MMMM y, HH:mm")
"""A pattern of CLDR, which each catalogue replaces by that of its language."""

MAX_TITLE = 80
"""How much of a title is in a subject. Mail programs show about 60 characters."""


def money(minor: int, currency: str) -> str:
    """An amount such as $1,234.50."""
    return format_currency(from_minor_units(minor), currency.upper(), locale=current())


def price(minor: int, quantity: int, currency: str) -> str:
    """The price of a listing: $15.00, 4 \u00d7 $15.00, or 3 for $50.00 if it can't be divided."""
    if quantity == 1:
        return money(minor, currency)
    if minor % quantity:
        total = money(minor, currency)
        return ngettext("%(num)s for %(price)s", "%(num)s for %(price)s", quantity, price=total)
    return f"{quantity} \u00d7 {money(minor // quantity, currency)}"


def day_and_time(moment: datetime, zone: str | None) -> str:
    """A time such as Saturday 12 June 2027, 21:30 (Berlin time). In UTC if the zone is unknown."""
    try:
        known = ZoneInfo(zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        zone, known = None, ZoneInfo("UTC")
    text = format_datetime(moment, _(DAY_AND_TIME), tzinfo=known, locale=current())
    return f"{text} ({zone_name(zone)})"


def one_line(text: str) -> str:
    """A person's text in one line, without characters that change the direction of the text around it."""
    line = " ".join(plain(text).split())
    return f"\u2068{line}\u2069" if is_right_to_left(line) else line


def short(title: str) -> str:
    """A title for a subject."""
    line = " ".join(plain(title).split())
    return one_line(line if len(line) <= MAX_TITLE else f"{line[: MAX_TITLE - 1].rstrip()}…")
