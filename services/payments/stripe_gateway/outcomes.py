"""Translates Stripe's objects and errors into outcomes of a payment. Pure functions: none sends a request."""

from collections.abc import Sequence
from datetime import UTC, datetime

import stripe

from contracts.events import PaymentStatus
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
    """The outcome that a PaymentIntent shows. A refund is visible only if `latest_charge` is expanded."""
    return _of_intent(shapes.Intent.of(found))


def _of_intent(intent: shapes.Intent) -> Outcome:
    # An unknown status is one that Stripe has added. The payment waits until the next status.
    status = STATUSES.get(intent.status, "pending")
    error = intent.last_payment_error
    code = message = None
    if intent.status == "requires_payment_method" and error is not None:
        status, code, message = "failed", _decline_code(error), _decline_message(error)
    if status == "captured" and intent.latest_charge is not None:
        status = "refunded" if intent.latest_charge.refunded else "captured"
    return Outcome(
        status=status,
        intent_id=intent.id,
        amount=intent.amount,
        currency=intent.currency,
        decline_code=code,
        decline_message=message,
        bank_check=intent.status == "requires_action",
        action_url=intent.action_url,
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


def of_refunds(payment: PaymentState, found: Sequence[stripe.Refund]) -> Outcome:
    """The outcome of the refunds: `refunded` if the successful ones add up to the payment's amount."""
    refunds = map(shapes.Refund.of, found)
    succeeded = sum(refund.amount for refund in refunds if refund.status == "succeeded")
    status: PaymentStatus = "refunded" if succeeded >= payment.amount else "captured"
    return Outcome(status, payment.intent_id, payment.amount, payment.currency)


def all_failed(found: Sequence[stripe.Refund]) -> bool:
    """Whether no refund has succeeded or can still succeed. A refund without a status may."""
    return all(shapes.Refund.of(each).status in ("failed", "canceled") for each in found)


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
