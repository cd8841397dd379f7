from datetime import datetime, timedelta
from itertools import product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import OrderStatus, PaymentStatus
from services.payments import rules
from services.payments.rules import (
    NotTheBuyer,
    OrderCancelled,
    OrderExpired,
    Outcome,
    Payable,
    PaymentState,
    Step,
)
from tests.rules.builders import BUYER, NOW, SOON, STRANGER, outcome, payable, payment

EXPIRED = NOW - timedelta(seconds=1)

PAYMENT_STATUSES: tuple[PaymentStatus, ...] = get_args(PaymentStatus)
ORDER_STATUSES: tuple[OrderStatus, ...] = get_args(OrderStatus)
OVER: tuple[PaymentStatus, ...] = ("captured", "voided", "refunded")

RANK: dict[PaymentStatus, int] = {
    "pending": 0,
    "failed": 1,
    "authorized": 2,
    "captured": 3,
    "voided": 3,
    "refunded": 4,
}

situations = st.tuples(
    st.builds(
        payable,
        status=st.sampled_from(ORDER_STATUSES),
        expires_at=st.sampled_from([EXPIRED, NOW, SOON]),
    ),
    st.builds(
        payment,
        status=st.sampled_from(PAYMENT_STATUSES),
        intent_id=st.sampled_from([None, "pi_1"]),
        action_url=st.sampled_from([None, "https://bank.example/check"]),
        attempt=st.integers(1, 3),
    ),
)

outcomes = st.builds(
    Outcome,
    status=st.sampled_from(PAYMENT_STATUSES),
    intent_id=st.just("pi_1"),
    amount=st.just(1999),
    currency=st.just("usd"),
    decline_message=st.sampled_from([None, "Your card was declined."]),
    action_url=st.sampled_from([None, "https://bank.example/check"]),
)


# --- May it be paid for? ---


@pytest.mark.parametrize("status", ["created", "awaiting:payment"])
def test_the_buyer_may_pay_for_a_live_order(status: OrderStatus) -> None:
    rules.check_may_pay(payable(status=status), BUYER, NOW)


@pytest.mark.parametrize("status", ORDER_STATUSES)
def test_nobody_else_may(status: OrderStatus) -> None:
    with pytest.raises(NotTheBuyer):
        rules.check_may_pay(payable(status=status), STRANGER, NOW)


@pytest.mark.parametrize("expires_at", [EXPIRED, SOON])
def test_a_cancelled_order_can_not_be_paid_for(expires_at: datetime) -> None:
    with pytest.raises(OrderCancelled):
        rules.check_may_pay(payable(status="cancelled", expires_at=expires_at), BUYER, NOW)


@pytest.mark.parametrize("status", ["created", "awaiting:payment"])
@pytest.mark.parametrize("expires_at", [EXPIRED, NOW])
def test_an_order_whose_time_is_over_can_not_be_paid_for(status: OrderStatus, expires_at: datetime) -> None:
    with pytest.raises(OrderExpired):
        rules.check_may_pay(payable(status=status, expires_at=expires_at), BUYER, NOW)


def test_a_second_click_on_a_paid_order_is_not_refused_however_late() -> None:
    rules.check_may_pay(payable(status="complete", expires_at=EXPIRED), BUYER, NOW)


# --- What to do next ---

TABLE: dict[tuple[PaymentStatus, OrderStatus], Step] = {
    ("pending", "created"): Step.CREATE,
    ("pending", "awaiting:payment"): Step.CREATE,
    ("pending", "complete"): Step.CREATE,
    ("pending", "cancelled"): Step.ABANDON,
    ("failed", "created"): Step.WAIT,
    ("failed", "awaiting:payment"): Step.WAIT,
    ("failed", "complete"): Step.WAIT,
    ("failed", "cancelled"): Step.ABANDON,
    ("authorized", "created"): Step.WAIT,
    ("authorized", "awaiting:payment"): Step.WAIT,
    ("authorized", "complete"): Step.CAPTURE,
    ("authorized", "cancelled"): Step.VOID,
    ("captured", "created"): Step.WAIT,
    ("captured", "awaiting:payment"): Step.WAIT,
    ("captured", "complete"): Step.WAIT,
    ("captured", "cancelled"): Step.REFUND,
    ("voided", "created"): Step.WAIT,
    ("voided", "awaiting:payment"): Step.WAIT,
    ("voided", "complete"): Step.WAIT,
    ("voided", "cancelled"): Step.WAIT,
    ("refunded", "created"): Step.WAIT,
    ("refunded", "awaiting:payment"): Step.WAIT,
    ("refunded", "complete"): Step.WAIT,
    ("refunded", "cancelled"): Step.WAIT,
}


