"""Rules of shows: when two descriptions mean the same event, and what its tickets take over from it."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from pydantic import BaseModel

from contracts.api import ShowGroup, Ticket
from contracts.money import price_per_ticket
from contracts.tickets import country_of
from contracts.wire import Moment
from kit.changes import Changes
from kit.errors import Conflict, Invalid
from services.tickets.folding import slug, words
from services.tickets.rules import EventInThePast, TicketState

PLACE_AND_TIME = ("starts_at", "time_zone", "venue", "city", "country")
"""What the tickets of a show have in common with it."""

TIME = ("starts_at", "time_zone")
"""The part of it that sold tickets follow too."""

WEIGHTS = {"sold": 3, "reserved": 1}
"""How much a ticket with this status says about the demand for its event."""
MAX_POPULAR = 300

MAX_WORDS = 60
"""Words of a show by which it is suggested."""

_END_OF_AREA = re.compile("\\s*(?:[,;·|/(]|\\s[-\u2013\u2014]\\s).*", re.DOTALL)
_ROW = re.compile(
    r"\b(rows?|seats?|reihen?|platz|plätze|sitz|sitze|fila|filas|asientos?|rang?ée|rangs|sièges?|lugar|lugares)\b.*",
    re.IGNORECASE | re.DOTALL,
)
_ONLY_NUMBERS = re.compile(r"[\W\d_]*[A-Za-z]?[\W\d_]*")


class UnknownShow(Invalid):
    message = "There is no such event"


class ShowExists(Conflict):
    message = "Another event has this title, place and time: merge the two"


class PictureMissing(Invalid):
    message = "There is no picture with this name"


class ShowFacts(BaseModel):
    """What is known about an event."""

    title: str
    performers: list[str] = []
    venue: str
    city: str
    country: str | None = None
    time_zone: str | None = None
    starts_at: Moment
    category: str | None = None
    picture: str | None = None
    """The name of the picture that operators have chosen."""


class ShowState(ShowFacts):
    """The fields of a show that rules need."""

    keys: list[str]
    """Hashes of all descriptions that mean this show. The last one is that of its present facts."""
    merged_into: str | None = None
    """The show that this one is a duplicate of. It is always older, so that there are no circles."""
    unsettled_since: Moment | None = None
    """When the show was last merged or corrected, until all its tickets have followed."""


def folded(text: str) -> str:
    """A text without case, accents and punctuation; a text of signs only without case."""
    return slug(text) or unicodedata.normalize("NFKC", text).casefold().strip()


def key_of(title: str, venue: str, city: str, starts_at: datetime) -> str:
    """A hash that is the same for all spellings of an event that differ in case, accents and punctuation."""
    minute = starts_at.replace(second=0, microsecond=0).isoformat()
    return sha256("\n".join([folded(title), folded(venue), folded(city), minute]).encode()).hexdigest()


def described(details: Mapping[str, Any], performers: Sequence[str] = ()) -> ShowFacts | None:
    """The event that a listing describes. None if its date, venue or city is missing."""
    if details.get("starts_at") is None or not details.get("venue") or not details.get("city"):
        return None
    zone = details.get("time_zone")
    return ShowFacts(
        title=details["title"],
        performers=list(performers),
        venue=details["venue"],
        city=details["city"],
        country=details.get("country") or country_of(zone),
        time_zone=zone,
        starts_at=details["starts_at"],
        category=details.get("category"),
    )


def indexed(facts: ShowFacts) -> dict[str, Any]:
    """The fields by which shows with these facts are found."""
    texts = (facts.title, *facts.performers, facts.venue, facts.city)
    return {
        "title_key": folded(facts.title),
        "venue_key": f"{folded(facts.venue)}\n{folded(facts.city)}",
        "words": words(*texts)[:MAX_WORDS],
    }


def is_unchanged(details: Mapping[str, Any], ticket: TicketState) -> bool:
    """Whether an edited ticket with a date is still for the event that it was for, which may have another
    title. A country that isn't given is unchanged."""
    if ticket.show_id is None or ticket.starts_at is None:
        return False
    known = {name: getattr(ticket, name) for name in ("title", *PLACE_AND_TIME)}
    given = {**details, "country": details.get("country") or ticket.country}
    return all(given.get(name) == value for name, value in known.items())


def check_has_not_begun(show: ShowState, now: datetime) -> None:
    """Check that tickets for the show can still be listed.

    Raises:
        EventInThePast
    """
    if show.starts_at <= now:
        raise EventInThePast


