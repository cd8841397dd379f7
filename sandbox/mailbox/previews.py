"""Every kind of message with invented data."""

from collections.abc import Iterator
from email.message import EmailMessage

from services.mail.kinds import BY_NAME, KINDS
from services.mail.kinds.base import Site
from services.mail.rendering import Stationery
from settings import Settings

RECIPIENT = "ada@example.com"
LINK = "/account/example?link=65f0c0ffee00000000000010.0123456789abcdef"


def names() -> Iterator[str]:
    """The names of all kinds."""
    for kind in KINDS:
        yield kind.name


def preview(name: str, settings: Settings) -> EmailMessage | None:
    """A message of this kind, or None if there is no such kind."""
    kind = BY_NAME.get(name)
    if kind is None:
        return None
    notice = kind.notice(kind.example())
    assert notice is not None, f"the example of {name} must concern somebody"
    site = Site.of(settings)
    url = site.url + LINK if kind.needs_link else site.url
    content = kind.content(notice.facts, site, url)
    token = f"{notice.recipient}.{name}.{'0' * 32}" if kind.is_optional else None
    return Stationery(settings.sender, settings.site).email(name, content, RECIPIENT, token)
