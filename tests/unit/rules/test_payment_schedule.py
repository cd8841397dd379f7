"""When payments are looked at: the back-off by age and state, and the times that count."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.payments.rules import Payable, PaymentState
from services.payments.schedule import AFTER_DEADLINE, BEFORE_DEADLINE, Schedule

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
EVERY = Schedule(30 * SECOND)


def order(status: Any = "created", *, time_left: timedelta = 10 * HOUR, **given: Any) -> Payable:
    return Payable(
        version=0,
        status=status,
        user_id="buyer",
        price_minor=1999,
        ticket_title="Hamlet",
        expires_at=NOW + time_left,
        **given,
    )


def payment(**given: Any) -> PaymentState:
    fields = {"order_id": "o", "user_id": "buyer", "amount": 1999, "currency": "usd", "token": "tok_visa"}
    return PaymentState(**{**fields, **given})


PAGE: dict[str, Any] = {"token": None, "session_id": "cs_1"}


def delay(
    payment: PaymentState,
    of: Payable | None = None,
    *,
    age: timedelta = timedelta(),
    schedule: Schedule = EVERY,
) -> timedelta:
    return schedule.next_look(of or order(), payment, NOW, began_at=NOW - age) - NOW


@pytest.mark.parametrize(
    ("soon", "of"),
    [
        (payment(), order()),
        (payment(intent_id="pi_1"), order()),
        (payment(bank_check=True), order()),
        (payment(**PAGE, bank_check=True), order()),
        (payment(status="refunding"), order("complete")),
        (payment(**PAGE), order("cancelled")),
        (payment(status="authorized"), order("complete")),
        (payment(status="failed"), order("cancelled")),
    ],
)
def test_a_payment_with_a_step_to_take_is_looked_at_after_one_interval(
    soon: PaymentState, of: Payable
) -> None:
    assert delay(soon, of) == 30 * SECOND


@pytest.mark.parametrize("waiting", [payment(**PAGE), payment(status="failed"), payment(status="authorized")])
def test_a_payment_that_waits_for_the_buyer_or_the_order_is_looked_at_later(waiting: PaymentState) -> None:
    assert delay(waiting) == 2 * MINUTE


def test_the_delay_grows_with_the_age_of_the_payment_up_to_a_limit() -> None:
    ages = [timedelta(), 2 * MINUTE, 8 * MINUTE, 5 * HOUR]
    assert [delay(payment(), age=age) for age in ages] == [30 * SECOND, MINUTE, 4 * MINUTE, 5 * MINUTE]
    assert [delay(payment(**PAGE), age=age) for age in ages] == [2 * MINUTE, 2 * MINUTE, 8 * MINUTE, HOUR]


def test_the_age_of_a_refund_counts_from_its_request() -> None:
    fresh = payment(status="refunding", refund_requested_at=NOW - 4 * MINUTE)
    assert delay(fresh, order("complete"), age=24 * HOUR) == 2 * MINUTE


def test_a_page_is_looked_at_shortly_before_and_after_the_deadline_of_its_order() -> None:
    page = payment(**PAGE)
    assert delay(page, order(time_left=2 * MINUTE)) == 2 * MINUTE - BEFORE_DEADLINE
    assert delay(page, order(time_left=BEFORE_DEADLINE)) == BEFORE_DEADLINE + AFTER_DEADLINE
    assert delay(page, order(time_left=-HOUR)) == 2 * MINUTE


def test_the_deadline_of_a_complete_order_does_not_count() -> None:
    assert delay(payment(**PAGE), order("complete", time_left=MINUTE)) == 2 * MINUTE


def test_a_page_is_looked_at_when_it_expires() -> None:
    page = payment(**PAGE, page_expires_at=NOW + MINUTE)
    assert delay(page, order(time_left=-HOUR)) == MINUTE + AFTER_DEADLINE


@pytest.mark.parametrize(("pay_after_start", "expected"), [(False, MINUTE), (True, 2 * MINUTE)])
def test_a_page_that_the_start_of_the_event_closes_is_looked_at_then(
    pay_after_start: bool, expected: timedelta
) -> None:
    strict = Schedule(30 * SECOND, pay_after_start)
    assert delay(payment(**PAGE), order(starts_at=NOW + MINUTE), schedule=strict) == expected


def test_a_clock_that_was_ahead_when_the_attempt_began_does_not_delay_a_look() -> None:
    assert delay(payment(), age=-HOUR) == 30 * SECOND
