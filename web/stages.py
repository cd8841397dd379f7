"""What a buyer is told about an order: one pure function over the order, its payment and the time."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from contracts.api import Order, Payment

Tone = Literal["good", "waiting", "bad", "quiet"]


@dataclass(frozen=True)
class Stage:
    name: str
    label: str
    """A word or two, for a chip."""
    tone: Tone
    can_pay: bool = False
    can_cancel: bool = False
    is_waiting: bool = False
    """Something will happen without the buyer doing anything here."""
    listens: bool = False
    """Whether it can still change."""


UNPAID = Stage("unpaid", "To pay", "waiting", can_pay=True, can_cancel=True, listens=True)
DECLINED = Stage("declined", "Card declined", "bad", can_pay=True, can_cancel=True, listens=True)
BANK_CHECK = Stage(
    "bank-check", "Confirm with your bank", "waiting", can_cancel=True, is_waiting=True, listens=True
)
CHECKING = Stage("checking", "Checking payment", "waiting", is_waiting=True, listens=True)
EXPIRING = Stage("expiring", "Time is up", "waiting", is_waiting=True, listens=True)
PAID = Stage("paid", "Paid", "good", is_waiting=True, listens=True)
CAPTURED = Stage("captured", "Paid", "good")
CANCELLED = Stage("cancelled", "Cancelled", "quiet")
EXPIRED = Stage("expired", "Not paid in time", "quiet")
VOIDING = Stage("voiding", "Releasing your money", "waiting", is_waiting=True, listens=True)
VOIDED = Stage("voided", "Nothing charged", "quiet")
REFUNDING = Stage("refunding", "Refund on its way", "waiting", is_waiting=True, listens=True)
REFUNDED = Stage("refunded", "Refunded", "quiet")


def stage_of(order: Order, payment: Payment | None, now: datetime) -> Stage:
    """A payment that isn't known is None: not made yet, or payments can't be asked."""
    status = payment.status if payment else None
    match order.status:
        case "complete":
            return _complete(status)
        case "cancelled":
            return _cancelled(status, expired=order.cancel_reason == "expired")
        case "awaiting:payment" if status is None:
            return CHECKING
    match status:
        case "pending" if payment is not None and payment.action_url:
            return BANK_CHECK
        case None | "failed":
            if now >= order.expires_at:
                return EXPIRING
            return UNPAID if status is None else DECLINED
    return CHECKING


def _complete(status: str | None) -> Stage:
    return {"captured": CAPTURED, "refunded": REFUNDED}.get(status or "", PAID)


def _cancelled(status: str | None, *, expired: bool) -> Stage:
    ended = EXPIRED if expired else CANCELLED
    return {
        "pending": VOIDING,
        "authorized": VOIDING,
        "voided": VOIDED if expired else CANCELLED,
        "captured": REFUNDING,
        "refunded": REFUNDED,
    }.get(status or "", ended)
