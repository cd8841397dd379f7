"""Rules of refunds: what an operator may request, and what an operator has returned in another way."""

from datetime import datetime

from kit.changes import Changes
from kit.errors import Conflict
from services.payments.money_back import Refund
from services.payments.rules import PaymentState

OTHER_WAY = "other"
"""The ids of refunds begin with this if an operator returned the money without Stripe."""


class NotCaptured(Conflict):
    message = "Only an order that is paid for can be refunded"


class PaymentDisputed(Conflict):
    """Stripe refunds no disputed payment: its bank has already taken the money back."""

    message = "The buyer disputes this payment at the bank, so it can't be refunded"


class RefundNotFailed(Conflict):
    message = "Only money whose refund failed can be returned in another way"


def refund(payment: PaymentState, *, relist: bool, again: bool = False, now: datetime) -> Changes | None:
    """Refund the captured amount once. A repeated request can only add `relist`.

    Args:
        again: after a refund that failed, try once more.

    Raises:
        NotCaptured, PaymentDisputed
    """
    attempt = {"refund_requested_at": now, "refund_attempts": len(payment.failed_refunds) + 1}
    match payment.status:
        case "captured" if payment.dispute in ("open", "lost"):
            raise PaymentDisputed
        case "captured":
            return {"status": "refunding", "relist": relist, **attempt}
        case "refunding" | "refunded":
            changes = {"relist": True} if relist and not payment.relist else {}
            return {**changes, **(attempt if again and payment.refund_failed else {})} or None
        case _:
            raise NotCaptured


def returned(payment: PaymentState, *, relist: bool) -> Changes | None:
    """Record that an operator returned the money without Stripe, because the refund failed.

    Raises:
        RefundNotFailed: the refund may still succeed, so that the buyer would get the money twice.
    """
    if payment.status == "refunded":
        return None
    if not payment.refund_failed:
        raise RefundNotFailed
    number = len(payment.refunds) + 1
    left = payment.amount - payment.refunded_amount
    refunds = [*payment.refunds, Refund(id=f"{OTHER_WAY}-{number}", amount=left, status="succeeded")]
    return {"status": "refunded", "refunds": refunds, "relist": relist or payment.relist}
