from datetime import timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import OrderStatus, PaymentStatus, TicketStatus
from services.orders import rules
from services.orders.rules import NotTheBuyer, OrderComplete, OwnTicket, TicketNotForSale, TooManyReservations
from tests.rules.builders import BUYER, NOW, SELLER, SOON, STRANGER, offered, order, payment_event

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
"""The deadline of a buyer whose bank asks for a check."""


def refusal_of(status: TicketStatus, buyer: str) -> type[Exception] | None:
    try:
        rules.check_may_reserve(offered(status=status), buyer)
    except (OwnTicket, TicketNotForSale) as refused:
        return type(refused)
    return None


@pytest.mark.parametrize("status", get_args(TicketStatus))
def test_nobody_buys_their_own_ticket(status: TicketStatus) -> None:
    assert refusal_of(status, SELLER) is OwnTicket


@pytest.mark.parametrize(
    ("status", "refused"),
    [("available", None), ("reserved", None), ("sold", None), ("withdrawn", TicketNotForSale)],
)
def test_only_a_withdrawal_is_believed_of_a_copy(
    status: TicketStatus, refused: type[Exception] | None
) -> None:
    """Who holds a ticket is decided by the orders themselves; the copy may be late."""
    assert refusal_of(status, BUYER) is refused


def test_each_live_reservation_takes_one_slot() -> None:
    assert rules.free_slots([], 3) == [1, 2, 3]
    assert rules.free_slots([2], 3) == [1, 3]


@pytest.mark.parametrize("taken", [[1, 2, 3], [3, 1, 2, 2]])
def test_one_reservation_too_many_is_refused_with_the_number_allowed(taken: list[int]) -> None:
    with pytest.raises(TooManyReservations, match="already hold 3 tickets") as refused:
        rules.free_slots(taken, 3)
    assert refused.value.status == 429


def test_slots_beyond_a_limit_that_was_lowered_do_not_count_as_free() -> None:
    assert rules.free_slots([4, 5], 3) == [1, 2, 3]
    with pytest.raises(TooManyReservations):
        rules.free_slots([1, 2, 3, 4, 5], 3)


@pytest.mark.parametrize("status", LIVE)
def test_a_buyer_lets_go_of_a_live_order(status: OrderStatus) -> None:
    assert rules.cancel(order(status=status), BUYER) == {
        "status": "cancelled",
        "active": False,
        "live": False,
        "cancel_reason": "buyer",
    }


def test_cancelling_twice_changes_nothing() -> None:
    assert rules.cancel(order(status="cancelled"), BUYER) is None


def test_a_completed_order_can_not_be_cancelled() -> None:
    with pytest.raises(OrderComplete):
        rules.cancel(order(status="complete"), BUYER)


@pytest.mark.parametrize("status", get_args(OrderStatus))
def test_nobody_else_cancels_an_order(status: OrderStatus) -> None:
    with pytest.raises(NotTheBuyer):
        rules.cancel(order(status=status), STRANGER)


@pytest.mark.parametrize("status", LIVE)
@pytest.mark.parametrize("late", [timedelta(0), timedelta(seconds=1)])
def test_an_unpaid_order_ends_at_its_deadline(status: OrderStatus, late: timedelta) -> None:
    changes = rules.expire(order(status=status), SOON + late)
    assert changes == {"status": "cancelled", "active": False, "live": False, "cancel_reason": "expired"}


@pytest.mark.parametrize("status", LIVE)
def test_a_later_deadline_of_the_order_stands(status: OrderStatus) -> None:
    assert rules.expire(order(status=status), SOON - timedelta(milliseconds=1)) is None


@pytest.mark.parametrize("status", FINAL)
def test_a_timer_of_an_order_that_is_over_changes_nothing(status: OrderStatus) -> None:
    assert rules.expire(order(status=status), SOON + timedelta(days=1)) is None


@pytest.mark.parametrize("status", LIVE)
@pytest.mark.parametrize("paid", ["authorized", "captured"])
def test_an_authorized_payment_completes_a_live_order(status: OrderStatus, paid: PaymentStatus) -> None:
    changes = rules.follow_payment(order(status=status), payment_event(paid), LATER)
    assert changes == {"status": "complete", "active": True, "live": False}


def test_a_payment_under_way_makes_an_order_wait_for_it() -> None:
    changes = rules.follow_payment(order(), payment_event("pending"), LATER)
    assert changes == {"status": "awaiting:payment", "active": True, "live": True}


def test_a_payment_still_under_way_changes_nothing_more() -> None:
    assert rules.follow_payment(order(status="awaiting:payment"), payment_event("pending"), LATER) is None


