from datetime import timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import OrderStatus, PaymentStatus, TicketStatus
from services.orders import rules
from services.orders.rules import NotTheBuyer, OrderComplete, OwnTicket, TicketNotForSale, TooManyReservations
from tests.unit.rules.builders import (
    BUYER,
    NOW,
    SELLER,
    SOON,
    STRANGER,
    order,
    payment_event,
    reservable_ticket,
)

LIVE: tuple[OrderStatus, ...] = ("created", "awaiting:payment")
FINAL: tuple[OrderStatus, ...] = ("complete", "cancelled", "refunded")
STAGE: dict[OrderStatus, int] = {
    "created": 0,
    "awaiting:payment": 1,
    "complete": 2,
    "cancelled": 2,
    "refunded": 3,
}

LATER = SOON + timedelta(minutes=5)
"""The extended deadline during a bank check."""


def refusal_of(status: TicketStatus, buyer: str) -> type[Exception] | None:
    try:
        rules.check_may_reserve(reservable_ticket(status=status), buyer)
    except (OwnTicket, TicketNotForSale) as refused:
        return type(refused)
    return None


@pytest.mark.parametrize("status", get_args(TicketStatus))
def test_a_seller_cannot_reserve_their_own_ticket(status: TicketStatus) -> None:
    assert refusal_of(status, SELLER) is OwnTicket


@pytest.mark.parametrize(
    ("status", "refused"),
    [("available", None), ("reserved", None), ("sold", None), ("withdrawn", TicketNotForSale)],
)
def test_only_a_withdrawal_in_the_tickets_replica_prevents_a_reservation(
    status: TicketStatus, refused: type[Exception] | None
) -> None:
    """The replica may be outdated, so the orders service checks its own orders for other reservations."""
    assert refusal_of(status, BUYER) is refused


def test_each_live_reservation_takes_one_slot() -> None:
    assert rules.free_slots([], 3) == [1, 2, 3]
    assert rules.free_slots([2], 3) == [1, 3]


@pytest.mark.parametrize("taken", [[1, 2, 3], [3, 1, 2, 2]])
def test_a_reservation_above_the_limit_is_refused_with_the_number_of_held_tickets(taken: list[int]) -> None:
    with pytest.raises(TooManyReservations, match="already hold 3 tickets") as refused:
        rules.free_slots(taken, 3)
    assert refused.value.status == 429


def test_slots_above_a_lowered_limit_are_not_free() -> None:
    assert rules.free_slots([4, 5], 3) == [1, 2, 3]
    with pytest.raises(TooManyReservations):
        rules.free_slots([1, 2, 3, 4, 5], 3)


@pytest.mark.parametrize("status", LIVE)
def test_the_buyer_can_cancel_a_live_order(status: OrderStatus) -> None:
    assert rules.cancel(order(status=status), BUYER, NOW) == {
        "status": "cancelled",
        "active": False,
        "live": False,
        "cancel_reason": "buyer",
        "ended_at": NOW,
    }


def test_cancelling_an_order_twice_changes_nothing() -> None:
    assert rules.cancel(order(status="cancelled"), BUYER, NOW) is None


def test_a_completed_order_cannot_be_cancelled() -> None:
    with pytest.raises(OrderComplete):
        rules.cancel(order(status="complete"), BUYER, NOW)


@pytest.mark.parametrize("status", get_args(OrderStatus))
def test_only_the_buyer_can_cancel_an_order(status: OrderStatus) -> None:
    with pytest.raises(NotTheBuyer):
        rules.cancel(order(status=status), STRANGER, NOW)


@pytest.mark.parametrize("status", LIVE)
@pytest.mark.parametrize("late", [timedelta(0), timedelta(seconds=1)])
def test_an_unpaid_order_is_cancelled_at_its_deadline(status: OrderStatus, late: timedelta) -> None:
    changes = rules.expire(order(status=status), SOON + late)
    assert changes == {
        "status": "cancelled",
        "active": False,
        "live": False,
        "cancel_reason": "expired",
        "ended_at": SOON,
    }