@pytest.mark.parametrize(("paid", "ordered"), list(product(PAYMENT_STATUSES, ORDER_STATUSES)))
def test_there_is_a_next_step_for_every_payment_of_every_order(
    paid: PaymentStatus, ordered: OrderStatus
) -> None:
    """Before Stripe knows of it, where that matters."""
    assert rules.next_step(payable(status=ordered), payment(status=paid), NOW) is TABLE[paid, ordered]


@given(situations)
def test_the_next_step_is_defined_whatever_is_known(situation: tuple[Payable, PaymentState]) -> None:
    assert isinstance(rules.next_step(*situation, NOW), Step)


@given(situations)
def test_money_is_taken_only_for_a_complete_order(situation: tuple[Payable, PaymentState]) -> None:
    order, paid = situation
    captures = rules.next_step(order, paid, NOW) is Step.CAPTURE
    assert captures == (order.status == "complete" and paid.status == "authorized")


@given(situations)
def test_nothing_stays_held_or_taken_for_a_cancelled_order(situation: tuple[Payable, PaymentState]) -> None:
    order, paid = situation
    cancelled = order.model_copy(update={"status": "cancelled"})
    step = rules.next_step(cancelled, paid, NOW)
    if paid.status in ("voided", "refunded"):
        assert step is Step.WAIT
    elif paid.status == "captured":
        assert step is Step.REFUND
    elif paid.status == "authorized" or paid.intent_id:
        assert step is Step.VOID
    else:
        assert step is Step.ABANDON


@given(situations)
def test_money_goes_back_only_for_a_cancelled_order(situation: tuple[Payable, PaymentState]) -> None:
    order, paid = situation
    if order.status != "cancelled":
        given_back = {Step.VOID, Step.REFUND, Step.ABANDON}
        assert rules.next_step(order, paid, NOW) not in given_back


@given(situations)
def test_no_card_is_asked_once_the_time_to_pay_is_over(situation: tuple[Payable, PaymentState]) -> None:
    order, paid = situation
    expired = order.model_copy(update={"expires_at": NOW})
    if order.status != "complete":
        assert rules.next_step(expired, paid, NOW) not in {Step.CREATE, Step.CONFIRM}


@given(situations)
def test_only_what_stripe_knows_is_confirmed_or_voided_there(situation: tuple[Payable, PaymentState]) -> None:
    order, paid = situation
    if paid.intent_id is None and paid.status in ("pending", "failed"):
        assert rules.next_step(order, paid, NOW) not in {Step.CONFIRM, Step.VOID, Step.CAPTURE, Step.REFUND}


def test_an_intent_is_made_first_and_confirmed_then() -> None:
    assert rules.next_step(payable(), payment(), NOW) is Step.CREATE
    assert rules.next_step(payable(), payment(intent_id="pi_1"), NOW) is Step.CONFIRM


def test_while_the_bank_asks_the_buyer_we_look() -> None:
    asked = payment(intent_id="pi_1", action_url="https://bank.example/check")
    assert rules.next_step(payable(), asked, NOW) is Step.LOOK
    assert rules.next_step(payable(expires_at=EXPIRED), asked, NOW) is Step.LOOK


# --- What an answer makes of it ---


def test_an_outcome_is_learned_with_its_words() -> None:
    changes = rules.learn(payment(), outcome("failed", decline_message="Not enough money."), 1)
    assert changes == {"status": "failed", "decline_message": "Not enough money.", "action_url": None}


