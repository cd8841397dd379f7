"""Rules of payments: the next request to Stripe, and how its outcome changes the payment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import ClassVar

from pydantic import BaseModel

from contracts.events import LIVE_STATUSES, OrderStatus, PaymentStatus
from contracts.money import MinimumCharge
from contracts.wire import Moment
from kit.changes import Changes
from kit.errors import Conflict, Forbidden, ServiceError, Unavailable
from services.payments.money_back import Dispute, MoneyBack, Refund, merged


class NotTheBuyer(Forbidden):
    message = "That order isn't yours"


class OrderCancelled(Conflict):
    message = "Cannot pay for a cancelled order"


class OrderExpired(Conflict):
    message = "The time to pay for this order is over"


class PriceTooLow(Conflict):
    """The ticket was listed before sellers had to ask for an amount that Stripe charges."""

    message = "This ticket can't be paid for, because its price is too low. Release the ticket"


class PaymentsUnavailable(Unavailable):
    """Stripe rejected our request for a reason that operators have to fix, rather than the buyer's card."""

    message = "Payments are unavailable for a moment. Your reservation stands"


class PaymentDeclined(ServiceError):
    status: ClassVar[int] = 402
    message = "Your card was declined"


class Payable(BaseModel):
    """The fields of an order that decide how its payment proceeds."""

    version: int
    status: OrderStatus
    user_id: str
    """The buyer's id."""
    price_minor: int
    ticket_title: str
    expires_at: Moment
    starts_at: Moment | None = None
    """When the ticket's event begins."""
    delivery_failed: bool = False
    """Whether the seller didn't deliver the ticket in time, so that the buyer gets the money back."""
    refund_due: int = 0
    """How much the buyer gets back altogether by an operator's decision on a reported problem."""

    @property
    def is_over(self) -> bool:
        """Whether the buyer must not be charged any more."""
        return self.status in OVER or self.delivery_failed

    def has_begun(self, now: datetime) -> bool:
        """Whether the ticket's event has begun."""
        return self.starts_at is not None and self.starts_at <= now


class PaymentState(MoneyBack):
    """The fields of a payment that rules need."""

    order_id: str
    user_id: str
    currency: str
    attempt: int = 1
    """A number in idempotency keys. A decline, or a 5xx that Stripe would repeat, starts the next attempt."""
    attempt_began_at: Moment | None = None
    """When the first request of this attempt was made. None if the attempt is older than this field."""
    token: str | None
    """The card token or payment method of this attempt. None if the buyer pays on Stripe's page."""
    intent_id: str | None = None
    session_id: str | None = None
    """The id of the Checkout session, if the buyer pays on Stripe's page."""
    page_url: str | None = None
    """The address of Stripe's page while it is open."""
    page_expires_at: Moment | None = None
    """When Stripe closes the page unless we close it earlier."""
    ended: list[str] = []
    """The ids of PaymentIntents and sessions of earlier attempts that ended at Stripe without a charge."""
    decline_code: str | None = None
    decline_message: str | None = None
    bank_check: bool = False
    """Whether the buyer's bank asks for confirmation."""
    action_url: str | None = None
    """The address at which the bank asks for confirmation. None if the bank asks on Stripe's page."""
    processing: bool = False
    """Whether the bank takes its time to approve, as it may for other means of payment than cards."""
    relist: bool = False
    """Whether the ticket of a refunded payment goes on sale again."""
    refund_requested_at: Moment | None = None
    authorized_at: Moment | None = None
    """When the amount was authorized, by Stripe's clock."""
    refreshed_at: Moment | None = None
    """When the buyer's request for this payment last made us read the payment at Stripe."""

    @property
    def at_checkout(self) -> bool:
        """Whether the buyer pays on Stripe's page."""
        return self.token is None


