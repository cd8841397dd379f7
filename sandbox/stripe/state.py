"""What the sandbox knows of a payment. The fields that are always null at Stripe are added in objects.py."""

from dataclasses import dataclass, field
from typing import Literal

from sandbox.stripe.cards import CARDS, Card, Decline

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
    """Why the last attempt to pay failed."""

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
    """Empty: those switched on in the Dashboard, which `allow_redirects` narrows."""
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
    """The 3-D Secure check that is open, while status is requires_action."""
    checkout: str | None = None
    """The Checkout session that made it. While that is open, it alone confirms or cancels."""

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


@dataclass(frozen=True)
class Refund:
    id: str
    created: int
    amount: int
    currency: str
    charge: str
    payment_intent: str
    metadata: dict[str, str]
    reason: str | None = None


@dataclass(frozen=True)
class Challenge:
    """A 3-D Secure check. It outlives the attempt to pay, so that an old page still leads back."""

    id: str
    intent: str
    return_url: str | None


SessionStatus = Literal["open", "complete", "expired"]


@dataclass(frozen=True)
class Line:
    """What is bought on a Checkout page."""

    id: str
    name: str
    unit_amount: int
    quantity: int


@dataclass(frozen=True)
class Session:
    """A Checkout session. Its PaymentIntent is made when the buyer first submits the page."""

    id: str
    created: int
    expires_at: int
    currency: str
    lines: tuple[Line, ...]
    success_url: str
    """`{CHECKOUT_SESSION_ID}` in it stands for the id."""
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


Kept = PaymentMethod | Intent | Charge | Refund | Challenge | Session


@dataclass(frozen=True)
class Event:
    """Something that happened to an object, and how the object was then."""

    id: str
    type: str
    created: int
    object: str
    """As the API shows it, in JSON."""
    request: str | None
    """None: no request of the API was the cause."""
    idempotency_key: str | None
    pending: bool = False
    """Whether a webhook still has to be delivered."""
