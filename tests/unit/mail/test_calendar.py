from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from kit.calendar import calendar

MOMENT = datetime(2027, 6, 12, 20, 30, tzinfo=timezone(timedelta(hours=2)))


def lines_of(**texts: str) -> list[str]:
    """The lines of a calendar file, unfolded as section 3.1 of RFC 5545 says."""
    text = calendar(uid="1@site", stamp=MOMENT, starts_at=MOMENT, texts=texts, url="https://site/orders/1")
    assert text.endswith("\r\n")
    for line in text.split("\r\n"):
        assert len(line.encode()) <= 75
        assert "\n" not in line
    return text.replace("\r\n ", "").split("\r\n")[:-1]


def test_the_file_has_one_event_with_its_time_in_utc() -> None:
    assert lines_of(SUMMARY="Low Roar") == [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Stagedoor//Tickets//EN",
        "METHOD:PUBLISH",
        "BEGIN:VEVENT",
        "UID:1@site",
        "DTSTAMP:20270612T183000Z",
        "DTSTART:20270612T183000Z",
        "SUMMARY:Low Roar",
        "URL:https://site/orders/1",
        "END:VEVENT",
        "END:VCALENDAR",
    ]


def test_special_characters_are_escaped_so_that_a_title_adds_no_property() -> None:
    lines = lines_of(SUMMARY="a;b,c\\d\r\nATTENDEE:mailto:eve@example.com")
    assert "SUMMARY:a\\;b\\,c\\\\d\\nATTENDEE:mailto:eve@example.com" in lines
    assert not any(line.startswith("ATTENDEE") for line in lines)


@given(st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=300))
def test_a_folded_text_is_unfolded_to_the_same(title: str) -> None:
    escaped = title.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    assert f"SUMMARY:{escaped}" in lines_of(SUMMARY=title)


def test_the_time_is_in_utc_whatever_its_zone() -> None:
    text = calendar(uid="1", stamp=MOMENT, starts_at=MOMENT.astimezone(UTC), texts={}, url="https://site")
    assert "DTSTART:20270612T183000Z" in text