@dataclass(frozen=True)
class Outcome:
    """The state of a payment at Stripe."""

    status: PaymentStatus
    intent_id: str | None
    """The id of the PaymentIntent. None until the buyer tries to pay on Stripe's page."""
    amount: int
    currency: str
    session_id: str | None = None
    page_url: str | None = None
    decline_code: str | None = None
    decline_message: str | None = None
    bank_check: bool = False
    action_url: str | None = None
    processing: bool = False
    refunds: Sequence[Refund] = ()
    disputes: Sequence[Dispute] = ()
    authorized_at: datetime | None = None
    """When the amount was authorized, if the response contains the charge."""


MIN_PAGE_LIFETIME = timedelta(minutes=31)
"""Minimum remaining lifetime of a page that is opened again to be closed. Stripe requires 30 minutes."""


class Step(Enum):
    """A step of a payment: one request to Stripe, or none."""

    CREATE = auto()
    CONFIRM = auto()
    OPEN = auto()
    """Open a Checkout session."""
    RETRIEVE = auto()
    """Read the payment at Stripe."""
    CAPTURE = auto()
    VOID = auto()
    CLOSE = auto()
    """Expire the Checkout session, so that nobody can pay there any more."""
    REFUND = auto()
    ABANDON = auto()
    """Mark a payment voided for which Stripe has no object. Nothing is requested."""
    WAIT = auto()


OVER = ("cancelled", "refunded")
"""Statuses of orders whose buyer must not be charged."""


def check_may_pay(order: Payable, by: str, now: datetime, minimum: MinimumCharge | None = None) -> None:
    """Check that this user may pay for the order now, or has already paid for it.

    Raises:
        NotTheBuyer, OrderCancelled, OrderExpired, PriceTooLow
    """
    if order.user_id != by:
        raise NotTheBuyer
    if order.status == "cancelled" or order.delivery_failed:
        raise OrderCancelled
    if order.status in LIVE_STATUSES and order.expires_at <= now:
        raise OrderExpired
    if minimum is not None and order.price_minor < minimum.amount:
        raise PriceTooLow(
            f"This ticket can't be paid for, because its price is below {minimum.text}. Release the ticket"
        )


def next_step(order: Payable, payment: PaymentState, now: datetime, *, pay_after_start: bool = True) -> Step:
    """The next step towards a final status. docs/payments.md shows this total function as a table.

    Buyers are charged only for tickets that they own: a payment is captured only for a complete order, and
    the authorization of a cancelled order is voided. If the delivery of a complete order fails, what the
    buyer has paid is captured, if it isn't yet, and refunded: buyer, seller and books then see a refund.

    Args:
        pay_after_start: whether Stripe's page stays open after the event has begun.
    """
    over = order.is_over
    match payment.status:
        case "voided" | "refunded":
            return Step.WAIT
        case "refunding":
            return _refund_step(payment)
        case "captured":
            return _refund_step(payment) if over else Step.WAIT
        case "authorized" if order.status in OVER:
            return Step.VOID
        case "authorized":
            return Step.CAPTURE if order.status == "complete" else Step.WAIT
        case _ if over:
            return _end_of_attempt(payment, now)
        case "failed":
            return Step.WAIT
        case "pending":
            closes = not pay_after_start and order.status in LIVE_STATUSES and order.has_begun(now)
            # A buyer whom the bank asks to confirm has paid before the start.
            if closes and payment.session_id and not (payment.bank_check or payment.processing):
                return Step.CLOSE
            return _next_step_of_attempt(order, payment, now)


def _refund_step(payment: PaymentState) -> Step:
    """Request the refund, unless it failed or the bank has taken the money back."""
    if payment.dispute == "open":
        return Step.RETRIEVE
    return Step.WAIT if payment.refund_failed or payment.dispute == "lost" else Step.REFUND


def _end_of_attempt(payment: PaymentState, now: datetime) -> Step:
    if payment.session_id:
        return Step.CLOSE
    if payment.at_checkout and payment.page_expires_at and payment.page_expires_at - now > MIN_PAGE_LIFETIME:
        # A session may exist although Stripe's response was lost. Opening a session under the same key then
        # returns the existing one, which the next step closes.
        return Step.OPEN
    return Step.VOID if payment.intent_id else Step.ABANDON


