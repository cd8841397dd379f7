"""A calendar file with one event (RFC 5545)."""

from datetime import UTC, datetime

MAX_OCTETS = 75
"""The longest line, without its line break: section 3.1."""


def calendar(*, uid: str, stamp: datetime, starts_at: datetime, texts: dict[str, str], url: str) -> str:
    """The file's text.

    Args:
        uid: identifies the event, so that a repeated file replaces the entry instead of adding another.
        stamp: when the information is from.
        texts: SUMMARY and others, by name.
    """
    lines = [
        *("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Stagedoor//Tickets//EN", "METHOD:PUBLISH"),
        *("BEGIN:VEVENT", f"UID:{_escaped(uid)}", f"DTSTAMP:{_utc(stamp)}", f"DTSTART:{_utc(starts_at)}"),
        *(f"{name}:{_escaped(text)}" for name, text in texts.items()),
        *(f"URL:{url}", "END:VEVENT", "END:VCALENDAR"),
    ]
    return "".join(f"{_folded(line)}\r\n" for line in lines)


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _escaped(text: str) -> str:
    """A value of type TEXT: section 3.3.11."""
    for character in ("\\", ";", ","):
        text = text.replace(character, f"\\{character}")
    return "\\n".join(text.splitlines())


def _folded(line: str) -> str:
    """A long line in several, each but the first after a space, and none within a character."""
    parts, length = [""], 0
    for character in line:
        octets = len(character.encode())
        if length + octets > MAX_OCTETS:
            parts.append(" ")
            length = 1
        parts[-1] += character
        length += octets
    return "\r\n".join(parts)
