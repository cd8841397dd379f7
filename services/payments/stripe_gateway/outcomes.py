"""Translates Stripe's objects and errors into outcomes of a payment. Pure functions: none sends a request."""

from collections.abc import Sequence
from typing import Any

import stripe
from stripe import PaymentIntent
from stripe.checkout import Session

from contracts.events import PaymentStatus
from services.payments.rules import Outcome, PaymentState

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


def of_intent(intent: PaymentIntent) -> Outcome:
    """The outcome that a PaymentIntent shows. A refund is visible only if `latest_charge` is expanded."""
    status = STATUSES[intent.status]
    error = intent.last_payment_error
    code = message = None
    if intent.status == "requires_payment_method" and error is not None:
        status, code, message = "failed", _decline_code(error), _decline_message(error)
    if status == "captured" and isinstance(intent.latest_charge, stripe.Charge):
        status = "refunded" if intent.latest_charge.refunded else "captured"
    redirect = _optional(intent.next_action, "redirect_to_url")
    return Outcome(
        status=status,
        intent_id=intent.id,
        amount=intent.amount,
        currency=intent.currency,
        decline_code=code,
        decline_message=message,
        bank_check=intent.status == "requires_action",
        action_url=_optional(redirect, "url"),
    )


def of_session(session: Session) -> Outcome:
    """The outcome that a Checkout session shows.

    A decline leaves the payment pending: on Stripe's page the buyer can try another card.
    """
    intent = session.payment_intent if isinstance(session.payment_intent, PaymentIntent) else None
    status: PaymentStatus = of_intent(intent).status if intent else "pending"
    if intent is None and session.status == "expired":
        status = "voided"
    elif status == "failed":
        status = "pending"
    return Outcome(
        status=status,
        intent_id=intent.id if intent else None,
        amount=intent.amount if intent else (session.amount_total or 0),
        currency=intent.currency if intent else (session.currency or ""),
        session_id=session.id,
        page_url=session.url if session.status == "open" and status == "pending" else None,
        bank_check=intent is not None and intent.status == "requires_action",
    )


def of_card_error(payment: PaymentState, error: stripe.CardError) -> Outcome:
    """The outcome of a declined confirmation, with Stripe's message for the buyer."""
    code = _decline_code(error.error) or error.code
    return _declined(payment, error.user_message or "Your card was declined.", code)


def of_unusable_card(payment: PaymentState, error: stripe.InvalidRequestError) -> Outcome | None:
    """The outcome of a confirmation that was rejected because of its card, or None for any other reason."""
    names_card = (error.param or "").startswith("payment_method") or error.code == "token_already_used"
    if names_card or (error.code == "resource_missing" and error.param != "intent"):
        return _declined(payment, "That card can't be used. Try another one.", error.code)
    return None


def of_refunds(payment: PaymentState, refunds: Sequence[stripe.Refund]) -> Outcome:
    """The outcome of the refunds: `refunded` if the successful ones add up to the payment's amount."""
    succeeded = sum(refund.amount for refund in refunds if refund.status == "succeeded")
    status: PaymentStatus = "refunded" if succeeded >= payment.amount else "captured"
    return Outcome(status, payment.intent_id, payment.amount, payment.currency)


def all_failed(refunds: Sequence[stripe.Refund]) -> bool:
    """Whether no refund has succeeded or can still succeed."""
    return not any(refund.status in ("succeeded", "pending", "requires_action") for refund in refunds)


def _declined(payment: PaymentState, message: str, code: str | None) -> Outcome:
    return Outcome(
        "failed",
        payment.intent_id,
        payment.amount,
        payment.currency,
        decline_code=code,
        decline_message=message,
    )


def _decline_code(error: Any) -> str | None:
    """The bank's decline code if the bank gave one, else Stripe's error code."""
    code: str | None = _optional(error, "decline_code") or _optional(error, "code")
    return code


def _decline_message(error: Any) -> str:
    """Stripe's message for the buyer, or ours after a failed bank check, where Stripe's is for developers."""
    if _optional(error, "code") == "payment_intent_authentication_failure":
        return "Your bank didn't confirm the payment. Try again or use another card."
    message: str | None = _optional(error, "message")
    return message or "Your card was declined."


def _optional(thing: Any, field: str) -> Any:
    """The value of a field, or None if Stripe left out the field because it doesn't apply."""
    return getattr(thing, field, None)
