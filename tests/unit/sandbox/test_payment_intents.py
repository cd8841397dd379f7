from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest

from sandbox.stripe import intents
from sandbox.stripe.cards import CARDS, name_of
from sandbox.stripe.errors import StripeError
from sandbox.stripe.intents import Attempt, UnexpectedState
from sandbox.stripe.state import Charge, Intent, PaymentMethod, Status

VISA = PaymentMethod("pm_1", 0, "visa")
CHECKED = PaymentMethod("pm_2", 0, "threeDSecure2Required")
OPEN = Intent(
    id="pi_1",
    client_secret="pi_1_secret",
    created=0,
    amount=1999,
    currency="usd",
    capture_method="manual",
    payment_method_types=("card",),
)


def confirm(intent: Intent, method: PaymentMethod = VISA) -> Attempt:
    return intents.confirm(intent, method, now=1, charge_id="ch_1", challenge_id="tds_1")


def held() -> tuple[Intent, Charge]:
    attempt = confirm(OPEN)
    assert attempt.charge is not None
    return attempt.intent, attempt.charge


ALLOWED = {
    "confirm": {"requires_payment_method", "requires_confirmation", "requires_action"},
    "capture": {"requires_capture"},
    "cancel": {"requires_payment_method", "requires_confirmation", "requires_action", "requires_capture"},
    "change the amount": {"requires_payment_method", "requires_confirmation", "requires_action"},
    "describe": set(get_args(Status)),
}


@pytest.mark.parametrize("status", get_args(Status))
@pytest.mark.parametrize("action", ALLOWED)
def test_each_status_of_an_intent_allows_the_same_actions_as_at_stripe(action: str, status: Status) -> None:
    charge = held()[1]
    intent = replace(OPEN, status=status, latest_charge=charge.id)
    actions: dict[str, Callable[[], object]] = {
        "confirm": lambda: confirm(intent),
        "capture": lambda: intents.capture(intent, charge, None),
        "cancel": lambda: intents.cancel(intent, charge, None, now=2),
        "change the amount": lambda: intents.update(intent, {"amount": 1}, {}),
        "describe": lambda: intents.update(intent, {"description": "Two seats"}, {}),
    }
    act = actions[action]
    if status in ALLOWED[action]:
        act()
    else:
        with pytest.raises(UnexpectedState) as caught:
            act()
        assert caught.value.intent == intent


def test_confirming_a_paid_intent_gets_stripes_error() -> None:
    paid = confirm(replace(OPEN, capture_method="automatic")).intent
    with pytest.raises(UnexpectedState, match="already succeeded"):
        confirm(paid)


def test_canceling_an_authorized_intent_refunds_its_charge() -> None:
    intent, charge = held()
    canceled, voided = intents.cancel(intent, charge, None, now=2)
    assert (canceled.status, canceled.canceled_at, canceled.amount_capturable) == ("canceled", 2, 0)
    assert voided is not None
    assert voided.amount_refunded == 1999


def test_canceling_after_a_decline_does_not_change_the_failed_charge() -> None:
    attempt = confirm(OPEN, PaymentMethod("pm_3", 0, "chargeDeclined"))
    assert intents.cancel(attempt.intent, attempt.charge, None, now=2)[1] == attempt.charge


def test_only_captured_charges_can_be_refunded() -> None:
    _, charge = intents.capture(*held(), 1000)
    with pytest.raises(StripeError):
        intents.refund(charge, 1001, refund_id="re_1", reason=None, metadata={}, now=3)
    refund, charge = intents.refund(charge, None, refund_id="re_1", reason=None, metadata={}, now=3)
    assert (refund.amount, charge.amount_refunded) == (1000, 1000)


@pytest.mark.parametrize("changes", [{"amount": 1}, {"payment_method": "pm_9"}])
def test_a_new_amount_or_card_cancels_an_open_bank_check(changes: dict[str, object]) -> None:
    waiting = confirm(OPEN, CHECKED).intent
    assert (waiting.status, waiting.challenge) == ("requires_action", "tds_1")
    changed = intents.update(waiting, changes, {})
    assert (changed.status, changed.challenge) == ("requires_confirmation", None)


@pytest.mark.parametrize(
    "name",
    """visa mastercard amex chargeDeclined visa_chargeDeclined chargeDeclinedInsufficientFunds
    visa_chargeDeclinedInsufficientFunds chargeDeclinedLostCard visa_chargeDeclinedLostCard
    chargeDeclinedStolenCard visa_chargeDeclinedStolenCard chargeDeclinedExpiredCard
    chargeDeclinedIncorrectCvc chargeDeclinedProcessingError threeDSecure2Required threeDSecureRequired
    authenticationRequired""".split(),
)
def test_a_test_card_of_stripe_exists_as_a_token_and_as_a_payment_method(name: str) -> None:
    assert name_of(f"tok_{name}", "tok_") == name_of(f"pm_card_{name}", "pm_card_") == name
    assert name in CARDS
