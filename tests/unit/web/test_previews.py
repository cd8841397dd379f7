"""Pictures for link previews, the icons, and what search engines read about events."""

import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from babel import Locale
from PIL import Image

from contracts.api import ShowPage, Ticket
from contracts.wire import now
from kit.texts import using
from web.pages.previews import address, event_preview, ticket_preview
from web.rendering import icons, previews, schema_org
from web.rendering.previews import Preview, render

SITE = "https://tickets.example"
STARTS_AT = datetime(2036, 12, 12, 19, 0, tzinfo=UTC)


def ticket(**changes: Any) -> Ticket:
    values = {
        "id": "a" * 24,
        "user_id": "b" * 24,
        "version": 0,
        "status": "available",
        "title": "Hamlet",
        "price": Decimal("30.00"),
        "quantity": 2,
        "starts_at": STARTS_AT,
        "time_zone": "Europe/Berlin",
        "venue": "Astra",
        "city": "Berlin",
        "country": "DE",
        "category": "theatre",
    }
    return Ticket.model_validate({**values, **changes})


def event(**changes: Any) -> ShowPage:
    values = {
        "id": "c" * 24,
        "title": "Nick Cave",
        "performers": ["Nick Cave", "Warren Ellis"],
        "venue": "Astra",
        "city": "Berlin",
        "country": "DE",
        "time_zone": "Europe/Berlin",
        "starts_at": STARTS_AT,
        "category": "music",
        "picture": None,
        "lowest": Decimal("15.00"),
        "highest": Decimal("40.00"),
        "on_sale": 3,
        "groups": [],
        "other_dates": [],
        "at_venue": [],
    }
    return ShowPage.model_validate({**values, **changes})


@pytest.mark.parametrize(
    "preview",
    [
        Preview("Hamlet", "Fri, Dec 12, 2036, 8:00 PM", "Astra, Berlin", "2 × $15.00"),  # noqa: RUF001
        Preview("A very long title " * 20, "when " * 40, "where " * 40, "$1,000,000,000.00 " * 5),
        Preview("x" * 500),
        Preview("東京 🎫", "", "", ""),
        Preview("عرض اليوم", "", "תל אביב", "€5"),
        Preview("a\u200b\n b", "", "", ""),
    ],
)
def test_a_preview_is_a_small_jpeg_whatever_the_texts_are(preview: Preview) -> None:
    content = render(preview)
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size) == ("JPEG", previews.SIZE)
    assert len(content) < 300_000


def test_a_preview_has_the_picture_of_the_event_behind_its_text() -> None:
    file = io.BytesIO()
    Image.new("RGB", (1280, 720), "#00ff00").save(file, "WEBP")
    with Image.open(io.BytesIO(render(Preview("Hamlet"), file.getvalue()))) as image:
        red, green, blue = image.getpixel((1190, 10))  # type: ignore[misc]
    assert green > 60 > max(red, blue), "darkened"


def test_texts_with_characters_that_the_font_lacks_are_left_out() -> None:
    assert render(Preview("東京")) == render(Preview(""))
    assert render(Preview("Łódź Αθήνα Москва")) != render(Preview(""))


def test_previews_show_the_price_as_the_pages_do() -> None:
    assert ticket_preview(ticket(), "usd").price == "2 × $15.00"  # noqa: RUF001
    assert event_preview(event(), "usd").price == "from $15.00"
    assert event_preview(event(lowest=None, highest=None), "usd").price == ""
    begun = event(starts_at=now() - timedelta(hours=1))
    assert event_preview(begun, "usd").price == ""


def test_the_address_of_a_preview_changes_with_what_it_shows() -> None:
    one, other = ticket_preview(ticket(), "usd"), ticket_preview(ticket(price=Decimal("31")), "usd")
    addresses = {
        address(SITE, "/tickets/x", each, picture) for each in (one, other) for picture in (None, "p")
    }
    assert len(addresses) == 4
    assert address(SITE, "/tickets/x", one, None).startswith(f"{SITE}/tickets/x/preview.jpg?v=")


def test_an_event_offers_all_its_tickets_together() -> None:
    found = schema_org.event_of_show(event(), SITE, "usd")
    assert found["@type"] == "MusicEvent"
    assert found["eventStatus"] == "https://schema.org/EventScheduled"
    assert found["startDate"] == "2036-12-12T20:00:00+01:00"
    assert found["performer"] == [
        {"@type": "MusicGroup", "name": "Nick Cave"},
        {"@type": "MusicGroup", "name": "Warren Ellis"},
    ]
    assert found["offers"] == {
        "@type": "AggregateOffer",
        "url": f"{SITE}/events/{'c' * 24}",
        "priceCurrency": "USD",
        "offerCount": 3,
        "availability": "https://schema.org/InStock",
        "lowPrice": "15.00",
        "highPrice": "40.00",
    }
    assert found["location"]["address"]["addressCountry"] == "DE"


def test_an_event_without_tickets_is_sold_out() -> None:
    found = schema_org.event_of_show(event(on_sale=0, lowest=None, highest=None), SITE, "usd")
    assert found["offers"]["availability"] == "https://schema.org/SoldOut"
    assert "lowPrice" not in found["offers"]


@pytest.mark.parametrize(
    ("changes", "availability"),
    [({}, "InStock"), ({"status": "sold"}, "SoldOut"), ({"awaits_files": True}, "SoldOut")],
)
def test_a_ticket_is_one_offer(changes: dict[str, Any], availability: str) -> None:
    found = schema_org.event_of_ticket(ticket(**changes), SITE, "usd")
    assert found is not None
    assert found["offers"]["availability"] == f"https://schema.org/{availability}"
    assert found["offers"]["price"] == "30.00"


def test_search_engines_read_the_address_of_the_page_in_its_language() -> None:
    with using(Locale("de", "DE")):
        shown = [
            schema_org.event_of_show(event(), SITE, "usd"),
            schema_org.event_of_ticket(ticket(), SITE, "usd"),
        ]
    for found, path in zip(shown, (f"/events/{'c' * 24}", f"/tickets/{'a' * 24}"), strict=True):
        assert found is not None
        assert found["url"] == found["offers"]["url"] == f"{SITE}/de{path}"


def test_a_ticket_without_a_date_is_no_event() -> None:
    assert schema_org.event_of_ticket(ticket(starts_at=None), SITE, "usd") is None


@pytest.mark.parametrize("size", icons.SIZES)
def test_icons_have_their_size_and_no_transparent_part(size: int) -> None:
    with Image.open(io.BytesIO(icons.png(size))) as icon:
        assert (icon.format, icon.size, icon.mode) == ("PNG", (size, size), "RGB")


def test_the_favicon_has_the_usual_sizes() -> None:
    with Image.open(io.BytesIO(icons.favicon())) as icon:
        assert icon.format == "ICO"
        assert icon.info["sizes"] == {(16, 16), (32, 32), (48, 48)}
