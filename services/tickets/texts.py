"""Amounts and countries in messages for sellers."""

from decimal import Decimal

from babel import Locale
from babel.numbers import format_currency

from contracts.money import from_minor_units

_ENGLISH = Locale("en", "US")


def amount(minor: int, currency: str) -> str:
    """An amount such as $1,234.50."""
    return format_currency(from_minor_units(minor), currency.upper(), locale=_ENGLISH)


def country_name(code: str) -> str:
    """The name of a country, such as Germany."""
    return str(_ENGLISH.territories.get(code, code))


def percentage(percent: Decimal) -> str:
    """A percentage without zeros at its end, such as 7.5 %. It isn't broken into two lines."""
    return f"{percent.normalize():f}\u00a0%"
