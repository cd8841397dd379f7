"""Translates Stripe's objects and errors into outcomes of a payment. Pure functions: none sends a request."""

from datetime import UTC, datetime

import stripe

from contracts.events import DisputeStatus, PaymentStatus
from services.payments.money_back import Dispute, Refund, RefundStatus
from services.payments.rules import Outcome, PaymentState
from services.payments.stripe_gateway import shapes

STATUSES: dict[str, PaymentStatus] = {
    "requires_payment_method": "pending",
    "requires_confirmation": "pending",
    "requires_action": "pending",
    "processing": "pending",
    "requires_capture": "authorized",
    "succeeded": "captured",
    "canceled": "voided",
}
"""The status of a payment by the status of its PaymentIntent."""


def of_intent(found: stripe.PaymentIntent) -> Outcome:
    """The outcome that a PaymentIntent shows, without its refunds and disputes."""
    return _of_intent(shapes.Intent.of(found))


def was_contested(found: stripe.PaymentIntent | stripe.checkout.Session) -> bool:
    """Whether there are refunds or disputes to read. `latest_charge` must be expanded."""
    if isinstance(found, stripe.checkout.Session):
        intent = shapes.CheckoutSession.of(found).payment_intent
    else:
        intent = shapes.Intent.of(found)
    charge = intent.latest_charge if intent else None
    return charge is not None and (charge.amount_refunded > 0 or charge.disputed)


def _of_intent(intent: shapes.Intent) -> Outcome:
    # An unknown status is one that Stripe has added. The payment waits until the next status.
    status = STATUSES.get(intent.status, "pending")
    error = intent.last_payment_error
    code = message = None
    if intent.status == "requires_payment_method" and error is not None:
        status, code, message = "failed", _decline_code(error), _decline_message(error)
    return Outcome(
        status=status,
        intent_id=intent.id,
        amount=intent.amount,
        currency=intent.currency,
        decline_code=code,
        decline_message=message,
        bank_check=intent.status == "requires_action",
        action_url=intent.action_url,
        processing=intent.status == "processing",
        authorized_at=_authorized_at(intent),
    )


def _authorized_at(intent: shapes.Intent) -> datetime | None:
    charge = intent.latest_charge
    return datetime.fromtimestamp(charge.created, UTC) if charge and charge.paid else None


def of_session(found: stripe.checkout.Session, payment: PaymentState) -> Outcome:
    """The outcome that a Checkout session shows.

    A decline leaves the payment pending: on Stripe's page the buyer can try another card.

    Args:
        payment: has the amount and the currency of a session that shows none.
    """
    session = shapes.CheckoutSession.of(found)
    intent = session.payment_intent
    status: PaymentStatus = _of_intent(intent).status if intent else "pending"
    if intent is None and session.status == "expired":
        status = "voided"
    elif status == "failed":
        status = "pending"
    shown = session.amount_total, session.currency
    amount, currency = (intent.amount, intent.currency) if intent else shown
    return Outcome(
        status=status,
        intent_id=intent.id if intent else None,
        amount=payment.amount if amount is None else amount,
        currency=payment.currency if currency is None else currency,
        session_id=session.id,
        page_url=session.url if session.status == "open" and status == "pending" else None,
        bank_check=intent is not None and intent.status == "requires_action",
        processing=intent is not None and intent.status == "processing",
        authorized_at=_authorized_at(intent) if intent else None,
    )


def of_card_error(payment: PaymentState, error: stripe.CardError) -> Outcome:
    """The outcome of a declined confirmation, with Stripe's message for the buyer."""
    code = _decline_code(_cause(error)) or error.code
    return _declined(payment, error.user_message or "Your card was declined.", code)


def of_unusable_card(payment: PaymentState, error: stripe.InvalidRequestError) -> Outcome | None:
    """The outcome of a confirmation that was rejected because of its card, or None for any other reason."""
    names_card = (error.param or "").startswith("payment_method") or error.code == "token_already_used"
    if names_card or (error.code == "resource_missing" and error.param != "intent"):
        return _declined(payment, "That card can't be used. Try another one.", error.code)
    return None


_REFUND_STATUSES: dict[str, RefundStatus] = {
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}

_DISPUTE_STATUSES: dict[str, DisputeStatus] = {
    "won": "won",
    "prevented": "won",
    "warning_closed": "won",
    "lost": "lost",
}
"""https://docs.stripe.com/api/disputes/object#dispute_object-status"""


def of_refund(found: stripe.Refund) -> Refund:
    """A refund. One without a status, or with one that Stripe has added, may still succeed."""
    refund = shapes.Refund.of(found)
    status = _REFUND_STATUSES.get(refund.status or "", "pending")
    failure = refund.failure_reason or refund.status if status == "failed" else None
    return Refund(id=refund.id, amount=refund.amount, status=status, failure=failure)


def of_dispute(found: stripe.Dispute) -> Dispute:
    """A dispute. It is open in any status in which the bank hasn't decided."""
    dispute = shapes.Dispute.of(found)
    status = _DISPUTE_STATUSES.get(dispute.status, "open")
    return Dispute(id=dispute.id, amount=dispute.amount, status=status, reason=dispute.reason)


def _declined(payment: PaymentState, message: str, code: str | None) -> Outcome:
    return Outcome(
        "failed",
        payment.intent_id,
        payment.amount,
        payment.currency,
        decline_code=code,
        decline_message=message,
    )


def _cause(error: stripe.StripeError) -> shapes.PaymentError:
    return shapes.PaymentError.of(error.error) if error.error else shapes.PaymentError()


def _decline_code(error: shapes.PaymentError) -> str | None:
    """The bank's decline code if the bank gave one, else Stripe's error code."""
    return error.decline_code or error.code


def _decline_message(error: shapes.PaymentError) -> str:
    """Stripe's message for the buyer, or ours after a failed bank check, where Stripe's is for developers."""
    if error.code == "payment_intent_authentication_failure":
        return "Your bank didn't confirm the payment. Try again or use another card."
    return error.message or "Your card was declined."
