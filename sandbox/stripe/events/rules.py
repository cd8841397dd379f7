"""The types of the events that a change causes: https://docs.stripe.com/api/events/types"""

from collections.abc import Iterator

from sandbox.stripe.connect.state import Account, Payout, Transfer
from sandbox.stripe.state import Charge, Dispute, Intent, Refund, Session, Stored

_REACHED = {
    "requires_capture": "payment_intent.amount_capturable_updated",
    "succeeded": "payment_intent.succeeded",
    "canceled": "payment_intent.canceled",
}
_ENDED = {"complete": "checkout.session.completed", "expired": "checkout.session.expired"}


def types_of(before: Stored | None, after: Stored) -> list[str]:
    """The types of the events that a change of an object causes. `before` is None for a new object."""
    if isinstance(after, Intent):
        return list(_of_intent(before if isinstance(before, Intent) else None, after))
    if isinstance(after, Charge):
        return list(_of_charge(before if isinstance(before, Charge) else None, after))
    if isinstance(after, Refund):
        return list(_of_refund(before if isinstance(before, Refund) else None, after))
    if isinstance(after, Dispute):
        return list(_of_dispute(before if isinstance(before, Dispute) else None, after))
    if isinstance(after, Account):
        return ["account.updated"] if before is not None and before != after else []
    if isinstance(after, Transfer):
        return list(_of_transfer(before if isinstance(before, Transfer) else None, after))
    if isinstance(after, Payout):
        return list(_of_payout(before if isinstance(before, Payout) else None, after))
    if isinstance(after, Session) and isinstance(before, Session) and after.status != before.status:
        return [_ENDED[after.status]]
    return []


def _of_intent(before: Intent | None, after: Intent) -> Iterator[str]:
    if before is None:
        yield "payment_intent.created"
    if after.challenge and (before is None or after.challenge != before.challenge):
        yield "payment_intent.requires_action"
    error = after.last_payment_error
    if error and (before is None or error != before.last_payment_error):
        yield "payment_intent.payment_failed"
    if after.status in _REACHED and (before is None or after.status != before.status):
        yield _REACHED[after.status]


def _of_charge(before: Charge | None, after: Charge) -> Iterator[str]:
    if before is None:
        yield "charge.failed" if after.failure else "charge.succeeded"
        return
    if after.captured and not before.captured:
        yield "charge.captured"
    if after.amount_refunded > before.amount_refunded:
        yield "charge.refunded"


def _of_refund(before: Refund | None, after: Refund) -> Iterator[str]:
    if before is None:
        yield "refund.created"
    elif after.status != before.status:
        yield "refund.updated"
        yield "charge.refund.updated"
        if after.status == "failed":
            yield "refund.failed"


def _of_transfer(before: Transfer | None, after: Transfer) -> Iterator[str]:
    if before is None:
        yield "transfer.created"
    elif after.amount_reversed > before.amount_reversed:
        yield "transfer.reversed"
    elif after != before:
        yield "transfer.updated"


def _of_payout(before: Payout | None, after: Payout) -> Iterator[str]:
    if before is None:
        yield "payout.created"
    elif after.status != before.status:
        yield f"payout.{after.status}"


def _of_dispute(before: Dispute | None, after: Dispute) -> Iterator[str]:
    if before is None:
        yield "charge.dispute.created"
        yield "charge.dispute.funds_withdrawn"
    elif after.status == before.status:
        yield "charge.dispute.updated"
    else:
        yield "charge.dispute.closed"
        if after.status == "won":
            yield "charge.dispute.funds_reinstated"
