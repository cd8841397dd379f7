"""Money and dates as the reader's country writes them, in English."""

import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.web.conftest import Browser, text_of
from tests.web.market import Market
from web.locales import date_and_time, locale_of, money, place

MOMENT = datetime(2026, 12, 12, 19, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "locale"),
    [
        ("", "en_US"),
        ("en", "en_US"),
        ("en-GB,en;q=0.9", "en_GB"),
        ("de-DE,de;q=0.9,en;q=0.8", "en_DE"),
        ("de", "en_DE"),
        ("de-AT", "en_AT"),
        ("fr;q=0.5, sv-SE;q=0.9", "en_SE"),
        ("sv;q=0, en-GB;q=0.1", "en_GB"),
        ("zh-Hant-TW", "en_001"),
        ("ja", "en_001"),
        ("*", "en_US"),
        ("../../etc/passwd", "en_US"),
        ("xx-\x00, de" * 200, "en_US"),
    ],
)
def test_the_country_is_that_of_the_language_that_is_liked_best(said: str, locale: str) -> None:
    assert str(locale_of(said)) == locale


def test_what_is_remembered_of_long_headers_is_bounded() -> None:
    """A thousand of 100 KB each would be 100 MB."""
    tracemalloc.start()
    for number in range(20):
        locale_of(f"de, x{number}, " + "y" * 1_000_000)
    remembered, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert remembered < 1_000_000


@pytest.mark.parametrize(
    ("said", "price", "day"),
    [
        ("en-US", "$1,234.50", "Sat, Dec 12, 2026, 8:30\u202fPM"),
        ("en-GB", "US$1,234.50", "Sat, 12 Dec 2026, 20:30"),
        ("de-DE", "1.234,50\xa0US$", "Sat, 12 Dec 2026, 20:30"),
    ],
)
def test_prices_and_dates_are_written_as_there(said: str, price: str, day: str) -> None:
    locale = locale_of(said)
    assert money(Decimal("1234.50"), "usd", locale) == price
    assert date_and_time(MOMENT, "Europe/Berlin", locale) == day


def test_a_zone_is_called_by_its_place() -> None:
    assert place("America/Argentina/Buenos_Aires") == "Buenos Aires time"
    assert place(None) == "UTC"


async def test_pages_follow_the_reader(browser: Browser, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    market.ticket(seller, price=Decimal("1234.50"))
    german = await browser.http.get("/", headers={"Accept-Language": "de-DE"})
    assert "1.234,50 US$" in text_of(german).replace("\xa0", " ")
    assert "$1,234.50" in text_of(await browser.get("/"))
    assert "Accept-Language" in german.headers["vary"]
