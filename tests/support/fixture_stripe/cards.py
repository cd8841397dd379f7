"""The test cards that the tests use: https://docs.stripe.com/testing"""

from dataclasses import dataclass

from tests.support.fixture_stripe.errors import missing


@dataclass(frozen=True)
class Card:
    code: str | None = None
    """Why the bank declines it, if it does."""
    decline_code: str | None = None
    message: str = "Your card was declined."
    is_checked: bool = False
    """Whether the bank asks its holder first, with 3-D Secure."""
    refund_status: str = "succeeded"
    """The first status of its refunds."""
    refund_becomes: str | None = None
    """The later status of its refunds."""
    is_disputed: bool = False


CARDS = {
    "visa": Card(),
    "mastercard": Card(),
    "chargeDeclined": Card("card_declined", "generic_decline"),
    "chargeDeclinedInsufficientFunds": Card(
        "card_declined", "insufficient_funds", "Your card has insufficient funds."
    ),
    "chargeDeclinedExpiredCard": Card("expired_card", "expired_card", "Your card has expired."),
    "threeDSecure2Required": Card(is_checked=True),
    "pendingRefund": Card(refund_status="pending", refund_becomes="succeeded"),
    "refundFail": Card(refund_becomes="failed"),
    "createDispute": Card(is_disputed=True),
}


def card_of(name: str) -> Card:
    """The card of a token such as tok_visa, or of a payment method such as pm_card_visa."""
    for prefix, kind, param in (
        ("tok_", "token", "payment_method_data[card][token]"),
        ("pm_card_", "PaymentMethod", "payment_method"),
    ):
        if name.startswith(prefix):
            if card := CARDS.get(name.removeprefix(prefix)):
                return card
            raise missing(kind, name, param=param, status=400)
    raise missing("PaymentMethod", name, param="payment_method", status=400)
