"""Stripe's published test cards: https://docs.stripe.com/testing

A card is named by its token, without `tok_` or `pm_card_`.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Decline:
    code: str
    message: str
    decline_code: str | None = None


@dataclass(frozen=True)
class Card:
    last4: str
    brand: str = "visa"
    funding: str = "credit"
    decline: Decline | None = None
    authenticates: bool = False
    """Whether the bank requires 3-D Secure."""
    refunds: Literal["at once", "later", "never"] = "at once"
    """When refunds succeed. With "never", they succeed at once and fail later."""
    disputes: bool = False
    """Whether the cardholder disputes each payment as soon as it is captured."""
    is_available_at_once: bool = False
    """Whether the money is in the available balance as soon as it is captured."""


def _declined(decline_code: str, message: str = "Your card was declined.") -> Decline:
    return Decline("card_declined", message, decline_code)


_DECLINES = {
    "chargeDeclined": Card("0002", decline=_declined("generic_decline")),
    "chargeDeclinedInsufficientFunds": Card(
        "9995", decline=_declined("insufficient_funds", "Your card has insufficient funds.")
    ),
    "chargeDeclinedLostCard": Card("9987", decline=_declined("lost_card")),
    "chargeDeclinedStolenCard": Card("9979", decline=_declined("stolen_card")),
    "chargeDeclinedExpiredCard": Card("0069", decline=Decline("expired_card", "Your card has expired.")),
    "chargeDeclinedIncorrectCvc": Card(
        "0127", decline=Decline("incorrect_cvc", "Your card's security code is incorrect.")
    ),
    "chargeDeclinedProcessingError": Card(
        "0119",
        decline=Decline(
            "processing_error",
            "An error occurred while processing your card. Try again in a little bit.",
        ),
    ),
}

CARDS: dict[str, Card] = {
    "visa": Card("4242"),
    "visa_debit": Card("5556", funding="debit"),
    "mastercard": Card("4444", "mastercard"),
    "mastercard_debit": Card("3222", "mastercard", "debit"),
    "amex": Card("8431", "amex"),
    "discover": Card("9424", "discover"),
    **_DECLINES,
    # Stripe documents some declined cards with the brand in their name and some without.
    **{f"visa_{name}": card for name, card in _DECLINES.items()},
    "threeDSecure2Required": Card("3220", authenticates=True),
    "threeDSecureRequired": Card("3063", authenticates=True),
    "authenticationRequired": Card("3184", authenticates=True),
    "threeDSecureRequiredChargeDeclined": Card(
        "1629", authenticates=True, decline=_declined("generic_decline")
    ),
    "bypassPending": Card("0077", is_available_at_once=True),
    "pendingRefund": Card("7726", refunds="later"),
    "refundFail": Card("5126", refunds="never"),
    "createDispute": Card("0259", disputes=True),
    # Cards that Stripe doesn't have: a Visa card that triggers a fault (faults.py).
    **dict.fromkeys(("fault_rate_limit", "fault_server_error", "fault_slow", "fault_lost"), Card("4242")),
}


def name_of(token: str, prefix: str) -> str | None:
    """The card's name in `tok_…` or `pm_card_…`, or None if Stripe has no such test card."""
    name = token.removeprefix(prefix)
    return name if token.startswith(prefix) and name in CARDS else None
