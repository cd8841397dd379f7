"""Prices and dates are formatted for the browser's locale."""

import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from babel import Locale

from contracts.languages import Language
from tests.integration.web.page_client import PageClient, text_of
from tests.support.fakes.market import Market
from web.rendering.locales import date_and_time, locale_of, money, using, zone_name

TIME = datetime(2026, 12, 12, 19, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("accept_language", "locale"),
    [
        ("", "en_US"),
        ("en", "en_US"),
        ("en-GB,en;q=0.9", "en_GB"),
        ("de-DE,de;q=0.9,en;q=0.8", "de_DE"),
        ("de", "de_DE"),
        ("de-AT", "de_AT"),
        ("en-DE,de;q=0.5", "en_DE"),
        ("de-US", "de_DE"),
        ("fr;q=0.5, sv-SE;q=0.9", "en_SE"),
        ("sv;q=0, en-GB;q=0.1", "en_GB"),
        ("zh-Hant-TW", "en_001"),
        ("ja", "en_001"),
        ("*", "en_US"),
        ("../../etc/passwd", "en_US"),
        ("xx-\x00, de" * 200, "en_US"),
    ],
)
def test_the_locale_is_a_language_of_ours_in_the_country_of_the_preferred_language(
    accept_language: str, locale: str
) -> None:
    assert str(locale_of(accept_language)) == locale


@pytest.mark.parametrize(
    ("accept_language", "chosen", "locale"),
    [("de-AT", "en", "en_AT"), ("en-US", "de", "de_DE"), ("", "de", "de_DE"), ("de-CH,en", "de", "de_CH")],
)
def test_a_chosen_language_is_written_as_in_the_country_of_the_browser(
    accept_language: str, chosen: Language, locale: str
) -> None:
    assert str(locale_of(accept_language, chosen)) == locale


def test_the_cache_of_locales_does_not_keep_long_headers() -> None:
    """An attacker could otherwise fill the memory with long headers: 1,000 of 100 KB take 100 MB."""
    tracemalloc.start()
    for number in range(20):
        locale_of(f"de, x{number}, " + "y" * 1_000_000)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 1_000_000


@pytest.mark.parametrize(
    ("accept_language", "price", "day"),
    [
        ("en-US", "$1,234.50", "Sat, Dec 12, 2026, 8:30\u202fPM"),
        ("en-GB", "US$1,234.50", "Sat, 12 Dec 2026, 20:30"),
        ("en-DE", "1.234,50\xa0US$", "Sat, 12 Dec 2026, 20:30"),
        ("de-DE", "1.234,50\xa0$", "Sa., 12. Dez. 2026, 20:30"),
    ],
)
def test_prices_and_dates_are_formatted_for_the_locale(accept_language: str, price: str, day: str) -> None:
    locale = locale_of(accept_language)
    assert money(Decimal("1234.50"), "usd", locale) == price
    assert date_and_time(TIME, "Europe/Berlin", locale) == day


def test_a_time_zone_is_named_after_its_city() -> None:
    assert zone_name("America/Argentina/Buenos_Aires") == "Buenos Aires time"
    assert zone_name(None) == "UTC"
    with using(Locale("de", "DE")):
        assert zone_name("Europe/Rome") == "Ortszeit Rom"
        assert zone_name("America/New_York") == "Ortszeit New York"


async def test_prices_on_a_page_follow_the_accept_language_header(client: PageClient, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    market.ticket(seller, price=Decimal("1234.50"))
    german = await client.http.get("/", headers={"Accept-Language": "de-DE"})
    assert "1.234,50 $" in text_of(german).replace("\xa0", " ")
    assert "$1,234.50" in text_of(await client.get("/"))
    assert "Accept-Language" in german.headers["vary"]
