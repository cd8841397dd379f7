"""Names of devices in the reader's language. Auth stores them in English."""

from kit.texts import _


def device_name(english: str) -> str:
    """A name such as "Firefox on Linux"."""
    browser, on, system = english.partition(" on ")
    return _("%(browser)s on %(system)s", browser=browser, system=system) if on else english
