"""Rules of alerts: who is told of which ticket, and when a ticket is announced."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic import BaseModel

from contracts.api import AlertKind
from kit.changes import Changes
from kit.errors import Conflict
from services.tickets.rules import TicketState
from services.tickets.shows.rules import folded

MAX_ALERTS = 100
"""How many alerts and favorites one user may have."""

_WANTED = ("status", "price_minor", "quantity", "show_id", "starts_at", "awaits_files")
"""The fields of a ticket that decide who is told of it."""


class TooManyAlerts(Conflict):
    message = f"You have {MAX_ALERTS} alerts and favorites already. Remove one first"


class AlertState(BaseModel):
    """The fields of a request that rules need."""

    user_id: str
    """Who wants to be told."""
    kind: AlertKind
    target: str
    """The event or the performer: see `target_of_show` and `target_of_performer`."""
    price_to_minor: int | None = None
    """The highest price per ticket."""
    quantity: int | None = None
    """How many adjacent tickets are wanted. None for any number."""


def target_of_show(show_id: str) -> str:
    return f"show:{show_id}"


def target_of_performer(name: str) -> str:
    """The same for all spellings that differ in case, accents and punctuation."""
    return f"performer:{folded(name)}"


def targets_of(show_id: str, performers: Iterable[str]) -> list[str]:
    """The targets of all requests that tickets for this event may match."""
    return [target_of_show(show_id), *sorted({target_of_performer(name) for name in performers})]


def matches(alert: AlertState, ticket: TicketState) -> bool:
    """Whether the user wants to be told of this ticket, which is for the right event.

    A listing is sold as a whole, so someone who wants two tickets isn't told of three. Prices are compared
    without rounding.
    """
    if alert.user_id == ticket.user_id:
        return False
    if alert.quantity is not None and alert.quantity != ticket.quantity:
        return False
    return alert.price_to_minor is None or ticket.price_minor <= alert.price_to_minor * ticket.quantity


def is_announced(ticket: TicketState, now: datetime) -> bool:
    """Whether people may be told of the ticket: it can be bought now, and its event is known and ahead."""
    if ticket.status != "available" or ticket.awaits_files or ticket.show_id is None:
        return False
    return ticket.starts_at is None or ticket.starts_at > now


def is_offered_anew(ticket: TicketState, changes: Changes) -> bool:
    """Whether somebody may want the changed ticket who wasn't told of it: it is cheaper, or on sale again."""
    changed = ticket.model_copy(update=dict(changes))
    if changed.status != "available" or changed.awaits_files:
        return False
    return any(getattr(changed, name) != getattr(ticket, name) for name in _WANTED)


def announced_anew(next_wave_at: datetime | None, now: datetime) -> Changes:
    """Begin with the oldest request again. Those who were told already aren't told again.

    The next wave isn't sooner because of it. Otherwise a hold that is cancelled at once, or an edit, would
    take their five minutes from those who were told last.
    """
    return {"announce_at": max(now, next_wave_at or now), "announced_to": None}


def wave(now: datetime, interval: timedelta) -> Changes:
    """Claim a wave: the next one isn't due before the interval is over."""
    return {"announce_at": now + interval, "next_wave_at": now + interval}
