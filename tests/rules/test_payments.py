from datetime import datetime, timedelta
from itertools import product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import OrderStatus, PaymentStatus
from services.payments import rules
from services.payments.rules import (
    BegunElsewhere,
    NotCaptured,
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
SOON_AFTER = NOW + timedelta(hours=1)

PAYMENT_STATUSES: tuple[PaymentStatus, ...] = get_args(PaymentStatus)
ORDER_STATUSES: tuple[OrderStatus, ...] = get_args(OrderStatus)
OVER: tuple[PaymentStatus, ...] = ("captured", "voided", "refunding", "refunded")
ENDED: tuple[OrderStatus, ...] = ("cancelled", "refunded")

RANK: dict[PaymentStatus, int] = {
    "pending": 0,
    "failed": 1,
    "authorized": 2,
    "captured": 3,
    "voided": 3,
    "refunding": 4,
    "refunded": 5,
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
        token=st.sampled_from([None, "tok_visa"]),
        session_id=st.sampled_from([None, "cs_1"]),
        page_until=st.sampled_from([None, EXPIRED, SOON_AFTER]),
        bank_check=st.booleans(),
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
    page_url=st.sampled_from([None, "https://stripe.example/pay"]),
    bank_check=st.booleans(),
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


@pytest.mark.parametrize("status", ["complete", "refunded"])
def test_a_second_click_on_a_paid_order_is_not_refused_however_late(status: OrderStatus) -> None:
    rules.check_may_pay(payable(status=status, expires_at=EXPIRED), BUYER, NOW)


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
    ("refunding", "created"): Step.REFUND,
    ("refunding", "awaiting:payment"): Step.REFUND,
    ("refunding", "complete"): Step.REFUND,
    ("refunding", "cancelled"): Step.REFUND,
    ("refunded", "created"): Step.WAIT,
    ("refunded", "awaiting:payment"): Step.WAIT,
    ("refunded", "complete"): Step.WAIT,
    ("refunded", "cancelled"): Step.WAIT,
    # Only what was captured is refunded, so of these only the last comes about.
    ("pending", "refunded"): Step.ABANDON,
    ("failed", "refunded"): Step.ABANDON,
    ("authorized", "refunded"): Step.VOID,
    ("captured", "refunded"): Step.REFUND,
    ("voided", "refunded"): Step.WAIT,
    ("refunding", "refunded"): Step.REFUND,
    ("refunded", "refunded"): Step.WAIT,
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
    elif paid.status in ("captured", "refunding"):
        assert step is Step.REFUND
    elif paid.status == "authorized":
        assert step is Step.VOID
    elif paid.session_id:
        assert step is Step.CLOSE
    elif paid.page_until == SOON_AFTER:
        assert step is Step.OPEN
    elif paid.intent_id:
        assert step is Step.VOID
    else:
        assert step is Step.ABANDON


@given(situations)
def test_money_goes_back_only_for_an_order_that_ended_or_when_asked_to(
    situation: tuple[Payable, PaymentState],
) -> None:
    order, paid = situation
    if order.status not in ENDED and paid.status != "refunding":
        given_back = {Step.VOID, Step.CLOSE, Step.REFUND, Step.ABANDON}
        assert rules.next_step(order, paid, NOW) not in given_back


@given(situations)
def test_no_card_is_asked_once_the_time_to_pay_is_over(situation: tuple[Payable, PaymentState]) -> None:
    order, paid = situation
    expired = order.model_copy(update={"expires_at": NOW})
    if order.status in ("created", "awaiting:payment"):
        assert rules.next_step(expired, paid, NOW) not in {Step.CREATE, Step.CONFIRM, Step.OPEN}


@given(situations)
def test_only_what_stripe_knows_is_confirmed_or_voided_there(situation: tuple[Payable, PaymentState]) -> None:
    order, paid = situation
    if paid.intent_id is None and paid.status in ("pending", "failed"):
        assert rules.next_step(order, paid, NOW) not in {Step.CONFIRM, Step.VOID, Step.CAPTURE, Step.REFUND}
    if paid.session_id is None:
        assert rules.next_step(order, paid, NOW) is not Step.CLOSE


@given(situations)
def test_a_card_is_confirmed_only_on_our_page_and_a_page_is_opened_only_for_want_of_one(
    situation: tuple[Payable, PaymentState],
) -> None:
    step = rules.next_step(*situation, NOW)
    if situation[1].at_checkout:
        assert step not in {Step.CREATE, Step.CONFIRM}
    else:
        assert step is not Step.OPEN


@pytest.mark.parametrize("left", [timedelta(minutes=-1), timedelta(minutes=31)])
def test_a_page_that_may_be_open_is_closed_unless_it_is_about_to_end_by_itself(left: timedelta) -> None:
    """To close it, it has to be found: opening it again under the same key does that."""
    lost = payment(token=None, page_until=NOW + left)
    assert rules.next_step(payable(status="cancelled"), lost, NOW) is Step.ABANDON
    lost = payment(token=None, page_until=SOON_AFTER)
    assert rules.next_step(payable(status="cancelled"), lost, NOW) is Step.OPEN


def test_a_page_is_opened_once_and_looked_at_then() -> None:
    assert rules.next_step(payable(), payment(token=None), NOW) is Step.OPEN
    for deadline in (SOON, EXPIRED):
        opened = payment(token=None, session_id="cs_1")
        assert rules.next_step(payable(expires_at=deadline), opened, NOW) is Step.LOOK


def test_an_intent_is_made_first_and_confirmed_then() -> None:
    assert rules.next_step(payable(), payment(), NOW) is Step.CREATE
    assert rules.next_step(payable(), payment(intent_id="pi_1"), NOW) is Step.CONFIRM


def test_while_the_bank_asks_the_buyer_we_look() -> None:
    asked = payment(intent_id="pi_1", bank_check=True, action_url="https://bank.example/check")
    assert rules.next_step(payable(), asked, NOW) is Step.LOOK
    assert rules.next_step(payable(expires_at=EXPIRED), asked, NOW) is Step.LOOK


# --- What an answer makes of it ---


def test_an_outcome_is_learned_with_its_words() -> None:
    declined = outcome("failed", decline_code="insufficient_funds", decline_message="Not enough money.")
    changes = rules.learn(payment(), declined, 1)
    assert changes is not None
    known = payment().model_copy(update=dict(changes))
    told = {"decline_code": "insufficient_funds", "decline_message": "Not enough money."}
    assert known == payment(status="failed", intent_id="pi_1", **told)


def test_hearing_the_same_again_changes_nothing() -> None:
    known = payment(status="failed", intent_id="pi_1", decline_message="Not enough money.")
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


@pytest.mark.parametrize("heard", [status for status in PAYMENT_STATUSES if status != "captured"])
def test_a_refund_is_the_end(heard: PaymentStatus) -> None:
    assert rules.learn(payment(status="refunded", intent_id="pi_1"), outcome(heard), 1) is None


def test_a_refund_that_failed_after_all_is_asked_for_again() -> None:
    assert rules.learn(payment(status="refunded"), outcome("captured"), 1) == {"status": "refunding"}


def test_while_a_refund_is_on_its_way_its_money_is_still_captured() -> None:
    assert rules.learn(payment(status="refunding"), outcome("captured"), 1) is None


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
    assert rules.abandon(payment(status=status, session_id="cs_1")) is None


@given(st.lists(st.tuples(outcomes, st.integers(1, 3)), max_size=8), st.integers(1, 3))
def test_whatever_is_heard_in_whatever_order_a_payment_never_goes_back(
    heard: list[tuple[Outcome, int]], attempt: int
) -> None:
    state = payment(attempt=attempt)
    for answer, asked_in in heard:
        changes = rules.learn(state, answer, asked_in)
        before, state = state, state.model_copy(update=dict(changes or {}))
        asked_again = (before.status, answer.status) == ("refunded", "captured")
        assert asked_again or RANK[state.status] >= RANK[before.status]
        assert changes is None or state != before
        assert rules.learn(state, answer, asked_in) is None


@pytest.mark.parametrize("ended", ["voided", "refunded"])
def test_of_what_is_over_the_amount_does_not_matter(ended: PaymentStatus) -> None:
    assert rules.matches(payment(), outcome(ended, amount=1))


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


def test_a_card_that_was_declined_on_our_page_is_not_tried_again_on_another() -> None:
    """That would be a second PaymentIntent for one order."""
    with pytest.raises(BegunElsewhere):
        rules.try_again(payment(status="failed", intent_id="pi_1"), None)


def test_a_decline_that_is_read_while_an_answer_is_missing_may_be_an_earlier_cards() -> None:
    declined = outcome("failed", decline_message="Declined.")
    assert rules.is_of_an_earlier_attempt(payment(attempt=2), declined)
    assert not rules.is_of_an_earlier_attempt(payment(attempt=2, bank_check=True), declined)
    assert not rules.is_of_an_earlier_attempt(payment(attempt=2), outcome("authorized"))


# --- Refunds ---


@pytest.mark.parametrize("relist", [False, True])
def test_what_was_captured_is_given_back_when_asked_to(relist: bool) -> None:
    changes = rules.give_back(payment(status="captured"), relist=relist, now=NOW)
    assert changes == {"status": "refunding", "relist": relist, "refund_asked_at": NOW}


@pytest.mark.parametrize("status", ["refunding", "refunded"])
def test_asking_again_for_a_refund_changes_nothing(status: PaymentStatus) -> None:
    for known in (False, True):
        assert rules.give_back(payment(status=status, relist=known), relist=False, now=NOW) is None
    assert rules.give_back(payment(status=status, relist=True), relist=True, now=NOW) is None


@pytest.mark.parametrize("status", ["refunding", "refunded"])
def test_the_ticket_may_be_put_on_sale_after_the_refund_too(status: PaymentStatus) -> None:
    assert rules.give_back(payment(status=status), relist=True, now=NOW) == {"relist": True}


@pytest.mark.parametrize("status", ["pending", "failed", "authorized", "voided"])
def test_what_was_not_captured_is_not_refunded(status: PaymentStatus) -> None:
    with pytest.raises(NotCaptured):
        rules.give_back(payment(status=status), relist=False, now=NOW)


# --- Stripe's page ---


@pytest.mark.parametrize("left", [timedelta(minutes=-5), timedelta(0), timedelta(hours=1), timedelta(days=1)])
def test_a_page_outlives_its_order_and_fits_what_stripe_takes(left: timedelta) -> None:
    until = rules.page_until(payable(expires_at=NOW + left), NOW)
    assert timedelta(minutes=30) < until - NOW < timedelta(hours=24)
    assert until > NOW + min(left, timedelta(hours=22))
