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
def test_each_status_allows_what_stripe_allows(action: str, status: Status) -> None:
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


def test_paying_twice_says_that_it_has_already_succeeded() -> None:
    paid = confirm(replace(OPEN, capture_method="automatic")).intent
    with pytest.raises(UnexpectedState, match="already succeeded"):
        confirm(paid)


def test_a_void_gives_back_what_was_set_aside() -> None:
    intent, charge = held()
    canceled, voided = intents.cancel(intent, charge, None, now=2)
    assert (canceled.status, canceled.canceled_at, canceled.amount_capturable) == ("canceled", 2, 0)
    assert voided is not None
    assert voided.amount_refunded == 1999


def test_canceling_after_a_decline_leaves_the_failed_charge_alone() -> None:
    attempt = confirm(OPEN, PaymentMethod("pm_3", 0, "chargeDeclined"))
    assert intents.cancel(attempt.intent, attempt.charge, None, now=2)[1] == attempt.charge


def test_only_what_was_captured_can_be_refunded() -> None:
    _, charge = intents.capture(*held(), 1000)
    with pytest.raises(StripeError):
        intents.refund(charge, 1001, refund_id="re_1", reason=None, metadata={}, now=3)
    refund, charge = intents.refund(charge, None, refund_id="re_1", reason=None, metadata={}, now=3)
    assert (refund.amount, charge.amount_refunded) == (1000, 1000)


@pytest.mark.parametrize("changes", [{"amount": 1}, {"payment_method": "pm_9"}])
def test_a_changed_payment_takes_an_open_check_back(changes: dict[str, object]) -> None:
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
def test_published_cards_go_by_token_and_by_payment_method(name: str) -> None:
    assert name_of(f"tok_{name}", "tok_") == name_of(f"pm_card_{name}", "pm_card_") == name
    assert name in CARDS
