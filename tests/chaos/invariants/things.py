"""How the invariants look at what is stored and said."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from tests.chaos.history import History, Kind, Said, Stored

OPEN = {"created", "awaiting:payment"}
"""Orders that may still be paid for."""

GRACE = timedelta(seconds=5)
"""How late something may be that has its time."""

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


def key(stored: Stored) -> str:
    return str(stored["_id"])


def by_key(stored: Iterable[Stored]) -> dict[str, Stored]:
    return {key(each): each for each in stored}


def by(things: Iterable[T], what: Callable[[T], K]) -> dict[K, list[T]]:
    grouped = defaultdict[K, list[T]](list)
    for thing in things:
        grouped[what(thing)].append(thing)
    return grouped


def owned(history: History) -> Iterator[tuple[Kind, Stored]]:
    """Everything that says what becomes of it."""
    for kind, stored in (
        ("ticket", history.tickets),
        ("order", history.orders),
        ("payment", history.payments),
        ("session", history.sessions),
    ):
        for each in stored:
            yield kind, each  # type: ignore[misc] # these are kinds


def said_of(history: History) -> Mapping[tuple[Kind, str], dict[int, Said]]:
    """What was said first of each version of everything, apart from echoes."""
    found = defaultdict[tuple[Kind, str], dict[int, Said]](dict)
    for event in history.events:
        if not event.echo:
            found[event.kind, event.about].setdefault(event.version, event)
    return found


def has_the_ticket(order: Stored) -> bool:
    return order["status"] in OPEN | {"complete"} or (order["status"] == "refunded" and not order["relisted"])


def minor(price: Any) -> int:
    """19.99 → 1999"""
    return round(float(price) * 100)
