from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import DisputeStatus, OrderStatus, PaymentStatus
from services.payments import attempts, refunds, rules
from services.payments.money_back import Dispute, Refund, RefundStatus
from services.payments.rules import (
    NotTheBuyer,
    OrderCancelled,
    OrderExpired,
    Outcome,
    Payable,
    PaymentState,
    Step,
)
from tests.unit.rules.builders import BUYER, NOW, SOON, STRANGER, outcome, payable, payment

EXPIRED = NOW - timedelta(seconds=1)
IN_AN_HOUR = NOW + timedelta(hours=1)

PAYMENT_STATUSES: tuple[PaymentStatus, ...] = get_args(PaymentStatus.__value__)
ORDER_STATUSES: tuple[OrderStatus, ...] = get_args(OrderStatus.__value__)
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
        page_expires_at=st.sampled_from([None, EXPIRED, IN_AN_HOUR]),
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
    refunds=st.lists(
        st.builds(
            Refund,
            id=st.sampled_from(["re_1", "re_2"]),
            amount=st.sampled_from([999, 1000, 1999]),
            status=st.sampled_from(get_args(RefundStatus)),
        ),
        max_size=2,
    ),
    disputes=st.lists(
        st.builds(
            Dispute,
            id=st.just("du_1"),
            amount=st.just(1999),
            status=st.sampled_from(get_args(DisputeStatus.__value__)),
        ),
        max_size=1,
    ),
)


# --- Which orders can be paid for ---


@pytest.mark.parametrize("status", ["created", "awaiting:payment"])
def test_the_buyer_may_pay_for_a_live_order(status: OrderStatus) -> None:
    rules.check_may_pay(payable(status=status), BUYER, NOW)


@pytest.mark.parametrize("status", ORDER_STATUSES)
def test_only_the_buyer_may_pay_for_an_order(status: OrderStatus) -> None:
    with pytest.raises(NotTheBuyer):
        rules.check_may_pay(payable(status=status), STRANGER, NOW)


@pytest.mark.parametrize("expires_at", [EXPIRED, SOON])
def test_a_cancelled_order_cannot_be_paid_for(expires_at: datetime) -> None:
    with pytest.raises(OrderCancelled):
        rules.check_may_pay(payable(status="cancelled", expires_at=expires_at), BUYER, NOW)


@pytest.mark.parametrize("status", ["created", "awaiting:payment"])
@pytest.mark.parametrize("expires_at", [EXPIRED, NOW])
def test_an_expired_order_cannot_be_paid_for(status: OrderStatus, expires_at: datetime) -> None:
    with pytest.raises(OrderExpired):
        rules.check_may_pay(payable(status=status, expires_at=expires_at), BUYER, NOW)


@pytest.mark.parametrize("status", ["complete", "refunded"])
def test_paying_again_for_a_paid_order_is_not_refused_after_its_deadline(status: OrderStatus) -> None:
    rules.check_may_pay(payable(status=status, expires_at=EXPIRED), BUYER, NOW)


@pytest.mark.parametrize("starts_at", [EXPIRED, NOW])
def test_an_event_has_begun_from_its_start_on(starts_at: datetime) -> None:
    assert payable(starts_at=starts_at).has_begun(NOW)


def test_an_event_in_the_future_or_without_a_date_has_not_begun() -> None:
    assert not payable(starts_at=SOON).has_begun(NOW)
    assert not payable().has_begun(NOW)


def test_an_open_page_is_closed_after_the_start_if_nobody_may_pay_then() -> None:
    begun, page = payable(starts_at=NOW), payment(token=None, session_id="cs_1")
    assert rules.next_step(begun, page, NOW, pay_after_start=False) is Step.CLOSE
    assert rules.next_step(begun, page, NOW) is Step.RETRIEVE
    for other in (payable(starts_at=SOON), payable(), payable(starts_at=NOW, status="complete")):
        assert rules.next_step(other, page, NOW, pay_after_start=False) is Step.RETRIEVE


