"""Events in the vocabulary of schema.org, which search engines read from pages.

https://developers.google.com/search/docs/appearance/structured-data/event
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from contracts.api import ShowPage, Ticket
from contracts.text import plain
from web.languages import canonical
from web.rendering.ticket_texts import has_begun

# Subtypes of https://schema.org/Event
EVENT_TYPES = {
    "music": "MusicEvent",
    "theatre": "TheaterEvent",
    "comedy": "ComedyEvent",
    "sport": "SportsEvent",
    "festival": "Festival",
    "family": "ChildrensEvent",
    "art": "VisualArtsEvent",
}
VOCABULARY = "https://schema.org"


def event_of_ticket(ticket: Ticket, site: str, currency: str) -> dict[str, Any] | None:
    """The event of one ticket, with its offer. None if it has no date, which the vocabulary requires."""
    if ticket.starts_at is None:
        return None
    address = canonical(site, f"/tickets/{ticket.id}")
    on_sale = ticket.status == "available" and not ticket.awaits_files and not has_begun(ticket.starts_at)
    offer = {
        "@type": "Offer",
        "url": address,
        "price": f"{ticket.price:.2f}",
        "priceCurrency": currency.upper(),
        "availability": _availability(is_on_sale=on_sale),
    }
    return {
        **_event(ticket.title, ticket.category, ticket.starts_at, ticket.time_zone),
        "url": address,
        "offers": offer,
        **_place(ticket.venue, ticket.city, ticket.country),
        **_picture(ticket.picture, site),
    }


def event_of_show(event: ShowPage, site: str, currency: str) -> dict[str, Any]:
    """An event with all its offers together. Prices are per ticket, as the page shows them."""
    address = canonical(site, f"/events/{event.id}")
    offers: dict[str, Any] = {
        "@type": "AggregateOffer",
        "url": address,
        "priceCurrency": currency.upper(),
        "offerCount": event.on_sale,
        "availability": _availability(is_on_sale=event.on_sale > 0 and not has_begun(event.starts_at)),
    }
    if event.lowest is not None and event.highest is not None:
        offers |= {"lowPrice": f"{event.lowest:.2f}", "highPrice": f"{event.highest:.2f}"}
    return {
        **_event(event.title, event.category, event.starts_at, event.time_zone),
        "url": address,
        "offers": offers,
        **_place(event.venue, event.city, event.country),
        **_performers(event.performers, event.category),
        **_picture(event.picture, site),
    }


def _event(title: str, category: str | None, starts_at: datetime, time_zone: str | None) -> dict[str, Any]:
    return {
        "@context": VOCABULARY,
        "@type": EVENT_TYPES.get(category or "", "Event"),
        "name": plain(title),
        "startDate": starts_at.astimezone(ZoneInfo(time_zone or "UTC")).isoformat(),
        "eventStatus": f"{VOCABULARY}/EventScheduled",
        "eventAttendanceMode": f"{VOCABULARY}/OfflineEventAttendanceMode",
    }


def _availability(*, is_on_sale: bool) -> str:
    return f"{VOCABULARY}/{'InStock' if is_on_sale else 'SoldOut'}"


def _place(venue: str | None, city: str | None, country: str | None) -> Mapping[str, Any]:
    name = venue or city
    if name is None:
        return {}
    address: dict[str, str] = {"@type": "PostalAddress", "addressLocality": plain(city or name)}
    if country is not None:
        address["addressCountry"] = country
    return {"location": {"@type": "Place", "name": plain(name), "address": address}}


def _performers(names: Sequence[str], category: str | None) -> Mapping[str, Any]:
    kind = "MusicGroup" if category == "music" else "PerformingGroup"
    return {"performer": [{"@type": kind, "name": plain(name)} for name in names]} if names else {}


def _picture(name: str | None, site: str) -> Mapping[str, Any]:
    return {"image": f"{site}/api/tickets/pictures/{name}/large"} if name else {}
