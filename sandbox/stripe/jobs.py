"""A request that was understood, and what came of it."""

import secrets
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sandbox.stripe.errors import missing
from sandbox.stripe.state import Event, Intent, Kept
from sandbox.stripe.store import Ledger

T = TypeVar("T")

_ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Declined:
    """The bank said no: the intent, as it is after that."""

    intent: Intent


@dataclass(frozen=True)
class Listed:
    things: Sequence[Kept | Event]
    has_more: bool
    url: str


Outcome = Kept | Event | Declined | Listed


@dataclass(frozen=True)
class Job:
    """A request that was understood."""

    work: Callable[[Ledger], Outcome]
    expand: tuple[str, ...] = ()
    changes: str | None = None
    """The object that nothing else may change meanwhile."""
    asks_bank: bool = False
    card: Callable[[Ledger], str | None] | None = None
    """The name of the card that it pays with, if it pays."""


def mint(prefix: str, length: int = 24) -> str:
    """An id that nobody can guess."""
    return f"{prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(length))}"


def find_intent(ledger: Ledger, intent_id: str) -> Intent:
    """The intent that the path names."""
    return found(ledger.find(Intent, intent_id), "payment_intent", intent_id, param="intent")


def found(thing: T | None, name: str, id_: str, *, param: str = "id") -> T:
    if thing is None:
        raise missing(name, id_, param=param, status=404)
    return thing