@pytest.mark.parametrize(
    "started",
    [
        payment(),
        payment(intent_id="pi_1"),
        payment(intent_id="pi_1", bank_check=True),
        payment(token=None, session_id="cs_1", bank_check=True),
    ],
)
def test_a_payment_that_was_started_before_the_start_continues_after_it(started: PaymentState) -> None:
    begun = payable(starts_at=NOW)
    step = rules.next_step(begun, started, NOW, pay_after_start=False)
    assert step is rules.next_step(payable(), started, NOW)


def test_no_other_card_can_be_tried_after_the_start() -> None:
    with pytest.raises(attempts.EventBegun):
        attempts.retry(payment(status="failed"), "tok_visa", is_too_late=True)
    for status in ("pending", "authorized", "captured", "refunded"):
        assert attempts.retry(payment(status=status), "tok_visa", is_too_late=True) is None


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
    # An order is refunded only after its payment was, so most of these pairs can't occur.
    ("pending", "refunded"): Step.ABANDON,
    ("failed", "refunded"): Step.ABANDON,
    ("authorized", "refunded"): Step.VOID,
    ("captured", "refunded"): Step.REFUND,
    ("voided", "refunded"): Step.WAIT,
    ("refunding", "refunded"): Step.REFUND,
    ("refunded", "refunded"): Step.WAIT,
}


@pytest.mark.parametrize(("paid", "ordered"), list(product(PAYMENT_STATUSES, ORDER_STATUSES)))
def test_the_next_step_is_defined_for_every_status_of_a_payment_and_its_order(
    paid: PaymentStatus, ordered: OrderStatus
) -> None:
    """The payments have no PaymentIntent at Stripe yet."""
    assert rules.next_step(payable(status=ordered), payment(status=paid), NOW) is TABLE[paid, ordered]


@given(situations)
def test_the_next_step_is_defined_in_every_situation(situation: tuple[Payable, PaymentState]) -> None:
    assert isinstance(rules.next_step(*situation, NOW), Step)


@given(situations)
def test_a_payment_is_captured_only_for_a_complete_order(situation: tuple[Payable, PaymentState]) -> None:
    order, paid = situation
    captures = rules.next_step(order, paid, NOW) is Step.CAPTURE
    assert captures == (order.status == "complete" and paid.status == "authorized")


@given(situations)
def test_every_payment_of_a_cancelled_order_is_voided_closed_abandoned_or_refunded(
    situation: tuple[Payable, PaymentState],
) -> None:
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
    elif paid.at_checkout and paid.page_expires_at == IN_AN_HOUR:
        assert step is Step.OPEN
    elif paid.intent_id:
        assert step is Step.VOID
    else:
        assert step is Step.ABANDON


@given(situations)
def test_a_payment_is_voided_or_refunded_only_if_its_order_ended_or_a_refund_was_requested(
    situation: tuple[Payable, PaymentState],
) -> None:
    order, paid = situation
    if order.status not in ENDED and paid.status != "refunding":
        reversing_steps = {Step.VOID, Step.CLOSE, Step.REFUND, Step.ABANDON}
        assert rules.next_step(order, paid, NOW) not in reversing_steps


@given(situations)
def test_no_payment_is_started_or_confirmed_for_an_expired_order(
    situation: tuple[Payable, PaymentState],
) -> None:
    order, paid = situation
    expired = order.model_copy(update={"expires_at": NOW})
    if order.status in ("created", "awaiting:payment"):
        assert rules.next_step(expired, paid, NOW) not in {Step.CREATE, Step.CONFIRM, Step.OPEN}


@given(situations)
def test_only_intents_and_sessions_that_exist_at_stripe_are_changed_there(
    situation: tuple[Payable, PaymentState],
) -> None:
    order, paid = situation
    if paid.intent_id is None and paid.status in ("pending", "failed"):
        assert rules.next_step(order, paid, NOW) not in {Step.CONFIRM, Step.VOID, Step.CAPTURE, Step.REFUND}
    if paid.session_id is None:
        assert rules.next_step(order, paid, NOW) is not Step.CLOSE


