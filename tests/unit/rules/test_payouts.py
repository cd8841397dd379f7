from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from contracts.events import PayoutState
from services.orders.problems import report_until
from services.payouts import rules
from services.payouts.rules import (
    Debt,
    DebtChanged,
    NothingOwed,
    Offset,
    OrderFacts,
    PaymentFacts,
    SaleState,
    Transfer,
)
from tests.unit.rules.builders import NOW, ORDER, PAYMENT, SELLER
from tests.unit.rules.builders import order as order_state

DELAY = timedelta(hours=72)
START = NOW + timedelta(days=10)
AFTER = START + DELAY


def order(**special: Any) -> OrderFacts:
    usual = {"status": "complete", "seller_id": SELLER, "title": "Row 4", "starts_at": START, "paid_at": NOW}
    return OrderFacts.model_validate({**usual, **special})


def payment(**special: Any) -> PaymentFacts:
    usual = {"payment_id": PAYMENT, "status": "captured", "amount": 10_000, "currency": "usd"}
    return PaymentFacts.model_validate({**usual, **special})


def sale(**special: Any) -> SaleState:
    made = rules.new_sale(order(fee_basis_points=500), payment(), DELAY, NOW)
    return made.model_copy(update=special)


def paid(amount: int = 9500, **special: Any) -> SaleState:
    transfer = Transfer(id="tr_1", amount=amount, sent=amount, sent_currency="usd")
    return after(sale(**special), rules.transferred(sale(**special), transfer, AFTER))


def after(before: SaleState, changes: Any) -> SaleState:
    assert changes is not None
    return before.model_copy(update=dict(changes))


def test_a_sale_is_held_until_72_hours_after_the_event_begins() -> None:
    assert sale().due_at == START + timedelta(hours=72)
    assert rules.state_of(sale(), AFTER - timedelta(milliseconds=1)) == "held"
    assert rules.state_of(sale(), AFTER) == "due"


def test_a_sale_without_a_date_is_due_seven_days_after_the_delivery_when_the_last_report_has_arrived() -> (
    None
):
    without_date = order(starts_at=None, delivered_at=NOW + timedelta(days=2))
    assert rules.due_time(without_date, DELAY) == NOW + timedelta(days=9, hours=1)


def test_a_sale_without_a_date_or_a_known_delivery_is_due_30_days_after_the_payment() -> None:
    assert rules.due_time(order(starts_at=None), DELAY) == NOW + timedelta(days=30, hours=1)


@pytest.mark.parametrize(
    "starts_at", [None, START, NOW - timedelta(days=1)], ids=["undated", "later", "past"]
)
@pytest.mark.parametrize(
    ("delivery", "delivered_at"),
    [
        (None, None),
        ("due", None),
        ("delivered", NOW),
        ("delivered", NOW + timedelta(days=40)),
        ("confirmed", NOW),
    ],
    ids=["unknown", "due", "at-once", "late", "confirmed"],
)
def test_no_money_is_due_while_its_buyer_may_report_a_problem(
    starts_at: datetime | None, delivery: Any, delivered_at: datetime | None
) -> None:
    facts = {"starts_at": starts_at, "paid_at": NOW, "delivered_at": delivered_at, "delivery": delivery}
    due = rules.due_time(order(**facts), DELAY)
    until = report_until(
        order_state(
            details={"starts_at": starts_at}, paid_at=NOW, delivered_at=delivered_at, delivery=delivery
        )
    )
    assert until is not None
    assert due is None or due > until


def test_a_sale_without_a_date_is_not_due_before_the_delivery() -> None:
    waiting = rules.new_sale(order(starts_at=None, delivery="due"), payment(), DELAY, NOW)
    assert waiting.due_at is None
    assert rules.state_of(waiting, NOW + timedelta(days=1000)) == "held"


@pytest.mark.parametrize(
    ("of_order", "of_payment"),
    [
        ({}, {"status": "refunding"}),
        ({"delivery": "failed"}, {}),
        ({"delivery": "failed"}, {"dispute": "won"}),
        ({"status": "cancelled"}, {}),
    ],
    ids=["refund-under-way", "not-delivered", "dispute-won-but-not-delivered", "cancelled"],
)
def test_money_that_is_to_go_back_to_the_buyer_is_not_transferred(
    of_order: dict[str, Any], of_payment: dict[str, Any]
) -> None:
    returning = rules.new_sale(order(**of_order), payment(**of_payment), DELAY, AFTER)
    assert returning.state == "frozen"
    assert not rules.may_transfer(returning, AFTER + timedelta(days=1000))
    refunded = payment(status="refunded", refunded_amount=10_000)
    changes = rules.facts(returning, order(**of_order), refunded, DELAY, AFTER)
    assert after(returning, changes).state == "reversed"


def test_a_sale_without_any_known_time_stays_held() -> None:
    unknown = rules.new_sale(order(starts_at=None, paid_at=None), payment(), DELAY, NOW)
    assert unknown.due_at is None
    assert rules.state_of(unknown, NOW + timedelta(days=1000)) == "held"


