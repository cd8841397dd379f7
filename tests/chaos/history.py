"""What is known of a run once it has come to rest: databases, streams, Stripe's books, what clients saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Stored = Mapping[str, Any]
"""A document as it is in the database."""

Kind = Literal["ticket", "order", "payment"]


@dataclass(frozen=True)
class Said:
    """An event in the stream."""

    message_id: str
    """Nats-Msg-Id: the same event, published twice, has it twice."""
    kind: Kind
    about: str
    """The id of what it is about."""
    version: int
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What a client asked to be changed, and how it was answered."""

    what: Literal["offer", "reserve", "cancel", "pay"]
    user: str
    about: str = ""
    """The ticket to reserve, the order to cancel or to pay."""
    status: int | None = None
    """None: it was never answered."""
    made: str = ""
    """The id of what was made, by the answer."""

    @property
    def is_done(self) -> bool:
        return self.status is not None and self.status < 300

    @property
    def is_open(self) -> bool:
        """Whether nobody was told what became of it: it is wholly done or not at all."""
        return self.status is None or self.status >= 500


@dataclass(frozen=True)
class History:
    at: datetime
    """When it was read."""
    tickets: Sequence[Stored] = ()
    orders: Sequence[Stored] = ()
    payments: Sequence[Stored] = ()
    tickets_known_to_orders: Sequence[Stored] = ()
    orders_known_to_payments: Sequence[Stored] = ()
    events: Sequence[Said] = ()
    """In the order of the stream."""
    intents: Sequence[Mapping[str, Any]] = ()
    """Stripe's PaymentIntents, each with its latest charge."""
    timers: Sequence[datetime] = ()
    """When each timer that still waits is due."""
    dead: Sequence[str] = ()
    """The message ids of dead letters."""
    poisoned: frozenset[str] = frozenset()
    """The message ids of what was put there to be buried."""
    requests: Sequence[Request] = ()
