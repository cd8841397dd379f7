"""Rules of refunds: what an operator may request, and what an operator has returned in another way."""

from datetime import datetime

from kit.changes import Changes
from kit.errors import Conflict
from services.payments.money_back import Refund
from services.payments.rules import Payable, PaymentState

OTHER_WAY = "other"
"""The ids of refunds begin with this if an operator returned the money without Stripe."""


class NotCaptured(Conflict):
    message = "Only an order that is paid for can be refunded"


class PaymentDisputed(Conflict):
    """Stripe refunds no disputed payment: its bank has already taken the money back."""

    message = "The buyer disputes this payment at the bank, so it can't be refunded"


class NotDisputed(Conflict):
    message = "Nothing about this payment is disputed"


class EvidenceRefused(Conflict):
    message = "Stripe accepts no more evidence about this dispute"


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
            everything = {"refund_target": None} if payment.refund_target is not None else {}
            return {"status": "refunding", "relist": relist, **everything, **attempt}
        case "refunding" if payment.refund_target is not None and not again:
            return {"relist": relist, "refund_target": None, **attempt}  # everything instead of a part
        case "refunding" | "refunded":
            changes = {"relist": True} if relist and not payment.relist else {}
            return {**changes, **(attempt if again and payment.refund_failed else {})} or None
        case _:
            raise NotCaptured


def refund_undelivered(payment: PaymentState, now: datetime) -> Changes | None:
    """Refund the captured amount of an order whose seller didn't deliver. A repeated call changes nothing.

    A disputed payment waits for the bank. Only if the bank decides for the seller, the buyer gets a refund.
    """
    if payment.status != "captured" or payment.dispute in ("open", "lost"):
        return None
    return refund(payment, relist=False, now=now)


def refund_decided(payment: PaymentState, due: int, now: datetime) -> Changes | None:
    """Refund what an operator has decided on a reported problem. A repeated call changes nothing.

    A disputed payment waits for the bank, as above.

    Args:
        due: how much the buyer gets back altogether.
    """
    if payment.status != "captured" or payment.dispute in ("open", "lost") or due <= payment.refunded_amount:
        return None
    if due >= payment.amount:
        return refund(payment, relist=False, now=now)
    if payment.refund_target == due:
        return None
    attempts = len(payment.failed_refunds) + 1
    return {
        "status": "refunding",
        "refund_target": due,
        "refund_requested_at": now,
        "refund_attempts": attempts,
    }


def owed(order: Payable, payment: PaymentState, now: datetime) -> Changes | None:
    """The refund that follows from the state of the order, if one does."""
    if order.delivery_failed:
        return refund_undelivered(payment, now)
    return refund_decided(payment, order.refund_due, now) if order.refund_due else None


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
    left = payment.target - payment.refunded_amount
    refunds = [*payment.refunds, Refund(id=f"{OTHER_WAY}-{number}", amount=left, status="succeeded")]
    if payment.target < payment.amount:
        return {"status": "captured", "refunds": refunds}
    return {"status": "refunded", "refunds": refunds, "relist": relist or payment.relist}