def test_a_ticket_that_was_bought_after_the_start_is_due_later() -> None:
    assert rules.due_time(order(paid_at=START + timedelta(hours=2)), DELAY) == AFTER + timedelta(hours=2)


def test_a_ticket_that_was_delivered_after_the_start_is_due_later() -> None:
    """The buyer may report a problem for 48 hours after the delivery."""
    late = order(delivered_at=START + timedelta(days=5))
    assert rules.due_time(late, DELAY) == AFTER + timedelta(days=5)


@pytest.mark.parametrize(
    ("percent", "amount", "fee"),
    [("0", 10_000, 0), ("5", 10_000, 500), ("2.5", 1999, 50), ("0.01", 5000, 1), ("0.01", 4999, 0)],
)
def test_the_fee_is_rounded_half_up(percent: str, amount: int, fee: int) -> None:
    assert rules.fee_of(amount, rules.basis_points(Decimal(percent))) == fee


def test_gross_is_fee_and_net() -> None:
    assert (sale().gross, sale().kept_fee, sale().net) == (10_000, 500, 9500)


def test_a_partial_refund_returns_its_share_of_the_fee() -> None:
    refunded = sale(refunded=4000)
    assert (refunded.kept_fee, refunded.net, refunded.held) == (300, 5700, 5700)


def test_a_full_refund_before_the_transfer_leaves_nothing_to_anybody() -> None:
    changes = rules.facts(
        sale(), order(fee_basis_points=500), payment(status="refunded", refunded_amount=10_000), DELAY, NOW
    )
    refunded = after(sale(), changes)
    assert (refunded.state, refunded.held, refunded.kept_fee, refunded.owed) == ("reversed", 0, 0, 0)


def test_a_full_refund_after_the_transfer_is_owed_until_the_transfer_is_reversed() -> None:
    refunded = paid(refunded=10_000)
    assert (refunded.owed, refunded.reversible) == (9500, 9500)
    returned = after(refunded, rules.reversed_to(refunded, "tr_1", 9500, AFTER))
    assert (returned.state, returned.owed, returned.paid_out) == ("reversed", 0, 0)


def test_a_partial_refund_after_the_transfer_stays_paid_and_is_owed() -> None:
    refunded = paid(refunded=4000)
    assert (rules.state_of(refunded, AFTER), refunded.owed) == ("paid", 3800)


def test_an_open_dispute_freezes_what_is_held() -> None:
    assert rules.state_of(sale(dispute="open"), AFTER) == "frozen"
    assert not rules.may_transfer(sale(dispute="open"), AFTER)


def test_a_dispute_that_is_won_lets_the_sale_be_due() -> None:
    assert rules.may_transfer(sale(dispute="won"), AFTER)


def test_a_dispute_that_is_lost_reverses_the_sale() -> None:
    assert rules.state_of(sale(dispute="lost", lost=10_000), AFTER) == "reversed"


def test_a_dispute_after_the_payout_leaves_the_sale_paid_until_it_is_lost() -> None:
    assert rules.state_of(paid(dispute="open"), AFTER) == "paid"
    assert paid(dispute="lost", lost=10_000).owed == 9500


def test_a_refund_that_failed_after_the_reversal_is_due_again() -> None:
    returned = after(
        paid(refunded=10_000), rules.reversed_to(paid(refunded=10_000), "tr_1", 9500, AFTER)
    ).model_copy(update={"refunded": 0})
    assert rules.state_of(returned, AFTER) == "due"
    assert returned.held == 9500


def test_a_refund_that_fails_after_its_debt_was_written_off_is_not_paid_to_the_seller_again() -> None:
    refunded = paid(refunded=10_000)
    given_up = after(refunded, rules.write_off(refunded, AFTER))
    assert (given_up.owed, given_up.accounts.written_off) == (0, 9500)
    failed = given_up.model_copy(update={"refunded": 0})
    assert (failed.held, failed.owed, failed.accounts.written_off) == (0, 0, 0)
    assert rules.state_of(failed, AFTER) == "paid"
    partly = given_up.model_copy(update={"refunded": 4000})
    assert (partly.held, partly.owed, partly.accounts.written_off) == (0, 0, 3800)


def test_a_repeated_fact_changes_nothing() -> None:
    facts = order(fee_basis_points=500), payment()
    assert rules.facts(sale(), *facts, DELAY, NOW) is None
    transfer = paid().transfers[0]
    assert rules.transferred(paid(), transfer, AFTER) is None
    assert rules.reversed_to(paid(), "tr_1", 0, AFTER) is None


def test_an_outdated_read_of_a_reversal_changes_nothing() -> None:
    half = after(paid(), rules.reversed_to(paid(), "tr_1", 5000, AFTER))
    assert rules.reversed_to(half, "tr_1", 3000, AFTER) is None


def test_a_later_fee_doesnt_change_a_sale() -> None:
    assert rules.facts(sale(), order(fee_basis_points=900), payment(), DELAY, NOW) is None


def test_the_oldest_debts_are_settled_first_and_no_more_than_is_held() -> None:
    debts = [Debt("a", 4000), Debt("b", 8000), Debt("c", 1)]
    assert rules.offsets(sale(), debts) == [
        Offset(order_id="a", amount=4000),
        Offset(order_id="b", amount=5500),
    ]


