"""The rules of a PaymentIntent: https://docs.stripe.com/payments/paymentintents/lifecycle

All functions are pure. They raise if a transition isn't allowed. A declined card is a result instead of
an error, because it changes the intent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sandbox.stripe.cards import Decline
from sandbox.stripe.errors import StripeError
from sandbox.stripe.state import Charge, Intent, PaymentError, PaymentMethod, Refund, Status

_CONFIRMABLE: tuple[Status, ...] = ("requires_payment_method", "requires_confirmation", "requires_action")
_CANCELABLE: tuple[Status, ...] = (
    "requires_payment_method",
    "requires_capture",
    "requires_confirmation",
    "requires_action",
)
REFUND_SECONDS = 1
"""How long a bank takes to decide on a refund, if it takes time."""
_ALWAYS_CHANGEABLE = {"description", "metadata", "receipt_email", "transfer_group"}

MISSING_METHOD = (
    "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the"
    " PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a"
    " payment method."
)
_NOT_AUTHENTICATED = Decline(
    "payment_intent_authentication_failure",
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new"
    " PaymentMethod to attempt to fulfill this PaymentIntent again.",
)


class UnexpectedState(StripeError):
    """The intent's status doesn't allow the request. The answer contains the intent."""

    def __init__(self, intent: Intent, message: str, *, param: str | None = None) -> None:
        super().__init__(message, code="payment_intent_unexpected_state", param=param)
        self.intent = intent


@dataclass(frozen=True)
class Attempt:
    """The result of an attempt to pay: the new intent, and the charge if a request was sent to the bank."""

    intent: Intent
    charge: Charge | None = None


def confirm(
    intent: Intent, method: PaymentMethod | None, *, now: int, charge_id: str, challenge_id: str
) -> Attempt:
    """Pay with `method`: the result is authorized, paid, declined, or waiting for 3-D Secure."""
    check_confirmable(intent)
    if method is None:
        raise UnexpectedState(intent, MISSING_METHOD)
    if not intent.payment_method_types and intent.allow_redirects == "always" and not intent.return_url:
        raise StripeError(
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because"
            " some of these payment methods might redirect your customer off of your page, you must provide"
            " a `return_url`. If you don't want to accept redirect-based payment methods, set"
            " `automatic_payment_methods[enabled]` to `true` and"
            " `automatic_payment_methods[allow_redirects]` to `never`."
        )
    intent = replace(intent, payment_method=method.id, last_payment_error=None, challenge=None)
    if method.card.authenticates:
        return Attempt(replace(intent, status="requires_action", challenge=challenge_id))
    return _charge(intent, method, now=now, charge_id=charge_id, authenticated=False)


def check_confirmable(intent: Intent) -> None:
    if intent.status == "succeeded":
        raise UnexpectedState(
            intent,
            "You cannot confirm this PaymentIntent because it has already succeeded after being previously"
            " confirmed.",
        )
    if intent.status not in _CONFIRMABLE:
        raise UnexpectedState(
            intent,
            f"You cannot confirm this PaymentIntent because it has a status of {intent.status}. Only a"
            " PaymentIntent with one of the following statuses may be confirmed: requires_confirmation,"
            " requires_action.",
        )


def _charge(
    intent: Intent, method: PaymentMethod, *, now: int, charge_id: str, authenticated: bool
) -> Attempt:
    decline = method.card.decline
    paid = intent.amount if decline is None and intent.capture_method != "manual" else 0
    charge = Charge(
        id=charge_id,
        created=now,
        amount=intent.amount,
        currency=intent.currency,
        payment_intent=intent.id,
        method=method,
        metadata=intent.metadata,
        description=intent.description,
        receipt_email=intent.receipt_email,
        statement_descriptor=intent.statement_descriptor,
        statement_descriptor_suffix=intent.statement_descriptor_suffix,
        transfer_group=intent.transfer_group,
        failure=decline,
        authenticated=authenticated,
        captured=paid > 0,
        amount_captured=paid,
    )
    intent = replace(intent, latest_charge=charge_id, challenge=None)
    if decline:
        return Attempt(_failed(intent, PaymentError("card_error", decline, method, charge_id)), charge)
    status: Status = "succeeded" if paid else "requires_capture"
    return Attempt(replace(intent, status=status, amount_received=paid), charge)


def _failed(intent: Intent, why: PaymentError) -> Intent:
    return replace(
        intent,
        status="requires_payment_method",
        payment_method=None,
        last_payment_error=why,
        challenge=None,
    )


def approve(intent: Intent, method: PaymentMethod, *, now: int, charge_id: str) -> Attempt:
    """Charge the card after the cardholder has passed 3-D Secure. The bank may still decline."""
    return _charge(intent, method, now=now, charge_id=charge_id, authenticated=True)


def refuse(intent: Intent, method: PaymentMethod) -> Attempt:
    """Record that the cardholder failed 3-D Secure. There is no charge."""
    return Attempt(_failed(intent, PaymentError("invalid_request_error", _NOT_AUTHENTICATED, method)))


def update(intent: Intent, changes: Mapping[str, Any], metadata: Mapping[str, str]) -> Intent:
    """Change fields and metadata. A new amount or card cancels an open 3-D Secure check."""
    fixed = changes.keys() - _ALWAYS_CHANGEABLE
    if fixed and intent.status not in _CONFIRMABLE:
        name = min(fixed)
        raise UnexpectedState(
            intent,
            f"This PaymentIntent's {name} could not be updated because it has a status of {intent.status}."
            f" You may only update the {name} of a PaymentIntent with one of the following statuses:"
            f" {', '.join(_CONFIRMABLE)}.",
            param=name,
        )
    merged = {name: value for name, value in {**intent.metadata, **metadata}.items() if value != ""}
    changed = replace(intent, metadata=merged, **changes)
    if fixed and changed.payment_method:
        return replace(changed, status="requires_confirmation", challenge=None)
    return changed


def capture(intent: Intent, charge: Charge | None, amount: int | None) -> tuple[Intent, Charge]:
    """Capture `amount`, by default everything that is authorized, and release the rest."""
    if intent.status == "succeeded":
        raise UnexpectedState(
            intent, "This PaymentIntent could not be captured because it has already been captured."
        )
    if intent.status != "requires_capture" or charge is None:
        raise UnexpectedState(
            intent,
            f"This PaymentIntent could not be captured because it has a status of {intent.status}. Only a"
            " PaymentIntent with one of the following statuses may be captured: requires_capture.",
        )
    amount = amount or intent.amount
    if amount > intent.amount:
        raise StripeError(
            f"The amount to capture ({amount}) is greater than the amount capturable ({intent.amount}).",
            code="amount_too_large",
            param="amount_to_capture",
        )
    return (
        replace(intent, status="succeeded", amount_received=amount),
        replace(charge, captured=True, amount_captured=amount),
    )


def cancel(
    intent: Intent, charge: Charge | None, reason: str | None, *, now: int
) -> tuple[Intent, Charge | None]:
    """Cancel an unpaid intent. An authorized charge becomes a refunded one, as at Stripe."""
    if intent.status not in _CANCELABLE:
        raise UnexpectedState(
            intent,
            f"You cannot cancel this PaymentIntent because it has a status of {intent.status}. Only a"
            f" PaymentIntent with one of the following statuses may be canceled: {', '.join(_CANCELABLE)}.",
        )
    if charge and intent.status == "requires_capture":
        charge = replace(charge, amount_refunded=charge.amount)
    canceled = replace(intent, status="canceled", canceled_at=now, cancellation_reason=reason, challenge=None)
    return canceled, charge


def refund(
    charge: Charge,
    amount: int | None,
    *,
    refund_id: str,
    reason: str | None,
    metadata: dict[str, str],
    now: int,
    is_disputed: bool = False,
) -> tuple[Refund, Charge]:
    """Refund `amount`, by default everything of the charge that isn't refunded yet.

    Args:
        is_disputed: whether a dispute of the charge is open or lost.
    """
    if not charge.captured:
        raise StripeError(
            f"This PaymentIntent ({charge.payment_intent}) does not have a successful charge to refund."
        )
    if is_disputed:
        raise StripeError(
            f"Charge {charge.id} has been charged back; cannot issue a refund.", code="charge_disputed"
        )
    left = charge.amount_captured - charge.amount_refunded
    if left == 0:
        raise StripeError(f"Charge {charge.id} has already been refunded.", code="charge_already_refunded")
    amount = amount or left
    if amount > left:
        of = "unrefunded amount on charge" if charge.amount_refunded else "charge amount"
        raise StripeError(
            f"Refund amount ({amount / 100:.2f}) is greater than {of} ({left / 100:.2f})", param="amount"
        )
    card = charge.method.card
    made = Refund(
        id=refund_id,
        created=now,
        amount=amount,
        currency=charge.currency,
        charge=charge.id,
        payment_intent=charge.payment_intent,
        metadata=metadata,
        reason=reason,
        status="pending" if card.refunds == "later" else "succeeded",
        settles_at=None if card.refunds == "at once" else now + REFUND_SECONDS,
    )
    return made, replace(charge, amount_refunded=charge.amount_refunded + amount)


def settle(refund: Refund, charge: Charge) -> tuple[Refund, Charge]:
    """Apply the bank's decision on a refund. The amount of a failed refund can be refunded again."""
    if refund.status == "pending":
        return replace(refund, status="succeeded", settles_at=None), charge
    failed = replace(refund, status="failed", failure_reason="lost_or_stolen_card", settles_at=None)
    return failed, replace(charge, amount_refunded=charge.amount_refunded - refund.amount)
