"""The stored objects. `objects.py` adds the fields that are always null."""

from dataclasses import dataclass, field
from typing import Literal

from sandbox.stripe.cards import CARDS, Card, Decline
from sandbox.stripe.connect.state import ConnectStored

Status = Literal[
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "requires_capture",
    "succeeded",
    "canceled",
]


@dataclass(frozen=True)
class PaymentMethod:
    id: str
    created: int
    card_name: str

    @property
    def card(self) -> Card:
        return CARDS[self.card_name]


@dataclass(frozen=True)
class PaymentError:
    """The reason why the last attempt to pay failed."""

    kind: str
    cause: Decline
    method: PaymentMethod
    charge: str | None = None


@dataclass(frozen=True)
class Intent:
    id: str
    client_secret: str
    created: int
    amount: int
    currency: str
    capture_method: str
    payment_method_types: tuple[str, ...]
    """The types that the buyer may use.

    If there are none, the types that are enabled in the Dashboard apply, restricted by `allow_redirects`.
    """
    allow_redirects: str = "always"
    status: Status = "requires_payment_method"
    payment_method: str | None = None
    description: str | None = None
    receipt_email: str | None = None
    statement_descriptor: str | None = None
    statement_descriptor_suffix: str | None = None
    transfer_group: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    return_url: str | None = None
    amount_received: int = 0
    latest_charge: str | None = None
    last_payment_error: PaymentError | None = None
    canceled_at: int | None = None
    cancellation_reason: str | None = None
    challenge: str | None = None
    """The open 3-D Secure check, while status is requires_action."""
    checkout: str | None = None
    """The Checkout session that created the intent. While the session is open, only its page can confirm the
    intent, and only its expiry can cancel it."""

    @property
    def amount_capturable(self) -> int:
        return self.amount if self.status == "requires_capture" else 0


@dataclass(frozen=True)
class Charge:
    id: str
    created: int
    amount: int
    currency: str
    payment_intent: str
    method: PaymentMethod
    metadata: dict[str, str]
    description: str | None = None
    receipt_email: str | None = None
    statement_descriptor: str | None = None
    statement_descriptor_suffix: str | None = None
    transfer_group: str | None = None
    failure: Decline | None = None
    authenticated: bool = False
    captured: bool = False
    amount_captured: int = 0
    amount_refunded: int = 0
    disputed: bool = False
    balance_transaction: str | None = None
    """How the captured amount came into the platform's balance."""


RefundStatus = Literal["pending", "succeeded", "failed"]


@dataclass(frozen=True)
class Reversal:
    """Money of a charge that goes back to the buyer: a refund or a dispute."""

    id: str
    created: int
    amount: int
    currency: str
    charge: str
    payment_intent: str


@dataclass(frozen=True)
class Refund(Reversal):
    metadata: dict[str, str]
    reason: str | None = None
    status: RefundStatus = "succeeded"
    failure_reason: str | None = None
    settles_at: int | None = None
    """When the bank decides: a pending refund succeeds, and one that has succeeded fails. In seconds since
    1970."""
    balance_transaction: str | None = None
    failure_balance_transaction: str | None = None


DisputeStatus = Literal["needs_response", "won", "lost"]


@dataclass(frozen=True)
class Dispute(Reversal):
    last4: str
    brand: str
    status: DisputeStatus = "needs_response"
    evidence: str | None = None
    """The text that the seller gave."""
    is_submitted: bool = False
    """Whether the seller has submitted the text to the bank."""
    metadata: dict[str, str] = field(default_factory=dict)
    balance_transactions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Challenge:
    """A 3-D Secure check. It is never deleted, so that an old page can still redirect to the shop."""

    id: str
    intent: str
    return_url: str | None


SessionStatus = Literal["open", "complete", "expired"]


@dataclass(frozen=True)
class Line:
    """A line item of a Checkout session."""

    id: str
    name: str
    unit_amount: int
    quantity: int


@dataclass(frozen=True)
class Session:
    """A Checkout session. The first submission of its page creates the PaymentIntent."""

    id: str
    created: int
    expires_at: int
    currency: str
    lines: tuple[Line, ...]
    success_url: str
    """The address that the buyer returns to after paying, with an optional placeholder
    `{CHECKOUT_SESSION_ID}`."""
    cancel_url: str | None = None
    client_reference_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    capture_method: str = "automatic_async"
    intent_metadata: dict[str, str] = field(default_factory=dict)
    intent_description: str | None = None
    status: SessionStatus = "open"
    payment_intent: str | None = None

    @property
    def amount(self) -> int:
        return sum(line.unit_amount * line.quantity for line in self.lines)


Stored = PaymentMethod | Intent | Charge | Refund | Dispute | Challenge | Session | ConnectStored


@dataclass(frozen=True)
class Event:
    """A change of an object, with the object's state after the change."""

    id: str
    type: str
    created: int
    object: str
    """The object as JSON, as the API returns it."""
    request: str | None
    """The API request that caused the event, if any."""
    idempotency_key: str | None
    pending: int = 0
    """The number of webhooks that are still to be delivered."""
    account: str | None = None
    """The connected account that changed, if it isn't the platform itself."""
