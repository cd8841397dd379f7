"""The stage of an order for its buyer: a pure function of the order, its payment and the time."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from contracts.api import Order, Payment
from contracts.events import PaymentStatus
from web.rendering.texts import N_

Tone = Literal["good", "waiting", "bad", "quiet"]
Step = Literal["review", "pay", "ticket"]


@dataclass(frozen=True)
class Stage:
    name: str
    label: str
    """A title of a few words."""
    tone: Tone
    step: Step | None = None
    """The current step of the checkout; None if the order ended without the ticket."""
    can_pay: bool = False
    can_cancel: bool = False
    has_deadline: bool = False
    """Whether the buyer has to act before the order expires."""
    is_waiting: bool = False
    """Whether the stage will change without an action of the buyer."""
    listens: bool = False
    """Whether the stage can still change, so that the page needs live updates."""

    @property
    def reload_after(self) -> int:
        """Seconds until a page without JavaScript reloads. A page with a button stays longer."""
        return 10 if self.can_cancel else 3


UNPAID = Stage(
    "unpaid", N_("To pay"), "waiting", "pay", can_pay=True, can_cancel=True, has_deadline=True, listens=True
)
DECLINED = replace(UNPAID, name="declined", label=N_("Card declined"), tone="bad")
BEGUN = Stage("begun", N_("The event has started"), "bad", "pay", can_cancel=True, listens=True)
"""The buyer didn't pay before the start, and can't pay any more."""
AT_STRIPE = Stage(
    "at-stripe", N_("Finish paying"), "waiting", "pay", can_cancel=True, has_deadline=True, listens=True
)
BANK_CHECK = replace(AT_STRIPE, name="bank-check", label=N_("Confirm with your bank"), is_waiting=True)
ENDED_AT_STRIPE = replace(UNPAID, name="ended-at-stripe", label=N_("Payment cancelled"), tone="bad")
"""The payment was cancelled at Stripe. The buyer can make another attempt."""
CHECKING = Stage(
    "checking", N_("Checking payment"), "waiting", "pay", can_cancel=True, is_waiting=True, listens=True
)
PROCESSING = replace(CHECKING, name="processing", label=N_("Waiting for your bank"))
CONFIRMING = replace(CHECKING, name="confirming", label=N_("Confirming"))
"""The amount is authorized, and tickets hasn't confirmed the hold yet."""
EXPIRING = Stage("expiring", N_("Time is up"), "waiting", "pay", is_waiting=True, listens=True)
PAID = Stage("paid", N_("Paid"), "good", "ticket", is_waiting=True, listens=True)
LAPSED = Stage("lapsed", N_("Pay again"), "bad", "pay", can_pay=True, listens=True)
"""The authorization ended after the order completed and before the capture. The buyer has the ticket."""
CAPTURED = Stage("captured", N_("Paid"), "good", "ticket", listens=True)
DISPUTED = replace(CAPTURED, name="disputed", label=N_("Disputed"), tone="waiting")
"""The buyer disputes the payment at the bank, which hasn't decided."""
CANCELLED = Stage("cancelled", N_("Released"), "quiet")
EXPIRED = Stage("expired", N_("Not paid in time"), "quiet")
REFUSED = Stage("refused", N_("Ticket changed"), "quiet")
"""The seller had changed or withdrawn the ticket before its hold."""
STOPPED = Stage("stopped", N_("Cancelled"), "quiet")
"""An operator cancelled the order."""
VOIDING = Stage("voiding", N_("Cancelling payment"), "waiting", is_waiting=True, listens=True)
VOIDED = Stage("voided", N_("Not paid in time"), "quiet")
REFUNDING = Stage("refunding", N_("Refund in progress"), "waiting", is_waiting=True, listens=True)
REFUND_FAILED = Stage("refund-failed", N_("Refund failed"), "bad", listens=True)
"""Operators have to return the money in another way."""
UNDELIVERED = Stage("undelivered", N_("Not delivered"), "quiet")
"""A promised delivery failed before the buyer was charged."""
REFUNDED = Stage("refunded", N_("Refunded"), "quiet")
REFUNDED_BUT_KEPT = replace(REFUNDED, step="ticket", listens=True)
"""The buyer still owns the ticket, which may go on sale again later."""


