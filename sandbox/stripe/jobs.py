"""A parsed request and its outcome."""

import secrets
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sandbox.stripe.errors import missing
from sandbox.stripe.state import Event, Intent, Stored
from sandbox.stripe.store import Ledger

T = TypeVar("T")

_ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Declined:
    """The bank declined. `intent` is the PaymentIntent after the decline."""

    intent: Intent


@dataclass(frozen=True)
class Listed:
    things: Sequence[Stored | Event]
    has_more: bool
    url: str


@dataclass(frozen=True)
class Balance:
    """What is available and what is pending, by currency."""

    amounts: Mapping[str, tuple[int, int]]


Outcome = Stored | Event | Declined | Listed | Balance


@dataclass(frozen=True)
class Job:
    """A parsed request, to be executed in one transaction."""

    work: Callable[[Ledger], Outcome]
    expand: tuple[str, ...] = ()
    changes: str | None = None
    """The id of the object to lock during the job."""
    asks_bank: bool = False
    card: Callable[[Ledger], str | None] | None = None
    """A function that finds the name of the card, if the job pays."""


def mint(prefix: str, length: int = 24) -> str:
    """A random id that can't be guessed."""
    return f"{prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(length))}"


def find_intent(ledger: Ledger, intent_id: str) -> Intent:
    """The intent with the id in the path."""
    return found(ledger.find(Intent, intent_id), "payment_intent", intent_id, param="intent")


def found(thing: T | None, name: str, id_: str, *, param: str = "id") -> T:
    if thing is None:
        raise missing(name, id_, param=param, status=404)
    return thing
