"""What to do next about a payment, and what an answer of Stripe makes of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
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


class NotCaptured(Conflict):
    message = "Only an order that is paid for can be refunded"


class BegunElsewhere(Conflict):
    message = "This payment was begun on another page. Release the ticket and reserve it again"


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
    """Counts idempotency keys: of the buyer's tries, and after answers of 500, which Stripe remembers."""
    token: str | None
    """The card of this attempt, as Stripe names it. None: the buyer gives it on Stripe's page."""
    intent_id: str | None = None
    session_id: str | None = None
    """The Checkout session of a payment on Stripe's page."""
    page_url: str | None = None
    """Where that page is, while one can pay on it."""
    page_until: Moment | None = None
    """When that page ends by itself, if we shouldn't end it."""
    decline_code: str | None = None
    decline_message: str | None = None
    bank_check: bool = False
    """The buyer's bank asks for confirmation."""
    action_url: str | None = None
    """Where it does, unless that is on Stripe's page."""
    relist: bool = False
    """Of a refund: the ticket goes on sale again."""
    refund_asked_at: Moment | None = None
    looked_at: Moment | None = None
    """When a reader last had us look at Stripe."""

    @property
    def at_checkout(self) -> bool:
        """Whether the buyer pays on Stripe's page."""
        return self.token is None


@dataclass(frozen=True)
class Outcome:
    """What Stripe says of a payment."""

    status: PaymentStatus
    intent_id: str | None
    """None: of a page on which nobody has tried to pay yet."""
    amount: int
    currency: str
    session_id: str | None = None
    page_url: str | None = None
    decline_code: str | None = None
    decline_message: str | None = None
    bank_check: bool = False
    action_url: str | None = None


@dataclass(frozen=True)
class Told:
    """What a webhook is about. Nothing else in it is believed."""

    event_id: str
    order_id: str | None
    intent_id: str | None


SHORTEST_PAGE = timedelta(minutes=31)
"""Stripe opens none that ends in less than 30 minutes."""


class Step(Enum):
    """One request to Stripe, or none."""

    CREATE = auto()
    CONFIRM = auto()
    OPEN = auto()
    """Open Stripe's page to pay on."""
    LOOK = auto()
    CAPTURE = auto()
    VOID = auto()
    CLOSE = auto()
    """Close Stripe's page, so that nobody can pay on it any more."""
    REFUND = auto()
    ABANDON = auto()
    """End a payment that Stripe doesn't know of."""
    WAIT = auto()


OVER = ("cancelled", "refunded")
"""Orders whose buyer is to have their money."""


def check_may_pay(order: Payable, by: str, now: datetime) -> None:
    """Whether this user may pay for the order now, or already did.

    Raises:
        NotTheBuyer, OrderCancelled, OrderExpired
    """
    if order.user_id != by:
        raise NotTheBuyer
    if order.status == "cancelled":
        raise OrderCancelled
    if order.status in ("created", "awaiting:payment") and order.expires_at <= now:
        raise OrderExpired


def next_step(order: Payable, payment: PaymentState, now: datetime) -> Step:
    """What brings the payment nearer to its end. Total: docs/payments.md shows it as a table.

    Nobody is charged for a ticket that orders didn't give them: a payment is captured only for a
    complete order, and what was authorized for a cancelled one is given back.
    """
    over = order.status in OVER
    match payment.status:
        case "voided" | "refunded":
            return Step.WAIT
        case "refunding":
            return Step.REFUND
        case "captured":
            return Step.REFUND if over else Step.WAIT
        case "authorized" if over:
            return Step.VOID
        case "authorized":
            return Step.CAPTURE if order.status == "complete" else Step.WAIT
        case _ if over:
            return _end_of_attempt(payment, now)
        case "failed":
            return Step.WAIT
        case "pending":
            return _next_step_of_attempt(order, payment, now)


def _end_of_attempt(payment: PaymentState, now: datetime) -> Step:
    if payment.session_id:
        return Step.CLOSE
    if payment.page_until and payment.page_until - now > SHORTEST_PAGE:
        return (
            Step.OPEN
        )  # it may be open already, its answer lost: the same key tells, so that it can be closed
    return Step.VOID if payment.intent_id else Step.ABANDON


