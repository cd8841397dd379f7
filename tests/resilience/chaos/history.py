"""The history of a run at rest: databases, streams, Stripe's objects and the clients' requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Stored = Mapping[str, Any]
"""A document as stored in the database."""

DECLINED = ("tok_chargeDeclined", "tok_chargeDeclinedInsufficientFunds", "tok_visa_chargeDeclinedExpiredCard")
"""Cards that are always declined."""

ON_STRIPE_PAGE = "on Stripe's page"
"""The text that is recorded instead of a card for a request that only opens Stripe's page."""

Kind = Literal["ticket", "order", "payment", "session", "expiration"]


@dataclass(frozen=True)
class PublishedEvent:
    """An event in the stream."""

    message_id: str
    """The Nats-Msg-Id header. An event keeps it when it is published again."""
    kind: Kind
    about: str
    """The id of the ticket, order, payment or session."""
    version: int
    """The version of the document, or 0 for events that happen once."""
    body: Mapping[str, Any] = field(default_factory=dict)
    subject: str = ""
    at: datetime | None = None
    """The time at which the stream stored the event."""
    echo: bool = False
    """Whether a fault published the event again with a new message id. Such an event must change nothing."""


DeadMessage = tuple[str, str]
"""The id of a message in the stream, and the consumer that couldn't read it."""


@dataclass(frozen=True)
class Copy:
    """An email that the mail server has received."""

    message_id: str
    """The header of this name. A repetition of the email has the same."""
    recipient: str
    """The address in the envelope."""


@dataclass(frozen=True)
class Timer:
    """A timer that hasn't fired."""

    order: str
    due: datetime


What = Literal[
    "sign up",
    "sign in",
    "sign out",
    "use an ended session",
    "list",
    "upload",
    "edit",
    "withdraw",
    "reserve",
    "extend",
    "cancel",
    "pay",
    "pay on page",
    "refund",
    "look",
]


@dataclass
class Request:
    """A request, recorded before it is sent, and its answer, added when it arrives."""

    what: What
    user: str
    """The user's id, or the e-mail address of a sign-up or sign-in."""
    about: str = ""
    """The id of the ticket to edit, withdraw, reserve or upload files of, of the order to cancel, extend, pay
    or refund, of the session to end, or of the object that is read."""
    status: int | None = None
    """The HTTP status, or None if there was no answer."""
    made: str = ""
    """The id of the created object, from the answer."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """What the body asks for: title and price of a listing or an edit, the card of a payment."""
    key: str = ""
    """The idempotency key. All of a user's listings with the same key create one ticket."""
    version: int | None = None
    """The version of the object that the answer shows."""
    state: str = ""
    """The status that the answer shows."""
    session: str = ""
    """The id of the new session, from the token in the answer."""
    form: bool = False
    """Whether the request was sent by a form. A form that reserves twice redirects to the existing order."""

    @property
    def is_done(self) -> bool:
        return self.status is not None and self.status < 300

    @property
    def is_open(self) -> bool:
        """Whether the outcome is unknown, as after the redirect of a form.

        The change then happened either completely or not at all.
        """
        return self.status is None or self.status >= 500 or 300 <= self.status < 400

    @property
    def is_refused(self) -> bool:
        return not self.is_done and not self.is_open


@dataclass(frozen=True)
class History:
    at: datetime
    """When the history was read."""
    users: Sequence[Stored] = ()
    sessions: Sequence[Stored] = ()
    tickets: Sequence[Stored] = ()
    orders: Sequence[Stored] = ()
    payments: Sequence[Stored] = ()
    sales: Sequence[Stored] = ()
    """What sellers get for orders, from payouts."""
    ledger: Sequence[Stored] = ()
    """The entries of payouts' ledger."""
    webhooks: Sequence[Stored] = ()
    """Webhooks in the inbox of payments."""
    tickets_known_to_orders: Sequence[Stored] = ()
    orders_known_to_payments: Sequence[Stored] = ()
    messages: Sequence[Stored] = ()
    """Messages to people, each with the `message_id` that its emails have."""
    received: Sequence[Copy] | None = None
    """What the mail server has received. None if the mail server isn't the run's own."""
    events: Sequence[PublishedEvent] = ()
    """All events, in the order of the stream."""
    intents: Sequence[Mapping[str, Any]] = ()
    """Stripe's PaymentIntents, each with its latest charge."""
    pages: Sequence[Mapping[str, Any]] = ()
    """Stripe's Checkout sessions."""
    transfers: Sequence[Mapping[str, Any]] = ()
    """Stripe's transfers to sellers."""
    timers: Sequence[Timer] = ()
    """The timers that haven't fired."""
    unhandled: Mapping[str, int] = field(default_factory=dict)
    """The number of messages that each consumer hasn't processed."""
    dead: Sequence[DeadMessage] = ()
    """The dead letters."""
    poisoned: Sequence[DeadMessage] = ()
    """The poison messages that faults published, once per consumer."""
    requests: Sequence[Request] = ()
