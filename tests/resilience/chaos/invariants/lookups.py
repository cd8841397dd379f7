"""Lookups of documents and events, for the invariants."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from contracts.tickets import Delivery
from tests.resilience.chaos.history import History, Kind, PublishedEvent, Stored

OPEN = {"created", "awaiting:payment"}
"""Orders that may still be paid for."""

GRACE = timedelta(seconds=5)
"""The maximum delay of timers and webhooks."""

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


def key(stored: Stored) -> str:
    return str(stored["_id"])


def by_key(stored: Iterable[Stored]) -> dict[str, Stored]:
    return {key(each): each for each in stored}


def grouped_by(things: Iterable[T], what: Callable[[T], K]) -> dict[K, list[T]]:
    grouped = defaultdict[K, list[T]](list)
    for thing in things:
        grouped[what(thing)].append(thing)
    return grouped


def documents(history: History) -> Iterator[tuple[Kind, Stored]]:
    """All documents that publish events."""
    for kind, stored in (
        ("ticket", history.tickets),
        ("order", history.orders),
        ("payment", history.payments),
    ):
        for each in stored:
            yield kind, each  # type: ignore[misc] # these are kinds
    for session in history.sessions:
        # The start of some sessions is published too, which has no version. Their end is the only state.
        yield "session", {**session, "version": -1 if session["ended_at"] is None else 0}


def published_of(history: History) -> Mapping[tuple[Kind, str], dict[int, PublishedEvent]]:
    """The first event of each version of every document, without echoes."""
    found = defaultdict[tuple[Kind, str], dict[int, PublishedEvent]](dict)
    for event in history.events:
        if not event.echo:
            found[event.kind, event.about].setdefault(event.version, event)
    return found


def has_the_ticket(order: Stored) -> bool:
    return order["status"] in OPEN | {"complete"} or (order["status"] == "refunded" and not order["relisted"])


def minor(price: Any) -> int:
    """A price in minor units: 19.99 becomes 1999."""
    return round(float(price) * 100)


def way_of_delivery(ticket: Stored) -> Delivery:
    """How the buyer of a stored ticket gets it."""
    if ticket["files_ready_at"] is not None:
        return "instant"
    return "promised" if ticket["promised"] else "seller"
