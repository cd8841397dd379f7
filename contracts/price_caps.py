"""How much a listing may cost above its face value, by the country of its event.

Operators edit the table: `PRICE_CAPS` names their file, and price_caps.csv is the one without that setting.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

from contracts.tickets import countries

STANDARD = Path(__file__).with_suffix(".csv")
COLUMNS = ["country", "percent", "source", "date"]
ALL_OTHERS = "*"
MAX_PERCENT = 1000
MAX_BYTES = 100_000
"""Maximum size of a file. One row for each country has about 15,000."""

_PERCENT = re.compile(r"[0-9]{1,4}(\.[0-9]{1,2})?", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class WrongPriceCaps(ValueError):
    """The table has mistakes. The message has one line for each of them."""


@dataclass(frozen=True)
class PriceCap:
    """One row of the table."""

    percent: Decimal
    """By how much a price may exceed the face value."""
    source: str
    checked_on: date
    country: str | None = None
    """Two capital letters. None for the row of all countries without one of their own."""

    def highest(self, face_value_minor: int) -> int:
        """The highest price for this face value, in minor units. A fraction of a unit is cut off."""
        return int(face_value_minor * (100 + self.percent) // 100)


@dataclass(frozen=True)
class PriceCaps:
    """The whole table."""

    others: PriceCap
    """The cap of all countries that aren't in `by_country`, and of events without a known country."""
    by_country: Mapping[str, PriceCap]

    def of(self, country: str | None) -> PriceCap:
        """The cap for events in this country."""
        return self.by_country.get(country or "", self.others)

    def strictest(self, countries: Iterable[str | None]) -> str | None:
        """The country with the lowest percentage, of those that are known. None if none is."""
        known = [country for country in countries if country is not None]
        return min(known, key=lambda country: self.of(country).percent, default=None)

    def groups(self) -> Sequence[tuple[Decimal, Sequence[str]]]:
        """The percentages that differ from all others, the lowest first, with their countries."""
        found: dict[Decimal, list[str]] = {}
        for country, cap in sorted(self.by_country.items()):
            if cap.percent != self.others.percent:
                found.setdefault(cap.percent, []).append(country)
        return sorted(found.items())


@cache
def read(path: Path | None = None) -> PriceCaps:
    """The table in a file, which is read once. The standard table without a path.

    Raises:
        WrongPriceCaps: the file can't be read, or has mistakes.
    """
    path = path or STANDARD
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise WrongPriceCaps(f"{path} has more than {MAX_BYTES} bytes")
        return parse(content.decode("utf-8-sig"))
    except OSError as error:
        raise WrongPriceCaps(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise WrongPriceCaps(f"{path} isn't UTF-8") from None


def parse(text: str) -> PriceCaps:
    """The table in a text.

    Raises:
        WrongPriceCaps
    """
    rows = list(_rows(text))
    if not rows or rows[0][1] != COLUMNS:
        raise WrongPriceCaps(f"the first line must be {','.join(COLUMNS)}")
    found: dict[str, PriceCap] = {}
    mistakes: list[str] = []
    for line, row in rows[1:]:
        wrong = _mistakes(row, found)
        mistakes += [f"line {line}: {mistake}" for mistake in wrong]
        if not wrong:
            found[row[0]] = _cap(row)
    others = found.pop(ALL_OTHERS, None)
    if others is None and not mistakes:
        mistakes.append(f"the line for all other countries is missing: {ALL_OTHERS},20,…")
    if others is None or mistakes:
        raise WrongPriceCaps("\n".join(mistakes))
    return PriceCaps(others, found)


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """The number and the values of each line that is neither empty nor a comment."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, [value.strip() for value in next(csv.reader([line]))]


def _mistakes(row: Sequence[str], before: Mapping[str, PriceCap]) -> list[str]:
    if len(row) != len(COLUMNS):
        return [f"must have {len(COLUMNS)} values: {', '.join(COLUMNS)}"]
    country, percent, source, day = row
    checks = (
        (country == ALL_OTHERS or country in countries(), f"{country!r} isn't a country such as DE, or *"),
        (country not in before, f"{country} has a line already"),
        (_is_percent(percent), f"percent must be from 0 to {MAX_PERCENT}, not {percent!r}"),
        (bool(source), "source is missing"),
        (_is_date(day), f"date must be like 2026-12-01, not {day!r}"),
    )
    return [mistake for is_right, mistake in checks if not is_right]


def _is_percent(text: str) -> bool:
    return _PERCENT.fullmatch(text) is not None and Decimal(text) <= MAX_PERCENT


def _is_date(text: str) -> bool:
    try:
        return _DATE.fullmatch(text) is not None and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _cap(row: Sequence[str]) -> PriceCap:
    country, percent, source, day = row
    known = None if country == ALL_OTHERS else country
    return PriceCap(Decimal(percent), source, date.fromisoformat(day), known)
