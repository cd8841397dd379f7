"""Reported problems: until when they are reported and answered, and what an operator may decide."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import ServiceError
from services.orders import delivery, problems, rules
from services.orders.rules import OrderState
from tests.unit.rules.builders import BUYER, NOW, SELLER, STRANGER, order

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TICK = timedelta(milliseconds=1)
START = NOW + 30 * DAY
LAST = START + 48 * HOUR


def changed(state: OrderState, changes: Any) -> OrderState:
    return state.model_copy(update=dict(changes or {}))


def paid(how: str = "seller", **special: Any) -> OrderState:
    details = {"delivery": how, "starts_at": special.pop("starts_at", START)}
    before = order(seller_id=SELLER, details=details, **special)
    changes = {**rules.move_to("complete"), "paid_at": NOW}
    return changed(before, {**changes, **delivery.follow_status(before, changes, NOW)})


def delivered(**special: Any) -> OrderState:
    return changed(paid(**special), delivery.hand_over(paid(**special), SELLER, NOW))


def reported(at: datetime = START, **special: Any) -> OrderState:
    before = delivered(**special)
    return changed(before, problems.report(before, BUYER, "invalid", "Used already", at))


def answered(**special: Any) -> OrderState:
    before = reported(**special)
    return changed(before, problems.answer(before, SELLER, "It was the only copy", START + HOUR))


def decided(state: OrderState, decision: Any, amount: int | None = None, why: str = "Proof") -> OrderState:
    return changed(state, problems.decide(state, decision, amount, why, None, START + 49 * HOUR))


# --- Reporting ---


def test_a_problem_can_be_reported_until_48_hours_after_the_start() -> None:
    state = delivered()
    assert problems.report_until(state) == LAST
    assert changed(state, problems.report(state, BUYER, "invalid", "No", LAST)).report is not None
    with pytest.raises(problems.TooLateToReport):
        problems.report(state, BUYER, "invalid", "No", LAST + TICK)


def test_who_bought_after_the_start_has_as_much_time() -> None:
    state = paid(starts_at=NOW - HOUR)
    assert problems.report_until(state) == NOW + 48 * HOUR


def test_without_a_date_a_problem_can_be_reported_until_seven_days_after_the_delivery() -> None:
    assert problems.report_until(delivered(starts_at=None)) == NOW + 7 * DAY
    assert problems.report_until(paid(starts_at=None)) == NOW + 30 * DAY


def test_only_the_buyer_reports() -> None:
    with pytest.raises(rules.NotTheBuyer):
        problems.report(delivered(), STRANGER, "invalid", "No", START)


@pytest.mark.parametrize(
    "state", [order(seller_id=SELLER), paid().model_copy(update={"status": "refunded"})], ids=str
)
def test_only_a_paid_order_can_be_reported(state: OrderState) -> None:
    with pytest.raises(problems.NothingToReport):
        problems.report(state, BUYER, "invalid", "No", NOW)


def test_an_order_whose_delivery_failed_is_refunded_without_a_report() -> None:
    state = paid("promised")
    failed = changed(state, delivery.pass_time(state, NOW + 2 * DAY))
    with pytest.raises(problems.NothingToReport):
        problems.report(failed, BUYER, "not-received", "No", NOW + 2 * DAY)


def test_a_promised_ticket_isnt_missing_before_its_deadline() -> None:
    with pytest.raises(problems.NotDueYet):
        problems.report(paid("promised"), BUYER, "not-received", "Where is it?", NOW)
    assert problems.report(paid("seller"), BUYER, "not-received", "Where is it?", NOW)


def test_a_repeated_report_changes_nothing_and_another_one_is_refused() -> None:
    state = reported()
    assert problems.report(state, BUYER, "invalid", "Used already", LAST + DAY) is None
    with pytest.raises(problems.ProblemReported):
        problems.report(state, BUYER, "not-received", "Used already", START)


def test_a_reported_delivery_isnt_confirmed_by_itself_until_the_report_is_rejected() -> None:
    state = reported()
    assert delivery.pass_time(state, LAST + 9 * DAY) is None
    rejected = decided(state, "reject")
    assert changed(rejected, delivery.pass_time(rejected, START + 50 * HOUR)).delivery == "confirmed"


def test_a_delivery_after_the_report_isnt_confirmed_by_itself_either() -> None:
    due = paid()
    reported_before = changed(due, problems.report(due, BUYER, "not-received", "Nothing came", START))
    state = changed(reported_before, delivery.hand_over(reported_before, SELLER, START + HOUR))
    assert state.delivery == "delivered"
    assert delivery.pass_time(state, LAST + 9 * DAY) is None
    rejected = decided(state, "reject")
    assert changed(rejected, delivery.pass_time(rejected, START + 50 * HOUR)).delivery == "confirmed"


# --- Answering ---


def test_the_seller_answers_once_and_a_repetition_changes_nothing() -> None:
    state = answered()
    assert state.report is not None
    assert (state.report.state, state.report.answer) == ("answered", "It was the only copy")
    assert problems.answer(state, SELLER, "It was the only copy", START + 90 * DAY) is None
    with pytest.raises(problems.NothingToAnswer):
        problems.answer(state, SELLER, "And another thing", START + HOUR)


def test_nobody_else_answers_and_nobody_answers_without_a_report() -> None:
    with pytest.raises(delivery.NotTheSeller):
        problems.answer(reported(), BUYER, "No", START)
    with pytest.raises(problems.NothingToAnswer):
        problems.answer(delivered(), SELLER, "No", START)


def test_an_answer_takes_at_most_48_hours() -> None:
    state = reported(START)
    late = START + 48 * HOUR + TICK
    assert problems.answer(state, SELLER, "Here", START + 48 * HOUR)
    with pytest.raises(problems.TooLateToAnswer):
        problems.answer(state, SELLER, "Here", late)
    assert state.report is not None
    assert problems.is_unanswered(state.report, late)
    assert not problems.is_unanswered(state.report, START)


# --- Deciding ---


def test_a_full_refund_returns_what_is_left_of_the_price() -> None:
    state = decided(answered(), "refund")
    assert state.report is not None
    assert (state.report.state, state.report.refund_minor, state.refund_due_minor) == ("refunded", 1999, 1999)
    assert not state.report_open
    partly = decided(answered(refunded_minor=500), "refund")
    assert partly.report is not None
    assert (partly.report.refund_minor, partly.refund_due_minor) == (1499, 1999)


def test_a_partial_refund_adds_to_what_the_buyer_got_back() -> None:
    state = decided(answered(refunded_minor=500), "partial-refund", 300)
    assert state.report is not None
    assert (state.report.state, state.report.refund_minor) == ("partly-refunded", 300)
    assert state.refund_due_minor == 800


@pytest.mark.parametrize("amount", [0, -1, 1999, 5000, None])
def test_a_partial_refund_is_less_than_the_price(amount: int | None) -> None:
    with pytest.raises(problems.AmountNotAllowed):
        decided(answered(), "partial-refund", amount)


def test_a_rejection_returns_nothing() -> None:
    state = decided(answered(), "reject")
    assert state.report is not None
    assert (state.report.state, state.refund_due_minor, state.report_open) == ("rejected", 0, False)


def test_an_operator_waits_for_the_answer_or_its_deadline() -> None:
    state = reported(START)
    with pytest.raises(problems.TooEarlyToDecide):
        problems.decide(state, "refund", None, "Why", "open", START + 48 * HOUR)
    assert problems.decide(state, "refund", None, "Why", "open", START + 48 * HOUR + TICK)
    assert problems.decide(answered(), "refund", None, "Why", "answered", START + HOUR)


def test_an_operator_who_hasnt_read_the_answer_decides_nothing() -> None:
    with pytest.raises(problems.AnsweredMeanwhile):
        problems.decide(answered(), "refund", None, "Why", "open", START + 49 * HOUR)


def test_a_second_decision_is_refused_and_a_repeated_one_changes_nothing() -> None:
    state = decided(answered(), "reject")
    assert problems.decide(state, "reject", None, "Proof", None, START + 50 * HOUR) is None
    for decision, why in (("refund", "Proof"), ("reject", "Another reason")):
        with pytest.raises(problems.ProblemDecided, match="rejected"):
            decided(state, decision, why=why)


def test_nothing_is_decided_without_a_report() -> None:
    with pytest.raises(problems.NothingToDecide):
        decided(delivered(), "reject")


@pytest.mark.parametrize("dispute", ["open", "lost"])
def test_the_bank_decides_about_a_disputed_payment(dispute: str) -> None:
    with pytest.raises(problems.DisputedAtBank):
        decided(answered(dispute=dispute), "refund")
    assert not decided(answered(dispute=dispute), "reject").report_open


def test_a_refund_for_another_reason_ends_the_report() -> None:
    state = reported()
    changes = {**rules.move_to("refunded"), "refunded_minor": 1999}
    ended = changed(state, {**changes, **problems.follow_status(state, changes, LAST)})
    assert ended.report is not None
    assert (ended.report.state, ended.report_open, ended.report.decided_at) == ("refunded", False, LAST)
    assert problems.follow_status(decided(state, "reject"), changes, LAST) == {}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["report", "answer", "refund", "partial-refund", "reject"]), st.integers(0, 120)
    ),
    max_size=12,
)


@given(STEPS)
def test_whatever_happens_a_report_is_decided_at_most_once_and_never_returns_more_than_the_price(
    steps: list[tuple[str, int]],
) -> None:
    state, decisions = delivered(), 0
    for step, hours in steps:
        at = START + hours * HOUR
        try:
            if step == "report":
                changes = problems.report(state, BUYER, "invalid", "No", at)
            elif step == "answer":
                changes = problems.answer(state, SELLER, "Yes", at)
            else:
                amount = 700 if step == "partial-refund" else None
                changes = problems.decide(state, step, amount, "Why", None, at)  # type: ignore[arg-type]
                decisions += changes is not None
        except ServiceError:
            continue
        state = changed(state, changes)
        assert state.report_open == (state.report is not None and state.report.is_open)
    assert decisions <= 1
    assert state.refund_due_minor <= state.price_minor