@pytest.mark.parametrize("status", LIVE)
def test_the_timer_of_an_earlier_deadline_changes_nothing(status: OrderStatus) -> None:
    assert rules.expire(order(status=status), SOON - timedelta(milliseconds=1)) is None


@pytest.mark.parametrize("status", FINAL)
def test_a_timer_of_an_order_in_a_final_status_changes_nothing(status: OrderStatus) -> None:
    assert rules.expire(order(status=status), SOON + timedelta(days=1)) is None


@pytest.mark.parametrize("status", LIVE)
@pytest.mark.parametrize("paid", ["authorized", "captured"])
def test_an_authorized_payment_completes_a_live_order(status: OrderStatus, paid: PaymentStatus) -> None:
    changes = rules.follow_payment(order(status=status), payment_event(paid), LATER)
    assert changes == {"status": "complete", "active": True, "live": False}


def test_a_pending_payment_makes_an_order_await_payment() -> None:
    changes = rules.follow_payment(order(), payment_event("pending"), LATER)
    assert changes == {"status": "awaiting:payment", "active": True, "live": True}


def test_another_pending_payment_event_changes_nothing() -> None:
    assert rules.follow_payment(order(status="awaiting:payment"), payment_event("pending"), LATER) is None


@pytest.mark.parametrize("paid", get_args(PaymentStatus))
def test_a_late_payment_does_not_revive_a_cancelled_order(paid: PaymentStatus) -> None:
    assert rules.follow_payment(order(status="cancelled"), payment_event(paid), LATER) is None


@pytest.mark.parametrize("paid", [status for status in get_args(PaymentStatus) if status != "refunded"])
def test_only_a_refund_changes_a_complete_order(paid: PaymentStatus) -> None:
    assert rules.follow_payment(order(status="complete"), payment_event(paid), LATER) is None


@pytest.mark.parametrize("status", LIVE)
@pytest.mark.parametrize("paid", ["failed", "voided", "refunded"])
def test_a_failed_voided_or_refunded_payment_does_not_change_a_live_order(
    status: OrderStatus, paid: PaymentStatus
) -> None:
    assert rules.follow_payment(order(status=status), payment_event(paid), LATER) is None


@pytest.mark.parametrize("status", LIVE)
@pytest.mark.parametrize("paid", ["authorized", "captured"])
@pytest.mark.parametrize("amount", [1, 1998, 2000, 199_900])
def test_a_payment_of_another_amount_does_not_complete_an_order(
    status: OrderStatus, paid: PaymentStatus, amount: int
) -> None:
    assert rules.follow_payment(order(status=status), payment_event(paid, amount=amount), LATER) is None


@pytest.mark.parametrize("status", LIVE)
def test_a_bank_check_extends_the_deadline(status: OrderStatus) -> None:
    changes = rules.follow_payment(order(status=status), payment_event("pending", bank_check=True), LATER)
    assert changes is not None
    extended = order(status=status).model_copy(update=dict(changes))
    assert (extended.status, extended.expires_at) == ("awaiting:payment", LATER)


def test_a_bank_check_does_not_extend_the_deadline_twice() -> None:
    extended = order(status="awaiting:payment", expires_at=LATER, extended=True)
    again = LATER + timedelta(minutes=5)
    assert rules.follow_payment(extended, payment_event("pending", bank_check=True), again) is None


def test_a_bank_check_never_shortens_the_deadline() -> None:
    waiting = order(status="awaiting:payment", expires_at=LATER)
    assert rules.follow_payment(waiting, payment_event("pending", bank_check=True), SOON) is None


@pytest.mark.parametrize("status", FINAL)
def test_a_bank_check_does_not_change_an_order_in_a_final_status(status: OrderStatus) -> None:
    assert (
        rules.follow_payment(order(status=status), payment_event("pending", bank_check=True), LATER) is None
    )