@given(situations)
def test_card_payments_open_no_checkout_page_and_checkout_payments_confirm_no_card(
    situation: tuple[Payable, PaymentState],
) -> None:
    step = rules.next_step(*situation, NOW)
    if situation[1].at_checkout:
        assert step not in {Step.CREATE, Step.CONFIRM}
    else:
        assert step is not Step.OPEN


@pytest.mark.parametrize("left", [timedelta(minutes=-1), timedelta(minutes=31)])
def test_a_lost_checkout_page_is_opened_again_to_close_it_unless_it_expires_soon(left: timedelta) -> None:
    """Opening the page again with the same idempotency key returns the session to close."""
    lost = payment(token=None, page_expires_at=NOW + left)
    assert rules.next_step(payable(status="cancelled"), lost, NOW) is Step.ABANDON
    lost = payment(token=None, page_expires_at=IN_AN_HOUR)
    assert rules.next_step(payable(status="cancelled"), lost, NOW) is Step.OPEN


def test_a_checkout_page_is_opened_once_and_then_read() -> None:
    assert rules.next_step(payable(), payment(token=None), NOW) is Step.OPEN
    for deadline in (SOON, EXPIRED):
        opened = payment(token=None, session_id="cs_1")
        assert rules.next_step(payable(expires_at=deadline), opened, NOW) is Step.RETRIEVE


def test_an_intent_is_created_first_and_then_confirmed() -> None:
    assert rules.next_step(payable(), payment(), NOW) is Step.CREATE
    assert rules.next_step(payable(), payment(intent_id="pi_1"), NOW) is Step.CONFIRM


def test_an_intent_is_read_during_a_bank_check() -> None:
    checking = payment(intent_id="pi_1", bank_check=True, action_url="https://bank.example/check")
    assert rules.next_step(payable(), checking, NOW) is Step.RETRIEVE
    assert rules.next_step(payable(expires_at=EXPIRED), checking, NOW) is Step.RETRIEVE


# --- What an outcome changes ---


def test_a_decline_is_stored_with_its_code_and_message() -> None:
    declined = outcome("failed", decline_code="insufficient_funds", decline_message="Not enough money.")
    changes = rules.apply_outcome(payment(), declined, 1)
    assert changes is not None
    known = payment().model_copy(update=dict(changes))
    reason = {"decline_code": "insufficient_funds", "decline_message": "Not enough money."}
    assert known == payment(status="failed", intent_id="pi_1", **reason)


def test_a_repeated_outcome_changes_nothing() -> None:
    known = payment(status="failed", intent_id="pi_1", decline_message="Not enough money.")
    assert rules.apply_outcome(known, outcome("failed", decline_message="Not enough money."), 1) is None


@pytest.mark.parametrize("received", ["pending", "failed"])
def test_a_late_outcome_of_an_earlier_attempt_changes_nothing(received: PaymentStatus) -> None:
    assert rules.apply_outcome(payment(attempt=2), outcome(received, decline_message="Declined."), 1) is None


@pytest.mark.parametrize("received", ["authorized", "captured", "voided"])
def test_an_authorization_capture_or_void_of_an_earlier_attempt_is_applied(received: PaymentStatus) -> None:
    changes = rules.apply_outcome(payment(attempt=2), outcome(received), 1)
    assert changes is not None
    assert changes["status"] == received


@pytest.mark.parametrize("known", OVER)
@pytest.mark.parametrize("received", ["pending", "failed", "authorized"])
def test_a_late_outcome_does_not_reopen_a_payment_in_a_final_status(
    known: PaymentStatus, received: PaymentStatus
) -> None:
    assert rules.apply_outcome(payment(status=known), outcome(received), 1) is None


@pytest.mark.parametrize("received", [status for status in PAYMENT_STATUSES if status != "captured"])
def test_only_a_captured_outcome_changes_a_refunded_payment(received: PaymentStatus) -> None:
    assert rules.apply_outcome(payment(status="refunded", intent_id="pi_1"), outcome(received), 1) is None


def refund(status: RefundStatus, amount: int = 1999, id_: str = "re_1") -> Refund:
    return Refund(id=id_, amount=amount, status=status)


def dispute(status: DisputeStatus, amount: int = 1999) -> Dispute:
    return Dispute(id="du_1", amount=amount, status=status)