def test_hearing_the_same_again_changes_nothing() -> None:
    known = payment(status="failed", decline_message="Not enough money.")
    assert rules.learn(known, outcome("failed", decline_message="Not enough money."), 1) is None


@pytest.mark.parametrize("heard", ["pending", "failed"])
def test_a_late_answer_about_an_earlier_attempt_changes_nothing(heard: PaymentStatus) -> None:
    assert rules.learn(payment(attempt=2), outcome(heard, decline_message="Declined."), 1) is None


@pytest.mark.parametrize("heard", ["authorized", "captured", "voided"])
def test_money_that_moved_is_learned_whichever_attempt_asked(heard: PaymentStatus) -> None:
    changes = rules.learn(payment(attempt=2), outcome(heard), 1)
    assert changes is not None
    assert changes["status"] == heard


@pytest.mark.parametrize("known", OVER)
@pytest.mark.parametrize("heard", ["pending", "failed", "authorized"])
def test_a_late_answer_does_not_reopen_a_payment_that_is_over(
    known: PaymentStatus, heard: PaymentStatus
) -> None:
    assert rules.learn(payment(status=known), outcome(heard), 1) is None


@pytest.mark.parametrize("heard", PAYMENT_STATUSES)
def test_a_refund_is_the_end(heard: PaymentStatus) -> None:
    assert rules.learn(payment(status="refunded"), outcome(heard), 1) is None


@pytest.mark.parametrize(("known", "heard"), [("captured", "voided"), ("voided", "captured")])
def test_what_is_over_ends_only_as_a_refund(known: PaymentStatus, heard: PaymentStatus) -> None:
    assert rules.learn(payment(status=known), outcome(heard), 1) is None
    changes = rules.learn(payment(status=known), outcome("refunded"), 1)
    assert changes is not None
    assert changes["status"] == "refunded"


def test_within_an_attempt_a_decline_is_not_taken_back() -> None:
    asked = outcome("pending", action_url="https://bank.example/check")
    assert rules.learn(payment(status="failed"), asked, 1) is None


@pytest.mark.parametrize("status", PAYMENT_STATUSES)
def test_only_what_stripe_was_not_told_of_is_abandoned(status: PaymentStatus) -> None:
    assert rules.abandon(payment(status=status, intent_id="pi_1")) is None
    unknown = rules.abandon(payment(status=status))
    assert unknown == (None if status == "voided" else {"status": "voided"})


@given(st.lists(st.tuples(outcomes, st.integers(1, 3)), max_size=8), st.integers(1, 3))
def test_whatever_is_heard_in_whatever_order_a_payment_never_goes_back(
    heard: list[tuple[Outcome, int]], attempt: int
) -> None:
    state = payment(attempt=attempt)
    for answer, asked_in in heard:
        changes = rules.learn(state, answer, asked_in)
        before, state = state, state.model_copy(update=dict(changes or {}))
        assert RANK[state.status] >= RANK[before.status]
        assert changes is None or state != before
        assert rules.learn(state, answer, asked_in) is None


@pytest.mark.parametrize(("amount", "currency"), [(1998, "usd"), (2000, "usd"), (1999, "eur")])
def test_what_stripe_holds_has_to_be_the_price(amount: int, currency: str) -> None:
    assert rules.matches(payment(), outcome("authorized"))
    assert not rules.matches(payment(), outcome("authorized", amount=amount, currency=currency))


# --- Another try, and none ---


def test_after_a_decline_the_buyer_tries_another_card_under_another_number() -> None:
    declined = payment(status="failed", attempt=2, intent_id="pi_1", decline_message="Declined.")
    changes = rules.try_again(declined, "tok_mastercard")
    assert changes is not None
    again = declined.model_copy(update=dict(changes))
    assert again == payment(status="pending", attempt=3, intent_id="pi_1", token="tok_mastercard")


@pytest.mark.parametrize("status", [status for status in PAYMENT_STATUSES if status != "failed"])
def test_a_second_click_begins_nothing(status: PaymentStatus) -> None:
    assert rules.try_again(payment(status=status), "tok_mastercard") is None