def _next_step_of_attempt(order: Payable, payment: PaymentState, now: datetime) -> Step:
    if payment.bank_check or payment.session_id:
        return Step.LOOK
    if order.expires_at <= now and order.status != "complete":
        return Step.WAIT  # orders is about to cancel it: begin nothing
    if payment.at_checkout:
        return Step.OPEN
    return Step.CONFIRM if payment.intent_id else Step.CREATE


_RANK: dict[PaymentStatus, int] = {
    "pending": 0,
    "failed": 1,
    "authorized": 2,
    "captured": 3,
    "voided": 3,
    "refunding": 4,
    "refunded": 5,
}


def learn(payment: PaymentState, outcome: Outcome, attempt: int) -> Changes | None:
    """What an answer of Stripe, got during `attempt`, changes. An answer that came late changes nothing.

    A refund may still fail when it seemed done: then it is asked for again.
    """
    if (payment.status, outcome.status) == ("refunded", "captured"):
        return {"status": "refunding"}
    if _RANK[outcome.status] <= _RANK[payment.status] and outcome.status != payment.status:
        return None
    if _RANK[outcome.status] < _RANK["authorized"] and attempt != payment.attempt:
        return None
    changes = {
        "status": outcome.status,
        "intent_id": outcome.intent_id or payment.intent_id,
        "session_id": outcome.session_id or payment.session_id,
        "page_url": outcome.page_url,
        "decline_code": outcome.decline_code,
        "decline_message": outcome.decline_message,
        "bank_check": outcome.bank_check,
        "action_url": outcome.action_url,
    }
    known = {field: getattr(payment, field) for field in changes}
    return None if changes == known else changes


def is_of_an_earlier_attempt(payment: PaymentState, outcome: Outcome) -> bool:
    """Whether a decline that was read may be an earlier card's: the answer of this one isn't known yet."""
    return outcome.status == "failed" and payment.status == "pending" and not payment.bank_check


def matches(payment: PaymentState, outcome: Outcome) -> bool:
    """Whether Stripe holds exactly what the order costs. Of what is over it doesn't matter."""
    if outcome.status in ("voided", "refunded"):
        return True
    return (outcome.amount, outcome.currency) == (payment.amount, payment.currency)


def try_again(payment: PaymentState, token: str | None) -> Changes | None:
    """Begin another attempt after a decline; anything else is already being paid.

    Raises:
        BegunElsewhere: it was declined on our page, and now one pays on Stripe's: that would be a second
            PaymentIntent.
    """
    if payment.status != "failed":
        return None
    if token is None:
        raise BegunElsewhere
    return {
        "status": "pending",
        "attempt": payment.attempt + 1,
        "token": token,
        "decline_code": None,
        "decline_message": None,
        "bank_check": False,
        "action_url": None,
    }


def abandon(payment: PaymentState) -> Changes | None:
    """Void a payment that has no intent; one that got it meanwhile is voided at Stripe."""
    known = payment.intent_id or payment.session_id
    return None if known or payment.status == "voided" else {"status": "voided"}


def give_back(payment: PaymentState, *, relist: bool, now: datetime) -> Changes | None:
    """Refund what was captured, once: asking again changes nothing, unless it puts the ticket on sale too.

    Raises:
        NotCaptured
    """
    match payment.status:
        case "captured":
            return {"status": "refunding", "relist": relist, "refund_asked_at": now}
        case "refunding" | "refunded":
            return {"relist": True} if relist and not payment.relist else None
        case _:
            raise NotCaptured


def page_until(order: Payable, now: datetime) -> datetime:
    """When Stripe's page ends by itself: after the order, and 30 minutes to 24 hours ahead, as Stripe wants.

    https://docs.stripe.com/api/checkout/sessions/create#create_checkout_session-expires_at
    """
    return min(max(order.expires_at, now) + timedelta(hours=1), now + timedelta(hours=23))