def after(before: PaymentState, *, refunds: Sequence[Refund] = (), **found: Any) -> PaymentState:
    """The payment after an outcome that shows it as captured at Stripe."""
    shown = outcome("captured", refunds=refunds, **found)
    return before.model_copy(update=dict(rules.apply_outcome(before, shown, before.attempt) or {}))


def captured(**fields: Any) -> PaymentState:
    return payment(**{"status": "captured", "intent_id": "pi_1", **fields})


@pytest.mark.parametrize("status", ["captured", "refunding"])
def test_a_payment_is_refunded_when_its_successful_refunds_add_up_to_its_amount(
    status: PaymentStatus,
) -> None:
    paid = captured(status=status)
    halves = [refund("succeeded", 1000), refund("succeeded", 999, "re_2")]
    assert after(paid, refunds=halves).status == "refunded"
    assert after(paid, refunds=halves).refunded_amount == 1999
    assert after(paid, refunds=halves[:1]).status == status
    assert after(paid, refunds=halves[:1]).refunded_amount == 1000
    assert after(paid, refunds=[halves[0], refund("pending", 999, "re_2")]).status == status


def test_a_refund_that_failed_after_its_success_waits_for_an_operator() -> None:
    refunded = after(captured(status="refunding"), refunds=[refund("succeeded")])
    failed = after(refunded, refunds=[refund("failed")])
    assert (failed.status, failed.refund_failed, failed.refunded_amount) == ("refunding", True, 0)
    assert rules.next_step(payable(status="refunded"), failed, NOW) is Step.WAIT
    assert after(failed, refunds=[refund("succeeded")]) == failed  # an outdated read


def test_an_operator_can_try_a_failed_refund_again_but_only_once_for_each_failure() -> None:
    failed = after(captured(status="refunding"), refunds=[refund("failed")])
    assert refunds.refund(failed, relist=False, now=NOW) is None
    changes = refunds.refund(failed, relist=False, again=True, now=NOW)
    assert changes is not None
    again = failed.model_copy(update=dict(changes))
    assert rules.next_step(payable(status="complete"), again, NOW) is Step.REFUND
    assert refunds.refund(again, relist=False, again=True, now=NOW) is None
    both = [refund("failed"), refund("failed", id_="re_2")]
    assert after(again, refunds=both).refund_failed
    assert after(again, refunds=[both[0], refund("succeeded", id_="re_2")]).status == "refunded"


def test_an_operator_can_record_that_the_money_was_returned_only_if_the_refund_failed() -> None:
    partly = [refund("succeeded", 500), refund("failed", 1499, "re_2")]
    failed = after(captured(status="refunding"), refunds=partly)
    changes = refunds.returned(failed, relist=True)
    assert changes is not None
    done = failed.model_copy(update=dict(changes))
    assert (done.status, done.refunded_amount, done.relist) == ("refunded", 1999, True)
    assert refunds.returned(done, relist=False) is None
    assert after(done, refunds=partly) == done
    for other in (captured(), captured(status="refunding")):
        with pytest.raises(refunds.RefundNotFailed):
            refunds.returned(other, relist=False)


def test_nothing_is_refunded_while_a_refund_is_pending_or_has_failed() -> None:
    waiting = after(captured(status="refunding"), refunds=[refund("pending")])
    assert not waiting.refund_failed
    assert rules.next_step(payable(status="complete"), waiting, NOW) is Step.REFUND  # which only reads
    failed = after(captured(), refunds=[refund("failed")])
    assert rules.next_step(payable(status="cancelled"), failed, NOW) is Step.WAIT


def test_a_lost_dispute_returns_the_money_to_the_buyer() -> None:
    open_ = after(captured(), disputes=[dispute("open")])
    assert (open_.status, open_.dispute, open_.refunded_amount) == ("captured", "open", 0)
    lost = after(open_, disputes=[dispute("lost")])
    assert (lost.status, lost.dispute, lost.refunded_amount) == ("refunded", "lost", 1999)
    won = after(open_, disputes=[dispute("won")])
    assert (won.status, won.dispute, won.refunded_amount) == ("captured", "won", 0)
    assert after(won, disputes=[dispute("open")]) == won  # an outdated read