def _next_step_of_attempt(order: Payable, payment: PaymentState, now: datetime) -> Step:
    if payment.bank_check or payment.processing or payment.session_id:
        return Step.RETRIEVE
    if order.expires_at <= now and order.status != "complete":
        return Step.WAIT  # the orders service is about to cancel the order
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


def apply_outcome(payment: PaymentState, outcome: Outcome, attempt: int) -> Changes | None:
    """The changes that follow from an outcome of attempt number `attempt`. Outdated outcomes change nothing.

    A refund may fail even after Stripe has reported its success. The payment is then `refunding` again. A
    payment of which a part was to be refunded is `captured` again afterwards.
    """
    if outcome.intent_id in payment.ended or outcome.session_id in payment.ended:
        return None
    refunds = merged(payment.refunds, outcome.refunds)
    disputes = merged(payment.disputes, outcome.disputes)
    status = outcome.status
    if status == "captured":
        status = _status_after_capture(payment.model_copy(update={"refunds": refunds, "disputes": disputes}))
    is_reopened = (payment.status, outcome.status, status) == ("refunded", "captured", "refunding")
    is_partly_refunded = payment.refund_target is not None and outcome.status == "captured"
    may_return = is_reopened or (is_partly_refunded and payment.status in ("captured", "refunding"))
    if _RANK[status] <= _RANK[payment.status] and status != payment.status and not may_return:
        return None
    if _RANK[status] < _RANK["authorized"] and attempt != payment.attempt:
        return None
    changes = {
        "status": status,
        "refunds": refunds,
        "disputes": disputes,
        "intent_id": outcome.intent_id or payment.intent_id,
        "session_id": outcome.session_id or payment.session_id,
        "page_url": outcome.page_url,
        "decline_code": outcome.decline_code,
        "decline_message": outcome.decline_message,
        "bank_check": outcome.bank_check,
        "action_url": outcome.action_url,
        "processing": outcome.processing,
        "authorized_at": outcome.authorized_at or payment.authorized_at,
    }
    known = {field: getattr(payment, field) for field in changes}
    return None if changes == known else changes


def _status_after_capture(payment: PaymentState) -> PaymentStatus:
    """The status of a captured payment whose refunds and disputes are up to date."""
    if payment.refunded_amount >= payment.amount:
        return "refunded"
    if payment.refund_target is not None:
        return "captured" if payment.refunded_amount >= payment.refund_target else "refunding"
    return "refunding" if payment.status in ("refunding", "refunded") else "captured"


def is_known(payment: PaymentState, intent_id: str | None, status: PaymentStatus | None) -> bool:
    """Whether the payment already reflects that its PaymentIntent has had this status.

    True only for statuses that a PaymentIntent reaches once. Others can belong to any attempt.
    """
    if status is None or intent_id is None or intent_id != payment.intent_id:
        return False
    return status in _PASSED.get(payment.status, ())


_PASSED: dict[PaymentStatus, tuple[PaymentStatus, ...]] = {
    "authorized": ("authorized",),
    "captured": ("authorized", "captured"),
    "voided": ("authorized", "voided"),
    "refunding": ("authorized", "captured"),
    "refunded": ("authorized", "captured"),
}
"""The statuses, by a payment's status, that its PaymentIntent may have had before."""


def may_be_of_an_earlier_attempt(payment: PaymentState, outcome: Outcome) -> bool:
    """Whether the outcome may be the decline of an earlier card.

    That is possible while the outcome of the current card isn't known.
    """
    return outcome.status == "failed" and payment.status == "pending" and not payment.bank_check


def matches(payment: PaymentState, outcome: Outcome) -> bool:
    """Whether Stripe has the payment's amount and currency. Always true for a voided or refunded payment."""
    if outcome.status in ("voided", "refunded"):
        return True
    return (outcome.amount, outcome.currency) == (payment.amount, payment.currency)