def place_and_time(show: ShowFacts) -> dict[str, Any]:
    return {name: getattr(show, name) for name in PLACE_AND_TIME}


def follow(ticket: TicketState, show_id: str, show: ShowFacts) -> Changes | None:
    """What a ticket takes over from its show after a merge or a correction.

    A ticket without a date only gets the id. A sold one gets the date, so that its buyer learns of it. The
    rest stays as its buyer bought it.
    """
    changes: dict[str, Any] = {"show_id": show_id}
    if ticket.starts_at is not None and ticket.status != "withdrawn":
        is_sold = ticket.status == "sold"
        changes |= {name: getattr(show, name) for name in (TIME if is_sold else PLACE_AND_TIME)}
    if all(getattr(ticket, name) == value for name, value in changes.items()):
        return None
    if any(changes.get(name, getattr(ticket, name)) != getattr(ticket, name) for name in TIME):
        changes["date_changes"] = ticket.date_changes + 1
    return changes


def merge_into(show: ShowState, survivor: str, now: datetime) -> Changes | None:
    """Make the show a duplicate of an older one. Repeating it changes nothing."""
    if show.merged_into == survivor:
        return None
    return {"merged_into": survivor, "unsettled_since": now}


def correct(show: ShowState, changes: Mapping[str, Any], now: datetime) -> Changes | None:
    """Correct facts. Listings with the former facts are still listings for this show.

    Another time zone brings its country with it, unless the country is given too.
    """
    given = dict(changes)
    if "time_zone" in given and "country" not in given:
        given["country"] = country_of(given["time_zone"]) or show.country
    if all(getattr(show, name) == value for name, value in given.items()):
        return None
    facts = ShowFacts.model_validate({**show.model_dump(), **given})
    key = key_of(facts.title, facts.venue, facts.city, facts.starts_at)
    keys = [*(each for each in show.keys if each != key), key]
    return {**given, **indexed(facts), "keys": keys, "unsettled_since": now}


def area_of(seat: str | None) -> str | None:
    """The leading part of a seat: "Block A" of "Block A, row 4". None if it names only rows and seats."""
    if not seat:
        return None
    area = _ROW.sub("", _END_OF_AREA.sub("", seat)).strip(" ,.:-\u2013")
    return None if not area or _ONLY_NUMBERS.fullmatch(area) else area


def grouped(tickets: Iterable[Ticket]) -> list[ShowGroup]:
    """The tickets by area and quantity. The group with the lowest price comes first, and within it the ticket
    with the lowest price. Tickets that can't be bought come last."""
    groups: dict[tuple[str, int], list[Ticket]] = {}
    labels: dict[str, str] = {}
    for ticket in sorted(tickets, key=_turn):
        area = area_of(ticket.seat)
        key = folded(area) if area else ""
        labels.setdefault(key, area or "")
        groups.setdefault((key, ticket.quantity), []).append(ticket)
    return [
        ShowGroup(area=labels[key] or None, quantity=quantity, lowest=price_range(found)[0], tickets=found)
        for (key, quantity), found in groups.items()
    ]


def price_range(tickets: Iterable[Ticket]) -> tuple[Decimal | None, Decimal | None]:
    """The lowest and the highest price per ticket of the tickets on sale. None if none is on sale."""
    prices = [_price(ticket) for ticket in tickets if ticket.status == "available"]
    return (min(prices), max(prices)) if prices else (None, None)


def by_demand(groups: Iterable[tuple[str, str, int]]) -> list[str]:
    """The events with the highest demand, the highest first. A sale says more about it than a hold.

    Args:
        groups: an event, a status of its tickets, and how many have it.
    """
    demand: Counter[str] = Counter()
    for show_id, status, tickets in groups:
        demand[show_id] += WEIGHTS.get(status, 0) * tickets
    wanted = [show_id for show_id, weight in demand.items() if weight]
    return sorted(wanted, key=lambda show_id: (-demand[show_id], show_id))[:MAX_POPULAR]


_ORDER = {"available": 0, "reserved": 1}


def _turn(ticket: Ticket) -> tuple[int, Decimal, str]:
    return _ORDER.get(ticket.status, 2), _price(ticket), ticket.id


def _price(ticket: Ticket) -> Decimal:
    return price_per_ticket(ticket.price, ticket.quantity)