@pytest.mark.parametrize("status", ["open", "lost"])
def test_a_disputed_payment_is_not_refunded(status: DisputeStatus) -> None:
    disputed = after(captured(amount=5000), disputes=[dispute(status)], amount=5000)
    with pytest.raises(refunds.PaymentDisputed):
        refunds.refund(disputed, relist=False, now=NOW)
    requested = disputed.model_copy(update={"status": "refunding"})
    step = rules.next_step(payable(status="complete"), requested, NOW)
    assert step is (Step.RETRIEVE if status == "open" else Step.WAIT)


def test_a_captured_outcome_does_not_change_a_payment_that_is_being_refunded() -> None:
    refunding = captured(status="refunding")
    assert rules.apply_outcome(refunding, outcome("captured"), 1) is None


@pytest.mark.parametrize(("known", "received"), [("captured", "voided"), ("voided", "captured")])
def test_a_captured_or_voided_payment_can_only_become_refunded(
    known: PaymentStatus, received: PaymentStatus
) -> None:
    assert rules.apply_outcome(payment(status=known), outcome(received), 1) is None
    changes = rules.apply_outcome(payment(status=known), outcome("refunded"), 1)
    assert changes is not None
    assert changes["status"] == "refunded"


def test_a_pending_outcome_does_not_undo_a_decline_of_the_same_attempt() -> None:
    asked = outcome("pending", action_url="https://bank.example/check")
    assert rules.apply_outcome(payment(status="failed"), asked, 1) is None


@pytest.mark.parametrize("status", PAYMENT_STATUSES)
def test_only_a_payment_without_an_intent_or_a_session_is_abandoned(status: PaymentStatus) -> None:
    assert attempts.abandon(payment(status=status, intent_id="pi_1")) is None
    abandoned = attempts.abandon(payment(status=status))
    assert abandoned == (None if status == "voided" else {"status": "voided"})
    assert attempts.abandon(payment(status=status, session_id="cs_1")) is None


@given(st.lists(st.tuples(outcomes, st.integers(1, 3)), max_size=8), st.integers(1, 3))
def test_outcomes_in_any_order_never_lower_the_rank_of_a_payment(
    received: list[tuple[Outcome, int]], attempt: int
) -> None:
    state = payment(attempt=attempt)
    for latest, from_attempt in received:
        changes = rules.apply_outcome(state, latest, from_attempt)
        before, state = state, state.model_copy(update=dict(changes or {}))
        refund_failed = (before.status, state.status) == ("refunded", "refunding")
        assert refund_failed or RANK[state.status] >= RANK[before.status]
        assert changes is None or state != before
        assert rules.apply_outcome(state, latest, from_attempt) is None


@pytest.mark.parametrize("ended", ["voided", "refunded"])
def test_the_amount_of_a_voided_or_refunded_outcome_does_not_matter(ended: PaymentStatus) -> None:
    assert rules.matches(payment(), outcome(ended, amount=1))


@pytest.mark.parametrize(("amount", "currency"), [(1998, "usd"), (2000, "usd"), (1999, "eur")])
def test_an_authorized_outcome_must_match_the_price_and_the_currency(amount: int, currency: str) -> None:
    assert rules.matches(payment(), outcome("authorized"))
    assert not rules.matches(payment(), outcome("authorized", amount=amount, currency=currency))


# --- Another attempt ---


def test_another_card_after_a_decline_is_a_new_attempt() -> None:
    declined = payment(status="failed", attempt=2, intent_id="pi_1", decline_message="Declined.")
    changes = attempts.retry(declined, "tok_mastercard")
    assert changes is not None
    again = declined.model_copy(update=dict(changes))
    assert again == payment(status="pending", attempt=3, intent_id="pi_1", token="tok_mastercard")


@pytest.mark.parametrize(
    "status", [status for status in PAYMENT_STATUSES if status not in ("failed", "voided")]
)
def test_paying_again_without_a_decline_starts_no_new_attempt(status: PaymentStatus) -> None:
    assert attempts.retry(payment(status=status), "tok_mastercard") is None


