"""Names the browser and the operating system of a device for the user's list of sessions.

The names are for people to recognize their own devices. Nothing depends on them, and browsers may lie.
"""

import re

MAX_LENGTH = 500
"""A longer User-Agent isn't searched."""

# The first that matches counts: most browsers also name those that they want to be treated like.
_BROWSERS = (
    ("Edge", r"Edg(?:e|A|iOS)?/"),
    ("Opera", r"OPR/|Opera"),
    ("Samsung Internet", r"SamsungBrowser/"),
    ("Firefox", r"Firefox/|FxiOS/"),
    ("Chrome", r"Chrome/|CriOS/|Chromium/"),
    ("Safari", r"Version/.*Safari/"),
    ("curl", r"^curl/"),
)
_SYSTEMS = (
    ("Android", r"Android"),
    ("iPhone", r"iPhone"),
    ("iPad", r"iPad"),
    ("Windows", r"Windows"),
    ("macOS", r"Macintosh|Mac OS X"),
    ("ChromeOS", r"CrOS"),
    ("Linux", r"Linux|X11"),
)


def device_name(user_agent: str | None) -> str | None:
    """Such as `Firefox on Linux`, or only a part of it, or None if neither is known."""
    text = user_agent or ""
    if len(text) > MAX_LENGTH:
        return None
    known = [_first(_BROWSERS, text), _first(_SYSTEMS, text)]
    return " on ".join(filter(None, known)) or None


def _first(patterns: tuple[tuple[str, str], ...], text: str) -> str | None:
    return next((name for name, pattern in patterns if re.search(pattern, text)), None)