def stage_of(order: Order, payment: Payment | None, now: datetime, *, pay_after_start: bool = True) -> Stage:
    """The current stage of an order.

    Args:
        payment: None if there is no payment yet, or if the payments service is down.
        pay_after_start: whether the buyer may still pay after the event has started.
    """
    status = payment.status if payment else None
    if payment and payment.refund_failed and status == "refunding":
        return REFUND_FAILED
    match order.status:
        case "complete":
            return _undelivered(payment) if order.delivery == "failed" else _complete(payment)
        case "cancelled":
            return _cancelled(order, status)
        case "refunded":
            return REFUNDED if order.relisted or order.delivery == "failed" else REFUNDED_BUT_KEPT
        case "awaiting:payment" if payment is None:
            return CHECKING
    stage = _unpaid(payment)
    if stage.has_deadline and now >= order.expires_at:
        return EXPIRING
    has_begun = order.ticket.starts_at is not None and order.ticket.starts_at <= now
    return BEGUN if has_begun and stage.can_pay and not pay_after_start else stage


def step_of(stage: Stage, *, goes_to_pay: bool) -> Step | None:
    """The step of the checkout. A buyer who can pay reviews the order first, unless `goes_to_pay` is set."""
    return "review" if stage.can_pay and not goes_to_pay else stage.step


def on_return(stage: Stage) -> Stage:
    """The stage for a buyer who returns from the bank or from Stripe's page before the outcome is known."""
    is_unknown = stage.name in (UNPAID.name, AT_STRIPE.name, BANK_CHECK.name)
    return replace(CHECKING, can_cancel=stage.can_cancel) if is_unknown else stage


def _unpaid(payment: Payment | None) -> Stage:
    match payment:
        case None:
            return UNPAID
        case Payment(status="failed"):
            return DECLINED
        case Payment(status="pending", action_url=str()):
            return BANK_CHECK
        case Payment(status="voided"):
            return ENDED_AT_STRIPE
        case Payment(status="pending", processing=True):
            return PROCESSING
        case Payment(status="pending", page_url=str()):
            return AT_STRIPE
        case Payment(status="authorized"):
            return CONFIRMING
    return CHECKING


def _complete(payment: Payment | None) -> Stage:
    match payment.status if payment else None:
        case "captured":
            return DISPUTED if payment and payment.dispute == "open" else CAPTURED
        case "voided":
            return LAPSED
        case "refunding" | "refunded":  # until the orders service decides whether the buyer keeps the ticket
            return REFUNDING
        case "pending" | "failed":  # the buyer pays again
            return replace(_unpaid(payment), has_deadline=False, can_cancel=False)
    return PAID


def _undelivered(payment: Payment | None) -> Stage:
    """The stage of a paid order whose delivery failed. Most often the buyer is being refunded."""
    if payment is None or payment.status in ("authorized", "captured", "refunding", "refunded"):
        return REFUNDING
    return VOIDING if payment.status == "pending" else UNDELIVERED


def _cancelled(order: Order, status: PaymentStatus | None) -> Stage:
    expired = order.cancel_reason == "expired"
    if order.hold_refused:
        ended = REFUSED
    elif order.cancelled_by_operator:
        ended = STOPPED
    else:
        ended = EXPIRED if expired else CANCELLED
    match status:
        case "pending" | "authorized":
            return VOIDING
        case "voided" if expired:
            return VOIDED
        case "captured" | "refunding":
            return REFUNDING
        case "refunded":
            return REFUNDED
    return ended
