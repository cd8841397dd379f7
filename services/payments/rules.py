"""What to do next about a payment, and what an answer of Stripe makes of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import ClassVar

from pydantic import BaseModel

from contracts.events import OrderStatus, PaymentStatus
from contracts.wire import Moment
from services.kit.changes import Changes
from services.kit.errors import Conflict, Forbidden, ServiceError


class NotTheBuyer(Forbidden):
    message = "That order isn't yours"


class OrderCancelled(Conflict):
    message = "Cannot pay for a cancelled order"


class OrderExpired(Conflict):
    message = "The time to pay for this order is over"


class PaymentDeclined(ServiceError):
    status: ClassVar[int] = 402
    message = "Your card was declined"


class Payable(BaseModel):
    """What payments knows of an order."""

    version: int
    status: OrderStatus
    user_id: str
    """The buyer."""
    price_minor: int
    ticket_title: str
    expires_at: Moment


class PaymentState(BaseModel):
    """The one payment of an order, as rules see it."""

    order_id: str
    user_id: str
    amount: int
    """In minor units, as Stripe counts."""
    currency: str
    status: PaymentStatus = "pending"
    attempt: int = 1
    """Counts the buyer's tries: each has an idempotency key of its own."""
    token: str
    """The card of this attempt, as Stripe names it."""
    intent_id: str | None = None
    decline_message: str | None = None
    action_url: str | None = None
    """Where the buyer's bank asks for confirmation."""


@dataclass(frozen=True)
class Outcome:
    """What Stripe says of a payment."""

    status: PaymentStatus
    intent_id: str
    amount: int
    currency: str
    decline_message: str | None = None
    action_url: str | None = None


class Step(Enum):
    """One request to Stripe, or none."""

    CREATE = auto()
    CONFIRM = auto()
    LOOK = auto()
    CAPTURE = auto()
    VOID = auto()
    REFUND = auto()
    ABANDON = auto()
    """End a payment that Stripe doesn't know of."""
    WAIT = auto()


def check_may_pay(order: Payable, by: str, now: datetime) -> None:
    """Whether this user may pay for the order now, or already did.

    Raises:
        NotTheBuyer, OrderCancelled, OrderExpired
    """
    if order.user_id != by:
        raise NotTheBuyer
    if order.status == "cancelled":
        raise OrderCancelled
    if order.status != "complete" and order.expires_at <= now:
        raise OrderExpired


def next_step(order: Payable, payment: PaymentState, now: datetime) -> Step:
    """What brings the payment nearer to its end. Total: docs/payments.md shows it as a table.

    Nobody is charged for a ticket that orders didn't give them: a payment is captured only for a
    complete order, and what was authorized for a cancelled one is given back.
    """
    match payment.status, order.status:
        case "captured", "cancelled":
            return Step.REFUND
        case (("captured" | "voided" | "refunded"), _):
            return Step.WAIT
        case "authorized", "complete":
            return Step.CAPTURE
        case "authorized", "cancelled":
            return Step.VOID
        case "authorized", _:
            return Step.WAIT
        case _, "cancelled":
            return Step.VOID if payment.intent_id else Step.ABANDON
        case "failed", _:
            return Step.WAIT
        case _:
            return _next_step_of_attempt(order, payment, now)


def _next_step_of_attempt(order: Payable, payment: PaymentState, now: datetime) -> Step:
    if payment.action_url:
        return Step.LOOK
    if order.expires_at <= now and order.status != "complete":
        return Step.WAIT  # orders is about to cancel it: begin nothing
    return Step.CONFIRM if payment.intent_id else Step.CREATE


_RANK: dict[PaymentStatus, int] = {
    "pending": 0,
    "failed": 1,
    "authorized": 2,
    "captured": 3,
    "voided": 3,
    "refunded": 4,
}


def learn(payment: PaymentState, outcome: Outcome, attempt: int) -> Changes | None:
    """What an answer of Stripe, got during `attempt`, changes. An answer that came late changes nothing."""
    if _RANK[outcome.status] <= _RANK[payment.status] and outcome.status != payment.status:
        return None
    if _RANK[outcome.status] < _RANK["authorized"] and attempt != payment.attempt:
        return None
    changes = {
        "status": outcome.status,
        "decline_message": outcome.decline_message,
        "action_url": outcome.action_url,
    }
    known = {field: getattr(payment, field) for field in changes}
    return None if changes == known else changes


def matches(payment: PaymentState, outcome: Outcome) -> bool:
    """Whether Stripe holds exactly what the order costs."""
    return (outcome.amount, outcome.currency) == (payment.amount, payment.currency)


def try_again(payment: PaymentState, token: str) -> Changes | None:
    """Begin another attempt after a decline; anything else is already being paid."""
    if payment.status != "failed":
        return None
    return {
        "status": "pending",
        "attempt": payment.attempt + 1,
        "token": token,
        "decline_message": None,
        "action_url": None,
    }


def abandon(payment: PaymentState) -> Changes | None:
    """Void a payment that has no intent; one that got it meanwhile is voided at Stripe."""
    return {"status": "voided"} if payment.intent_id is None and payment.status != "voided" else None