def test_a_sale_settles_a_debt_once() -> None:
    debtor = paid(refunded=10_000)
    settled = after(debtor, rules.settle(debtor, "b", 4000, AFTER))
    assert settled.owed == 5500
    assert rules.settle(settled, "b", 4000, AFTER) is None


def test_a_sale_settles_no_more_than_is_still_owed() -> None:
    debtor = paid(refunded=4000)
    assert after(debtor, rules.settle(debtor, "b", 9000, AFTER)).settled_by[0].amount == 3800


def test_a_sale_that_settles_a_debt_completely_is_paid_without_a_transfer() -> None:
    settled = after(sale(), rules.offset(sale(), [Offset(order_id="a", amount=9500)], AFTER))
    assert (settled.state, settled.paid_at, settled.paid_out) == ("paid", AFTER, 0)


def test_a_debt_is_written_off_once_and_a_repetition_changes_nothing() -> None:
    written_off = after(paid(refunded=10_000), rules.write_off(paid(refunded=10_000), AFTER))
    assert (written_off.owed, written_off.written_off) == (0, 9500)
    assert rules.write_off(written_off, AFTER) is None
    assert rules.write_off(written_off, AFTER, 9500) is None


def test_without_a_debt_nothing_is_written_off() -> None:
    with pytest.raises(NothingOwed):
        rules.write_off(paid(), AFTER)


def test_only_the_debt_that_an_operator_has_read_is_written_off() -> None:
    indebted = paid(refunded=10_000)
    assert after(indebted, rules.write_off(indebted, AFTER, 9500)).owed == 0
    partly = after(indebted, rules.settle(indebted, "other", 500, AFTER))
    with pytest.raises(DebtChanged):
        rules.write_off(partly, AFTER, 9500)


def test_a_sale_remembers_since_when_it_is_frozen() -> None:
    later = AFTER + timedelta(days=1)
    frozen = after(sale(), rules.with_state(sale(), {"dispute": "open"}, AFTER))
    assert (frozen.state, frozen.frozen_at) == ("frozen", AFTER)
    assert after(frozen, rules.with_state(frozen, {"problem": "open"}, later)).frozen_at == AFTER
    thawed = after(frozen, rules.with_state(frozen, {"dispute": "won"}, later))
    assert (thawed.state, thawed.frozen_at) == ("due", None)


def test_a_seller_without_an_account_is_reminded_a_limited_number_of_times() -> None:
    waiting, reminders = sale(), 0
    while changes := rules.waits_for_account(waiting, AFTER):
        waiting, reminders = after(waiting, changes), reminders + 1
        assert waiting.needs_account
    assert reminders == rules.MAX_REMINDERS
    assert waiting.state == "due"


def test_a_sale_that_is_paid_needs_no_account_any_more() -> None:
    waiting = after(sale(), rules.waits_for_account(sale(), AFTER))
    transfer = Transfer(id="tr_1", amount=9500, sent=9500, sent_currency="usd")
    assert not after(waiting, rules.transferred(waiting, transfer, AFTER)).needs_account


def test_a_reversal_in_another_currency_returns_at_least_what_is_owed() -> None:
    transfer = Transfer(id="tr_1", amount=9500, sent=8707, sent_currency="eur")
    for amount in (1, 3799, 9499, 9500):
        back = rules.to_send_back(transfer, amount)
        foreign = sale(transfers=[transfer])
        returned = after(foreign, rules.reversed_to(foreign, "tr_1", back, AFTER))
        assert amount <= returned.transfers[0].reversed <= amount + 1


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"refunded": 1}, f"refund:{PAYMENT}:4"),
        ({"lost": 1}, f"dispute:{PAYMENT}:4"),
        ({"written_off": 1, "refunded": 10_000}, f"write-off:{ORDER}:4"),
    ],
)
def test_an_entry_is_named_after_its_cause(changes: dict[str, Any], key: str) -> None:
    found = rules.entry(sale(), sale(**changes), ORDER, 4)
    assert found is not None
    assert found.key == key


def test_the_capture_is_one_entry_whenever_it_is_recorded() -> None:
    found = rules.entry(None, sale(), ORDER, 0)
    assert found is not None
    assert found.key == f"capture:{PAYMENT}"
    assert (found.change.received, found.change.held, found.change.fees) == (10_000, 9500, 500)


def test_a_change_that_moves_no_money_is_no_entry() -> None:
    assert rules.entry(sale(), sale(dispute="open", state="frozen"), ORDER, 1) is None


STATES: list[PayoutState] = ["held", "due", "paid", "frozen", "reversed"]


@pytest.mark.parametrize("state", STATES)
def test_every_state_can_be_reached(state: PayoutState) -> None:
    examples = {
        "held": rules.state_of(sale(), NOW),
        "due": rules.state_of(sale(), AFTER),
        "paid": rules.state_of(paid(), AFTER),
        "frozen": rules.state_of(sale(dispute="open"), NOW),
        "reversed": rules.state_of(sale(refunded=10_000), NOW),
    }
    assert examples[state] == state