@pytest.mark.parametrize(
    ("since_reserved", "left"),
    [(0, 15), (5, 15), (15, 15), (20, 10), (29, 1), (30, 0)],
)
def test_an_extension_is_one_more_window_but_at_most_thirty_minutes_in_total(
    since_reserved: int, left: int
) -> None:
    reserved_at = NOW - timedelta(minutes=since_reserved)
    deadline = rules.extended_deadline(reserved_at, timedelta(minutes=15), NOW)
    assert deadline == NOW + timedelta(minutes=left)


def test_a_refund_leaves_the_ticket_sold() -> None:
    changes = rules.follow_payment(order(status="complete"), payment_event("refunded"), LATER)
    assert changes == {"status": "refunded", "active": True, "live": False, "relisted": False}


@pytest.mark.parametrize("status", ["complete", "refunded"])
def test_a_refund_releases_the_ticket_if_relisting_is_requested_with_it_or_later(status: OrderStatus) -> None:
    changes = rules.follow_payment(order(status=status), payment_event("refunded", relist=True), LATER)
    assert changes == {"status": "refunded", "active": False, "live": False, "relisted": True}


def test_a_refunded_ticket_is_released_only_once() -> None:
    """A second release could put a ticket on sale that another buyer holds by then."""
    relisted = order(status="refunded", relisted=True)
    for relist in (True, False):
        assert rules.follow_payment(relisted, payment_event("refunded", relist=relist), LATER) is None
    kept = order(status="refunded")
    assert rules.follow_payment(kept, payment_event("refunded"), LATER) is None


def test_a_paid_order_records_what_its_buyer_got_back_and_a_dispute() -> None:
    partly = payment_event("captured", refunded_amount=500, dispute="open", version=3)
    changes = rules.follow_money_back(order(status="complete"), partly)
    assert changes == {"refunded_minor": 500, "dispute": "open", "payment_version": 3}
    assert rules.follow_money_back(order(status="complete", **changes), partly) is None
    failed = payment_event("refunding", refunded_amount=0, version=4)
    changes = rules.follow_money_back(order(status="refunded", refunded_minor=1999), failed)
    assert changes == {"refunded_minor": 0, "dispute": None, "payment_version": 4}


def test_an_old_event_does_not_change_what_the_buyer_got_back() -> None:
    known = order(status="complete", refunded_minor=500, payment_version=3)
    assert rules.follow_money_back(known, payment_event("captured", version=2)) is None


@pytest.mark.parametrize("status", ["created", "awaiting:payment", "cancelled"])
def test_an_order_that_is_not_paid_records_no_refund(status: OrderStatus) -> None:
    refunded = payment_event("captured", refunded_amount=500, version=3)
    assert rules.follow_money_back(order(status=status), refunded) is None


@given(
    st.lists(st.sampled_from(get_args(PaymentStatus)) | st.sampled_from(["cancel", "expire"]), max_size=10)
)
def test_an_order_never_returns_to_an_earlier_stage(steps: list[str]) -> None:
    state = order()
    for step in steps:
        if step == "cancel":
            changes = None if state.status == "complete" else rules.cancel(state, BUYER, NOW)
        elif step == "expire":
            changes = rules.expire(state, SOON)
        else:
            status: PaymentStatus = step  # type: ignore[assignment] # the only other elements are statuses
            changes = rules.follow_payment(state, payment_event(status), LATER)
        before, state = state, state.model_copy(update=dict(changes or {}))
        assert changes is None or STAGE[state.status] > STAGE[before.status]
        assert (state.cancel_reason is None) == (state.status != "cancelled")


@pytest.mark.parametrize(
    ("status", "active", "live"),
    [
        ("created", True, True),
        ("awaiting:payment", True, True),
        ("complete", True, False),
        ("cancelled", False, False),
    ],
)
def test_an_order_is_active_while_it_holds_a_ticket_and_live_while_it_is_unpaid(
    status: OrderStatus, active: bool, live: bool
) -> None:
    assert rules.move_to(status) == {"status": status, "active": active, "live": live}
