"""What a buyer is told about an order: one pure function over the order, its payment and the time."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from contracts.api import Order, Payment
from contracts.events import PaymentStatus

Tone = Literal["good", "waiting", "bad", "quiet"]
Step = Literal["review", "pay", "ticket"]


@dataclass(frozen=True)
class Stage:
    name: str
    label: str
    """A word or two, for a chip."""
    tone: Tone
    step: Step | None = None
    """How far the buyer has come on the way to the ticket; None where that way has ended elsewhere."""
    can_pay: bool = False
    can_cancel: bool = False
    has_deadline: bool = False
    """Whether the buyer has to do something in time."""
    is_waiting: bool = False
    """Something will happen without the buyer doing anything here."""
    listens: bool = False
    """Whether it can still change."""

    @property
    def looks_again(self) -> int:
        """Seconds until a page without JavaScript loads anew: later where there is something to press."""
        return 10 if self.can_cancel else 3


UNPAID = Stage(
    "unpaid", "To pay", "waiting", "pay", can_pay=True, can_cancel=True, has_deadline=True, listens=True
)
DECLINED = replace(UNPAID, name="declined", label="Card declined", tone="bad")
AT_STRIPE = Stage(
    "at-stripe", "Finish paying", "waiting", "pay", can_cancel=True, has_deadline=True, listens=True
)
BANK_CHECK = replace(AT_STRIPE, name="bank-check", label="Confirm with your bank", is_waiting=True)
ENDED_AT_STRIPE = replace(AT_STRIPE, name="ended-at-stripe", label="Payment cancelled", tone="bad")
CHECKING = Stage(
    "checking", "Checking payment", "waiting", "pay", can_cancel=True, is_waiting=True, listens=True
)
EXPIRING = Stage("expiring", "Time is up", "waiting", "pay", is_waiting=True, listens=True)
PAID = Stage("paid", "Paid", "good", "ticket", is_waiting=True, listens=True)
UNCOLLECTED = Stage("uncollected", "Yours", "good", "ticket", listens=True)
"""Somebody cancelled the payment at Stripe: a matter between us and them, not the buyer's."""
CAPTURED = Stage("captured", "Paid", "good", "ticket", listens=True)
CANCELLED = Stage("cancelled", "Released", "quiet")
EXPIRED = Stage("expired", "Not paid in time", "quiet")
VOIDING = Stage("voiding", "Releasing your money", "waiting", is_waiting=True, listens=True)
VOIDED = Stage("voided", "Not paid in time", "quiet")
REFUNDING = Stage("refunding", "Refund on its way", "waiting", is_waiting=True, listens=True)
REFUNDED = Stage("refunded", "Refunded", "quiet")
REFUNDED_BUT_KEPT = replace(REFUNDED, step="ticket", listens=True)
"""The ticket is still the buyer's; it may go on sale again yet."""


def stage_of(order: Order, payment: Payment | None, now: datetime) -> Stage:
    """A payment that isn't known is None: not made yet, or payments can't be asked."""
    status = payment.status if payment else None
    match order.status:
        case "complete":
            return _complete(status)
        case "cancelled":
            return _cancelled(status, expired=order.cancel_reason == "expired")
        case "refunded":
            return REFUNDED if order.relisted else REFUNDED_BUT_KEPT
        case "awaiting:payment" if payment is None:
            return CHECKING
    stage = _unpaid(payment)
    return EXPIRING if stage.has_deadline and now >= order.expires_at else stage


def step_of(stage: Stage, *, goes_to_pay: bool) -> Step | None:
    """Who can pay sees first what for."""
    return "review" if stage.can_pay and not goes_to_pay else stage.step


def on_return(stage: Stage) -> Stage:
    """To a buyer who comes back from the bank or from Stripe's page, and whose answer hasn't arrived yet."""
    return CHECKING if stage in (UNPAID, AT_STRIPE, BANK_CHECK) else stage


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
        case Payment(status="pending", page_url=str()):
            return AT_STRIPE
    return CHECKING


def _complete(status: PaymentStatus | None) -> Stage:
    match status:
        case "captured":
            return CAPTURED
        case "voided":
            return UNCOLLECTED
        case "refunding" | "refunded":  # until orders has heard of it, nobody knows whose the ticket is
            return REFUNDING
    return PAID


def _cancelled(status: PaymentStatus | None, *, expired: bool) -> Stage:
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
