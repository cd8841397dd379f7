"""The programs in docs/quick-starts, with which developers begin.

Tests run them, except `listen.sh`: no package registry has the program `nats`. A test makes its subscription.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from web.developers.documents import DOCS
from web.rendering.texts import N_, _

FOLDER = DOCS / "quick-starts"

DEFAULT_SITE = "http://localhost:3500"
"""The address of the site in the files."""

_TITLES = {
    "curl.sh": N_("List a ticket with curl"),
    "buy.py": N_("Buy a ticket with Python"),
    "buy.mjs": N_("Buy a ticket with JavaScript"),
    "listen.sh": N_("Receive events with the NATS command line"),
    "listen.py": N_("Receive events with Python"),
    "listen.mjs": N_("Receive events with JavaScript"),
}


@dataclass(frozen=True)
class QuickStart:
    name: str
    """The name of its file."""
    title: str
    code: str


def quick_starts(site: str) -> Sequence[QuickStart]:
    """All programs, for the site with this address."""
    return [
        QuickStart(name, _(title), (FOLDER / name).read_text("utf-8").replace(DEFAULT_SITE, site).strip())
        for name, title in _TITLES.items()
    ]
