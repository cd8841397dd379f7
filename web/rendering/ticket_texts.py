"""What templates say about a ticket."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from markupsafe import Markup

from contracts.tickets import Delivery, TicketDetails
from contracts.wire import now
from web.rendering import locales
from web.rendering.isolation import bdi
from web.rendering.texts import N_, _, ngettext

YEAR_SHOWN_AFTER = timedelta(days=180)

CATEGORY_LABELS = {
    "music": N_("Music"),
    "theatre": N_("Theatre"),
    "comedy": N_("Comedy"),
    "sport": N_("Sport"),
    "festival": N_("Festival"),
    "family": N_("Family"),
    "art": N_("Art"),
    "other": N_("Other"),
}
CATEGORIES_WITH_ICON = CATEGORY_LABELS.keys() - {"other"}


def has_begun(starts_at: datetime | None) -> bool:
    return starts_at is not None and starts_at <= now()


def is_distant(moment: datetime) -> bool:
    """Whether cards show the year of a date, because it isn't near today."""
    return abs(moment - now()) >= YEAR_SHOWN_AFTER


def places(ticket: TicketDetails) -> list[str]:
    """The venue and the city, as far as they are known."""
    return [place for place in (ticket.venue, ticket.city) if place]


def location(ticket: TicketDetails) -> Markup:
    """The venue and the city, such as "Royal Albert Hall, London"."""
    return Markup(", ").join(map(bdi, places(ticket)))


def category_label(category: str) -> str:
    """The label of a category. A category that this version doesn't know is shown by its name."""
    return _(CATEGORY_LABELS.get(category, category.capitalize()))


def category_icon(category: str | None) -> str:
    return category if category in CATEGORIES_WITH_ICON else "ticket"


def category_and_seat(ticket: TicketDetails) -> Markup:
    """The category and the seat, such as "Music · Row 3"."""
    category = category_label(ticket.category) if ticket.category else None
    return Markup(" · ").join(filter(None, (category, bdi(ticket.seat) if ticket.seat else None)))


def tickets_together(quantity: int) -> str:
    """The number of tickets, such as "2 tickets together"."""
    return ngettext("%(num)s ticket", "%(num)s tickets together", quantity)


DELIVERY_LABELS: Mapping[Delivery, str] = {
    "instant": N_("Instant download after payment"),
    "promised": N_("The seller uploads the ticket after the sale"),
    "seller": N_("Handed over by the seller"),
}


def delivery_label(delivery: Delivery) -> str:
    """How the buyer gets a ticket."""
    return _(DELIVERY_LABELS[delivery])


def file_kind(kind: str) -> str:
    """What a file of a ticket is."""
    return _("Apple Wallet pass") if kind == "pkpass" else kind.upper()


def file_size(size: int) -> str:
    """The size of a file, such as "48 KB"."""
    if size < 1_000_000:
        return _("%(size)s KB", size=max(1, round(size / 1000)))
    return _("%(size)s MB", size=locales.number(round(size / 1_000_000, 1), locales.current()))
