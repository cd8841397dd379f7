"""Rules of attempts to pay: when another one may start, and when one is over."""

from datetime import datetime, timedelta

from kit.changes import Changes
from kit.errors import Conflict
from services.payments.rules import Payable, PaymentState


class EventBegun(Conflict):
    message = "The event has begun, so this ticket can no longer be paid for"


class StartedOnAnotherPage(Conflict):
    code = "begun-elsewhere"  # part of the HTTP API
    message = "This payment was started on another page. Release the ticket and reserve it again"


class PaymentEnded(Conflict):
    """The PaymentIntent or the Checkout session was ended at Stripe. Another attempt may succeed."""

    message = "This payment was cancelled. You haven't been charged. Try again"


def retry(
    payment: PaymentState,
    token: str | None,
    *,
    page_expires_at: datetime | None = None,
    is_too_late: bool = False,
) -> Changes | None:
    """Start another attempt after a decline, or after the last one ended at Stripe without a charge.

    In any other status the payment continues. Call this only if the order isn't over: the payment of such an
    order is voided by us, and must stay so.

    Args:
        page_expires_at: when Stripe closes the page of the new attempt.
        is_too_late: whether no attempt may start, because the event has begun.

    Raises:
        EventBegun: another attempt would be too late.
        StartedOnAnotherPage: the payment was declined on our page, but buyers now pay on Stripe's page, which
            would create a second PaymentIntent.
    """
    if payment.status not in ("failed", "voided"):
        return None
    if is_too_late:
        raise EventBegun
    if payment.status == "failed" and token is None:
        raise StartedOnAnotherPage
    return {
        **(_without_ended(payment, page_expires_at) if payment.status == "voided" else {}),
        "status": "pending",
        "attempt": payment.attempt + 1,
        "token": token,
        "decline_code": None,
        "decline_message": None,
        "bank_check": False,
        "action_url": None,
        "processing": False,
    }


def _without_ended(payment: PaymentState, page_expires_at: datetime | None) -> Changes:
    """Let the next attempt create an object at Stripe, because the last one can't be authorized any more."""
    last = filter(None, (payment.intent_id, payment.session_id))
    return {
        "intent_id": None,
        "session_id": None,
        "page_url": None,
        "page_expires_at": page_expires_at,
        "authorized_at": None,
        "ended": [*payment.ended, *last],
    }


def abandon(payment: PaymentState) -> Changes | None:
    """Mark a payment voided if it has no PaymentIntent or session. Any other has to be voided at Stripe."""
    known = payment.intent_id or payment.session_id
    return None if known or payment.status == "voided" else {"status": "voided"}


def page_expires_at(order: Payable, now: datetime) -> datetime:
    """When Stripe's page expires: after the order, and within Stripe's limits of 30 minutes to 24 hours.

    https://docs.stripe.com/api/checkout/sessions/create#create_checkout_session-expires_at
    """
    return min(max(order.expires_at, now) + timedelta(hours=1), now + timedelta(hours=23))
