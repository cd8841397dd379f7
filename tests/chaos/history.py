"""What is known of a run once it has come to rest: databases, streams, Stripe's books, what clients saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Stored = Mapping[str, Any]
"""A document as it is in the database."""

DECLINED = ("tok_chargeDeclined", "tok_chargeDeclinedInsufficientFunds", "tok_visa_chargeDeclinedExpiredCard")
"""Cards that no bank takes."""

Kind = Literal["ticket", "order", "payment", "session", "expiration"]


@dataclass(frozen=True)
class Said:
    """An event in the stream."""

    message_id: str
    """Nats-Msg-Id: the same event, published twice, has it twice."""
    kind: Kind
    about: str
    """The id of what it is about."""
    version: int
    """0 of what has none: it happens once."""
    body: Mapping[str, Any] = field(default_factory=dict)
    subject: str = ""
    at: datetime | None = None
    """When the stream took it."""
    echo: bool = False
    """Published again on purpose, under another id, to see that it changes nothing."""


Burial = tuple[str, str]
"""The id of a message as it was in the stream, and the consumer that couldn't read it."""


@dataclass(frozen=True)
class Timer:
    """A message that waits for its time."""

    order: str
    due: datetime


What = Literal[
    "sign up",
    "sign in",
    "sign out",
    "use an ended session",
    "offer",
    "edit",
    "withdraw",
    "reserve",
    "extend",
    "cancel",
    "pay",
    "refund",
    "look",
]


@dataclass
class Request:
    """What a client asked for, and how it was answered. It is noted before it is sent."""

    what: What
    user: str
    """Their id; of who signs up, the e-mail address."""
    about: str = ""
    """The ticket to edit, withdraw or reserve; the order to cancel or to pay; the session to end; what is
    looked at."""
    status: int | None = None
    """None: it was never answered."""
    made: str = ""
    """The id of what was made, by the answer."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """Title and price of an offer or an edit, the card of a payment."""
    key: str = ""
    """Idempotency-Key: all requests of a user under one key are one offer."""
    version: int | None = None
    """Of what it is about or was made, as the answer shows it."""
    told: str = ""
    """The state that the answer shows."""
    session: str = ""
    """The id of the session that began, by the token in the answer."""
    form: bool = False
    """Sent by a form of a page. Who reserves twice with it is led to the order that is there."""

    @property
    def is_done(self) -> bool:
        return self.status is not None and self.status < 300

    @property
    def is_open(self) -> bool:
        """Whether nobody was told what became of it: it is wholly done or not at all.

        A redirect is the answer of a form that says no more than where to look.
        """
        return self.status is None or self.status >= 500 or 300 <= self.status < 400

    @property
    def is_refused(self) -> bool:
        return not self.is_done and not self.is_open


@dataclass(frozen=True)
class History:
    at: datetime
    """When it was read."""
    users: Sequence[Stored] = ()
    sessions: Sequence[Stored] = ()
    tickets: Sequence[Stored] = ()
    orders: Sequence[Stored] = ()
    payments: Sequence[Stored] = ()
    notices: Sequence[Stored] = ()
    """Webhooks in the inbox of payments."""
    tickets_known_to_orders: Sequence[Stored] = ()
    orders_known_to_payments: Sequence[Stored] = ()
    events: Sequence[Said] = ()
    """In the order of the stream."""
    intents: Sequence[Mapping[str, Any]] = ()
    """Stripe's PaymentIntents, each with its latest charge."""
    timers: Sequence[Timer] = ()
    """Those that still wait."""
    unheard: Mapping[str, int] = field(default_factory=dict)
    """By consumer: how many messages it hasn't handled."""
    dead: Sequence[Burial] = ()
    """What was buried as a dead letter."""
    poisoned: Sequence[Burial] = ()
    """What was put into the stream to be buried, once for each that hears it."""
    requests: Sequence[Request] = ()