@pytest.mark.parametrize("known", [{"intent_id": "pi_1"}, {"token": None, "session_id": "pi_1"}])
@pytest.mark.parametrize("token", [None, "tok_mastercard"])
def test_an_attempt_after_one_that_ended_at_stripe_creates_a_new_object_there(
    known: dict[str, Any], token: str | None
) -> None:
    over = payment(status="voided", attempt=2, page_url="https://stripe.example/pay", **known)
    changes = attempts.retry(over, token, page_expires_at=IN_AN_HOUR)
    assert changes is not None
    again = over.model_copy(update=dict(changes))
    assert again == payment(token=token, attempt=3, page_expires_at=IN_AN_HOUR, ended=["pi_1"])
    assert rules.next_step(payable(), again, NOW) is (Step.CREATE if token else Step.OPEN)


@given(outcomes, st.integers(1, 3), st.sampled_from(PAYMENT_STATUSES))
def test_an_outcome_of_an_ended_attempt_never_changes_a_later_one(
    late: Outcome, attempt: int, status: PaymentStatus
) -> None:
    again = payment(status=status, attempt=3, intent_id="pi_2", ended=["pi_1"])
    assert rules.apply_outcome(again, late, attempt) is None
    page = replace(late, intent_id=None, session_id="cs_1")
    assert rules.apply_outcome(again.model_copy(update={"ended": ["cs_1"]}), page, attempt) is None


def test_a_payment_declined_by_card_cannot_continue_at_checkout() -> None:
    """A Checkout page would create a second PaymentIntent for the order."""
    with pytest.raises(attempts.StartedOnAnotherPage):
        attempts.retry(payment(status="failed", intent_id="pi_1"), None)


def test_a_decline_may_belong_to_an_earlier_attempt_unless_a_bank_check_was_pending() -> None:
    declined = outcome("failed", decline_message="Declined.")
    assert rules.may_be_of_an_earlier_attempt(payment(attempt=2), declined)
    assert not rules.may_be_of_an_earlier_attempt(payment(attempt=2, bank_check=True), declined)
    assert not rules.may_be_of_an_earlier_attempt(payment(attempt=2), outcome("authorized"))


# --- Refunds ---


@pytest.mark.parametrize("relist", [False, True])
def test_a_captured_payment_is_refunded_on_request(relist: bool) -> None:
    changes = refunds.refund(payment(status="captured"), relist=relist, now=NOW)
    assert changes == {
        "status": "refunding",
        "relist": relist,
        "refund_requested_at": NOW,
        "refund_attempts": 1,
    }


@pytest.mark.parametrize("status", ["refunding", "refunded"])
def test_repeating_a_refund_request_changes_nothing(status: PaymentStatus) -> None:
    for known in (False, True):
        assert refunds.refund(payment(status=status, relist=known), relist=False, now=NOW) is None
    assert refunds.refund(payment(status=status, relist=True), relist=True, now=NOW) is None


@pytest.mark.parametrize("status", ["refunding", "refunded"])
def test_relisting_can_be_requested_after_the_refund(status: PaymentStatus) -> None:
    assert refunds.refund(payment(status=status), relist=True, now=NOW) == {"relist": True}


@pytest.mark.parametrize("status", ["pending", "failed", "authorized", "voided"])
def test_a_payment_that_was_not_captured_cannot_be_refunded(status: PaymentStatus) -> None:
    with pytest.raises(refunds.NotCaptured):
        refunds.refund(payment(status=status), relist=False, now=NOW)


# --- Checkout pages ---


@pytest.mark.parametrize("left", [timedelta(minutes=-5), timedelta(0), timedelta(hours=1), timedelta(days=1)])
def test_a_checkout_page_outlives_its_order_and_stays_within_stripes_limits(left: timedelta) -> None:
    until = attempts.page_expires_at(payable(expires_at=NOW + left), NOW)
    assert timedelta(minutes=30) < until - NOW < timedelta(hours=24)
    assert until > NOW + min(left, timedelta(hours=22))