@pytest.mark.parametrize("paid", get_args(PaymentStatus))
def test_a_late_payment_does_not_revive_a_cancelled_order(paid: PaymentStatus) -> None:
    assert rules.follow_payment(order(status="cancelled"), payment_event(paid), LATER) is None


@pytest.mark.parametrize("paid", [status for status in get_args(PaymentStatus) if status != "refunded"])
def test_nothing_but_a_refund_undoes_a_complete_order(paid: PaymentStatus) -> None:
    assert rules.follow_payment(order(status="complete"), payment_event(paid), LATER) is None


@pytest.mark.parametrize("status", LIVE)
@pytest.mark.parametrize("paid", ["failed", "voided", "refunded"])
def test_a_payment_that_came_to_nothing_leaves_the_reservation_as_it_is(
    status: OrderStatus, paid: PaymentStatus
) -> None:
    assert rules.follow_payment(order(status=status), payment_event(paid), LATER) is None


@pytest.mark.parametrize("status", LIVE)
@pytest.mark.parametrize("paid", ["authorized", "captured"])
@pytest.mark.parametrize("amount", [1, 1998, 2000, 199_900])
def test_another_amount_than_the_price_does_not_complete_an_order(
    status: OrderStatus, paid: PaymentStatus, amount: int
) -> None:
    assert rules.follow_payment(order(status=status), payment_event(paid, amount=amount), LATER) is None


@pytest.mark.parametrize("status", LIVE)
def test_a_buyer_whose_bank_asks_gets_more_time(status: OrderStatus) -> None:
    changes = rules.follow_payment(order(status=status), payment_event("pending", bank_check=True), LATER)
    assert changes is not None
    extended = order(status=status).model_copy(update=dict(changes))
    assert (extended.status, extended.expires_at) == ("awaiting:payment", LATER)


def test_more_time_is_given_once() -> None:
    extended = order(status="awaiting:payment", expires_at=LATER, extended=True)
    again = LATER + timedelta(minutes=5)
    assert rules.follow_payment(extended, payment_event("pending", bank_check=True), again) is None


def test_a_bank_check_never_shortens_the_time() -> None:
    waiting = order(status="awaiting:payment", expires_at=LATER)
    assert rules.follow_payment(waiting, payment_event("pending", bank_check=True), SOON) is None


@pytest.mark.parametrize("status", FINAL)
def test_no_time_is_given_to_what_is_over(status: OrderStatus) -> None:
    assert (
        rules.follow_payment(order(status=status), payment_event("pending", bank_check=True), LATER) is None
    )


@pytest.mark.parametrize(
    ("since_reserved", "left"),
    [(0, 15), (5, 15), (15, 15), (20, 10), (29, 1), (30, 0)],
)
def test_more_time_is_as_much_again_but_thirty_minutes_in_all(since_reserved: int, left: int) -> None:
    reserved_at = NOW - timedelta(minutes=since_reserved)
    deadline = rules.extended_deadline(reserved_at, timedelta(minutes=15), NOW)
    assert deadline == NOW + timedelta(minutes=left)


def test_a_refund_leaves_the_ticket_sold() -> None:
    changes = rules.follow_payment(order(status="complete"), payment_event("refunded"), LATER)
    assert changes == {"status": "refunded", "active": True, "live": False, "relisted": False}


@pytest.mark.parametrize("status", ["complete", "refunded"])
def test_a_refund_lets_the_ticket_go_if_it_is_asked_to_then_or_later(status: OrderStatus) -> None:
    changes = rules.follow_payment(order(status=status), payment_event("refunded", relist=True), LATER)
    assert changes == {"status": "refunded", "active": False, "live": False, "relisted": True}


def test_a_ticket_is_let_go_once() -> None:
    """It may be another buyer's by now."""
    relisted = order(status="refunded", relisted=True)
    for relist in (True, False):
        assert rules.follow_payment(relisted, payment_event("refunded", relist=relist), LATER) is None
    kept = order(status="refunded")
    assert rules.follow_payment(kept, payment_event("refunded"), LATER) is None


@given(
    st.lists(st.sampled_from(get_args(PaymentStatus)) | st.sampled_from(["cancel", "expire"]), max_size=10)
)
def test_whatever_happens_an_order_only_moves_on(course: list[str]) -> None:
    state = order()
    for step in course:
        if step == "cancel":
            changes = None if state.status == "complete" else rules.cancel(state, BUYER)
        elif step == "expire":
            changes = rules.expire(state, SOON)
        else:
            status: PaymentStatus = step  # type: ignore[assignment] # one of them, as the list says
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
def test_the_unique_indexes_count_what_holds_a_ticket_and_what_is_unpaid(
    status: OrderStatus, active: bool, live: bool
) -> None:
    assert rules.move_to(status) == {"status": status, "active": active, "live": live}
