from datetime import timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import GRACE, OrderStatus, PaymentStatus, TicketStatus
from kit.changes import Changes
from services.orders import rules
from services.orders.rules import (
    DeadlineNotAllowed,
    NoMoreTime,
    NotTheBuyer,
    OrderComplete,
    OrderState,
    OwnTicket,
    TicketNotForSale,
    TooManyReservations,
)
from tests.unit.rules.builders import (
    BUYER,
    NOW,
    ORDER,
    SELLER,
    SOON,
    STRANGER,
    order,
    payment_event,
    reservable_ticket,
    ticket_event,
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


def apply(state: OrderState, changes: Changes | None) -> OrderState:
    """The order after these changes."""
    return state.model_copy(update=dict(changes or {}))


def refusal_of(status: TicketStatus, buyer: str) -> type[Exception] | None:
    try:
        rules.check_may_reserve(reservable_ticket(status=status), buyer)
    except (OwnTicket, TicketNotForSale) as refused:
        return type(refused)
    return None


@pytest.mark.parametrize("status", get_args(TicketStatus.__value__))
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


@pytest.mark.parametrize("status", get_args(OrderStatus.__value__))
def test_only_the_buyer_can_cancel_an_order(status: OrderStatus) -> None:
    with pytest.raises(NotTheBuyer):
        rules.cancel(order(status=status), STRANGER, NOW)


@pytest.mark.parametrize("status", LIVE)
@pytest.mark.parametrize("payment", [None, "pending", "authorized"])
def test_an_operator_can_cancel_a_live_order_whatever_its_payment_is(
    status: OrderStatus, payment: PaymentStatus | None
) -> None:
    assert rules.cancel_by_operator(order(status=status, payment_status=payment), NOW) == {
        "status": "cancelled",
        "active": False,
        "live": False,
        "cancelled_by_operator": True,
        "ended_at": NOW,
    }


def test_an_operator_who_cancels_an_order_that_has_ended_changes_nothing() -> None:
    for ended in (
        {"cancel_reason": "buyer"},
        {"hold_refused": True},
        {"cancelled_by_operator": True},
    ):
        assert rules.cancel_by_operator(order(status="cancelled", **ended), NOW) is None


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("complete", "A completed order can't be cancelled. Refund it instead"),
        ("refunded", "A refunded order can't be cancelled"),
    ],
)
def test_an_operator_cannot_cancel_a_paid_order(status: OrderStatus, message: str) -> None:
    with pytest.raises(OrderComplete) as refused:
        rules.cancel_by_operator(order(status=status), NOW)
    assert (refused.value.status, refused.value.detail) == (409, message)


MILLISECOND = timedelta(milliseconds=1)
RESERVED = SOON - timedelta(minutes=15)


def test_an_operator_can_extend_a_live_order_beyond_the_time_of_buyers_but_not_beyond_a_day() -> None:
    latest = RESERVED + rules.MAX_OPERATOR_HOLD
    for status in LIVE:
        state = order(status=status, extensions=rules.MAX_EXTENSIONS, extended=True)
        for until in (SOON + MILLISECOND, latest):
            assert rules.extend_by_operator(state, until, RESERVED, NOW) == {"expires_at": until}
        with pytest.raises(DeadlineNotAllowed, match="at most 24 hours after the reservation") as refused:
            rules.extend_by_operator(state, latest + MILLISECOND, RESERVED, NOW)
        assert (refused.value.status, refused.value.field) == (400, "expiresAt")


def test_an_operator_does_not_use_up_or_shorten_the_extensions_of_the_buyer() -> None:
    state = order()
    extended = apply(state, rules.extend_by_operator(state, LATER, RESERVED, NOW))
    assert (extended.extensions, extended.extended) == (0, False)
    for until in (LATER, SOON, NOW + MILLISECOND):
        assert rules.extend_by_operator(extended, until, RESERVED, NOW) is None
    waiting = paid(extended, "pending", version=1, bank_check=True)
    assert (waiting.status, waiting.expires_at) == ("awaiting:payment", LATER)


def test_the_timer_of_the_deadline_before_an_operators_extension_does_not_end_the_order() -> None:
    state = order()
    extended = apply(state, rules.extend_by_operator(state, LATER, RESERVED, NOW))
    assert rules.expire(extended, SOON + GRACE) is None
    assert apply(extended, rules.expire(extended, LATER + GRACE)).cancel_reason == "expired"


def test_an_order_with_a_pending_payment_is_kept_after_the_extended_deadline() -> None:
    state = paid(order(), "pending", version=1)
    assert state.kept_until == SOON + rules.MAX_PENDING
    extended = apply(state, rules.extend_by_operator(state, LATER, RESERVED, NOW))
    assert extended.kept_until == LATER + rules.MAX_PENDING


def test_an_operator_cannot_extend_an_order_whose_deadline_has_passed_or_that_has_ended() -> None:
    with pytest.raises(NoMoreTime, match="The time to pay is over"):
        rules.extend_by_operator(order(), LATER, RESERVED, SOON)
    for status in FINAL:
        with pytest.raises(NoMoreTime, match="Only an unpaid order"):
            rules.extend_by_operator(order(status=status), LATER, RESERVED, NOW)


def test_an_operator_cannot_set_a_deadline_in_the_past() -> None:
    for until in (NOW, NOW - timedelta(days=1)):
        with pytest.raises(DeadlineNotAllowed, match="must be in the future"):
            rules.extend_by_operator(order(), until, RESERVED, NOW)


@pytest.mark.parametrize("status", LIVE)
@pytest.mark.parametrize("late", [timedelta(0), timedelta(seconds=1)])
def test_an_unpaid_order_is_cancelled_after_its_deadline_and_a_grace_period(
    status: OrderStatus, late: timedelta
) -> None:
    changes = rules.expire(order(status=status), SOON + GRACE + late)
    assert changes == {
        "status": "cancelled",
        "active": False,
        "live": False,
        "cancel_reason": "expired",
        "ended_at": SOON,
    }


@pytest.mark.parametrize("status", LIVE)
def test_a_timer_that_fires_within_the_grace_period_changes_nothing(status: OrderStatus) -> None:
    assert rules.expire(order(status=status), SOON + GRACE - MILLISECOND) is None


@pytest.mark.parametrize("status", FINAL)
def test_a_timer_of_an_order_in_a_final_status_changes_nothing(status: OrderStatus) -> None:
    assert rules.expire(order(status=status), SOON + timedelta(days=2)) is None


def paid(state: OrderState, status: PaymentStatus, **fields: Any) -> OrderState:
    """The order after an event of its payment."""
    return apply(state, rules.follow_payment(state, payment_event(status, **fields), LATER))


@pytest.mark.parametrize("early", [timedelta(0), timedelta(minutes=1)])
def test_a_payment_that_was_authorized_before_the_deadline_completes_the_order_after_it(
    early: timedelta,
) -> None:
    assert paid(order(), "authorized", authorized_at=SOON - early).status == "complete"


def test_a_payment_that_was_authorized_after_the_deadline_does_not_complete_the_order() -> None:
    for state in (order(), order(held=False), paid(order(), "pending", version=0)):
        late = paid(state, "authorized", authorized_at=SOON + timedelta(seconds=1))
        assert (late.status, late.kept_until) == (state.status, None)
        assert apply(late, rules.expire(late, SOON + GRACE)).cancel_reason == "expired"


def test_a_payment_without_the_time_of_its_authorization_counts_as_in_time() -> None:
    """Earlier versions of payments publish such events."""
    assert paid(order(), "authorized", authorized_at=None).status == "complete"


def test_an_extension_that_arrives_after_the_authorization_in_the_extended_time_completes_the_order() -> None:
    early = paid(order(), "authorized", version=2, authorized_at=SOON + timedelta(minutes=1))
    assert early.status == "created"
    assert paid(early, "pending", version=1, bank_check=True).status == "complete"


def test_an_order_with_a_payment_without_an_outcome_is_kept_for_a_minute() -> None:
    pending = paid(order(), "pending")
    assert rules.expire(pending, SOON + rules.MAX_PENDING - MILLISECOND) is None
    assert apply(pending, rules.expire(pending, SOON + rules.MAX_PENDING)).status == "cancelled"


def test_an_extension_also_extends_the_minute_of_a_pending_payment() -> None:
    pending = paid(order(), "pending", bank_check=True)
    assert pending.expires_at == LATER
    assert pending.kept_until == LATER + rules.MAX_PENDING
    extended = apply(pending, rules.extend(pending, BUYER, LATER + GRACE, LATER - SOON, LATER - MILLISECOND))
    assert extended.kept_until == LATER + GRACE + rules.MAX_PENDING


def test_an_order_is_kept_no_longer_than_usual_after_a_decline() -> None:
    declined = paid(paid(order(), "pending", version=0), "failed", version=1)
    assert declined.kept_until is None
    assert rules.expire(declined, SOON + GRACE) is not None
    retried = paid(declined, "pending", version=2)
    assert retried.kept_until == SOON + rules.MAX_PENDING
    assert paid(retried, "failed", version=1).kept_until == SOON + rules.MAX_PENDING


def test_an_order_that_is_paid_for_waits_a_day_for_tickets() -> None:
    waiting = paid(order(held=False), "authorized", authorized_at=SOON)
    assert rules.expire(waiting, SOON + rules.MAX_CONFIRMATION - MILLISECOND) is None
    assert apply(waiting, rules.expire(waiting, SOON + rules.MAX_CONFIRMATION)).cancel_reason == "expired"


def test_the_first_event_of_a_payment_changes_nothing_that_is_published() -> None:
    changes = rules.follow_payment(order(), payment_event("pending", version=0), LATER)
    assert changes is not None
    assert changes.keys() <= rules.PRIVATE
    asked = paid(order(), "pending", version=0, bank_check=True)  # from an earlier version of payments
    assert asked.status == "awaiting:payment"


@pytest.mark.parametrize("status", LIVE)
@pytest.mark.parametrize("paid", ["authorized", "captured"])
def test_an_authorized_payment_completes_a_live_order(status: OrderStatus, paid: PaymentStatus) -> None:
    changes = rules.follow_payment(order(status=status), payment_event(paid), LATER)
    assert changes == {
        "status": "complete",
        "active": True,
        "live": False,
        "payment_version": 1,
        "payment_status": paid,
        "authorized_at": None,
    }


def test_a_pending_payment_makes_an_order_await_payment() -> None:
    changed = apply(order(), rules.follow_payment(order(), payment_event("pending"), LATER))
    assert (changed.status, changed.payment_status) == ("awaiting:payment", "pending")


def test_a_repeated_pending_payment_event_changes_nothing() -> None:
    changed = apply(order(), rules.follow_payment(order(), payment_event("pending"), LATER))
    assert rules.follow_payment(changed, payment_event("pending"), LATER) is None


@pytest.mark.parametrize("paid", get_args(PaymentStatus.__value__))
def test_a_late_payment_does_not_revive_a_cancelled_order(paid: PaymentStatus) -> None:
    assert rules.follow_payment(order(status="cancelled"), payment_event(paid), LATER) is None


@pytest.mark.parametrize(
    "paid", [status for status in get_args(PaymentStatus.__value__) if status != "refunded"]
)
def test_only_a_refund_changes_a_complete_order(paid: PaymentStatus) -> None:
    assert rules.follow_payment(order(status="complete"), payment_event(paid), LATER) is None


@pytest.mark.parametrize("status", LIVE)
@pytest.mark.parametrize("paid", ["failed", "voided", "refunded"])
def test_a_failed_voided_or_refunded_payment_changes_nothing_that_is_published_of_a_live_order(
    status: OrderStatus, paid: PaymentStatus
) -> None:
    changes = rules.follow_payment(order(status=status), payment_event(paid), LATER)
    assert (changes or {}).keys() == {"payment_version", "payment_status", "authorized_at"} <= rules.PRIVATE


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
    changes = rules.follow_payment(extended, payment_event("pending", bank_check=True), again)
    assert apply(extended, changes).expires_at == LATER


def test_a_bank_check_never_shortens_the_deadline() -> None:
    waiting = order(status="awaiting:payment", expires_at=LATER)
    changes = rules.follow_payment(waiting, payment_event("pending", bank_check=True), SOON)
    assert apply(waiting, changes).expires_at == LATER


UNCONFIRMED = order(held=False)


def test_an_order_that_is_paid_before_its_hold_is_confirmed_completes_with_the_confirmation() -> None:
    waiting = paid(UNCONFIRMED, "authorized")
    assert waiting.status == "created"
    assert apply(waiting, rules.follow_ticket(waiting, ticket_event(), ORDER)).status == "complete"


def test_an_order_whose_hold_is_confirmed_before_it_is_paid_completes_with_the_payment() -> None:
    changes = rules.follow_ticket(UNCONFIRMED, ticket_event(), ORDER)
    assert changes == {"held": True}
    held = apply(UNCONFIRMED, changes)
    assert apply(held, rules.follow_payment(held, payment_event("authorized"), LATER)).status == "complete"


def test_an_order_from_before_tickets_confirmed_holds_completes_when_it_is_paid() -> None:
    old = order(held=None)
    assert apply(old, rules.follow_payment(old, payment_event("authorized"), LATER)).status == "complete"
    for refusal in (ticket_event(order_id=None), ticket_event(order_id=None, hold=2)):
        assert rules.follow_ticket(old, refusal, ORDER) is None


@pytest.mark.parametrize("paid", [None, "pending", "authorized"])
@pytest.mark.parametrize(
    "refusal",
    [
        {"order_id": None, "status": "available", "price": "900"},
        {"order_id": None, "status": "withdrawn"},
        {"order_id": STRANGER, "hold": 2},
        {"price": "900"},
        {"title": "Row 5"},
    ],
    ids=["edited", "withdrawn", "a later hold", "held at another price", "held with another title"],
)
def test_an_order_whose_hold_is_refused_is_cancelled_and_stays_cancelled(
    paid: PaymentStatus | None, refusal: dict[str, Any]
) -> None:
    waiting = UNCONFIRMED
    if paid:
        waiting = apply(waiting, rules.follow_payment(waiting, payment_event(paid), LATER))
    cancelled = apply(waiting, rules.follow_ticket(waiting, ticket_event(**refusal), ORDER))
    assert (cancelled.status, cancelled.hold_refused) == ("cancelled", True)
    assert (cancelled.cancel_reason, cancelled.ended_at) == (None, None)
    assert rules.follow_payment(cancelled, payment_event("authorized", version=2), LATER) is None
    assert rules.follow_ticket(cancelled, ticket_event(), ORDER) is None


@pytest.mark.parametrize(
    "other",
    [
        {"order_id": None, "hold": None, "status": "available", "price": "900"},
        {"order_id": STRANGER, "hold": 1},
        {"order_id": None, "hold": 1, "status": "available"},
    ],
    ids=["an edit before the first hold", "the earlier hold", "the end of the earlier hold"],
)
def test_events_of_the_ticket_from_before_the_hold_neither_confirm_nor_refuse_it(
    other: dict[str, Any],
) -> None:
    assert rules.follow_ticket(order(held=False, hold=2), ticket_event(**other), ORDER) is None


def test_the_first_answer_of_tickets_to_a_hold_is_final() -> None:
    for answer in (ticket_event(), ticket_event(order_id=None), ticket_event(order_id=None, hold=2)):
        assert rules.follow_ticket(order(), answer, ORDER) is None


def test_an_event_of_an_earlier_version_of_tickets_confirms_a_hold() -> None:
    assert rules.follow_ticket(UNCONFIRMED, ticket_event(hold=None), ORDER) == {"held": True}


def test_a_payment_that_is_voided_while_its_order_waits_no_longer_completes_it() -> None:
    waiting = UNCONFIRMED
    events: list[tuple[int, PaymentStatus]] = [(2, "voided"), (1, "authorized")]
    for version, status in events:
        event = payment_event(status, version=version)
        waiting = apply(waiting, rules.follow_payment(waiting, event, LATER))
    assert apply(waiting, rules.follow_ticket(waiting, ticket_event(), ORDER)).status == "created"


def test_an_order_that_is_paid_for_can_be_cancelled_while_tickets_is_silent() -> None:
    assert rules.cancel(paid(UNCONFIRMED, "authorized"), BUYER, NOW) is not None


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
    assert changes == {"refunded_minor": 500, "dispute": "open", "money_back_version": 3}
    assert rules.follow_money_back(order(status="complete", **changes), partly) is None
    failed = payment_event("refunding", refunded_amount=0, version=4)
    changes = rules.follow_money_back(order(status="refunded", refunded_minor=1999), failed)
    assert changes == {"refunded_minor": 0, "dispute": None, "money_back_version": 4}


def test_an_old_event_does_not_change_what_the_buyer_got_back() -> None:
    known = order(status="complete", refunded_minor=500, money_back_version=3)
    assert rules.follow_money_back(known, payment_event("captured", version=2)) is None


@pytest.mark.parametrize("status", ["created", "awaiting:payment", "cancelled"])
def test_an_order_that_is_not_paid_records_no_refund(status: OrderStatus) -> None:
    refunded = payment_event("captured", refunded_amount=500, version=3)
    assert rules.follow_money_back(order(status=status), refunded) is None


@given(
    st.lists(
        st.sampled_from(get_args(PaymentStatus.__value__))
        | st.sampled_from(["cancel", "stop", "expire", "hold", "refuse"]),
        max_size=10,
    ),
    st.sampled_from([None, False]),
)
def test_an_order_never_returns_to_an_earlier_stage(steps: list[str], held: bool | None) -> None:
    state = order(held=held)
    for version, step in enumerate(steps):
        if step == "cancel":
            changes = None if state.status == "complete" else rules.cancel(state, BUYER, NOW)
        elif step == "stop":
            is_paid = state.status in ("complete", "refunded")
            changes = None if is_paid else rules.cancel_by_operator(state, NOW)
        elif step == "expire":
            changes = rules.expire(state, SOON + timedelta(days=2))
        elif step in ("hold", "refuse"):
            answer = ticket_event() if step == "hold" else ticket_event(order_id=None)
            changes = rules.follow_ticket(state, answer, ORDER)
        else:
            status: PaymentStatus = step  # type: ignore[assignment] # the only other elements are statuses
            changes = rules.follow_payment(state, payment_event(status, version=version), LATER)
        before, state = state, apply(state, changes)
        if changes is not None and not changes.keys() <= rules.PRIVATE:
            assert STAGE[state.status] > STAGE[before.status]
        reasons = [state.cancel_reason is not None, state.hold_refused, state.cancelled_by_operator]
        assert sum(reasons) == (state.status == "cancelled")
        assert state.held is not False or state.status not in ("complete", "refunded")


@given(st.permutations(["hold", "pending", "authorized", "authorized", "hold"]))
def test_an_order_completes_in_whatever_sequence_its_payment_and_its_confirmation_arrive(
    steps: list[str],
) -> None:
    versions: dict[PaymentStatus, int] = {"pending": 0, "authorized": 1}
    state = order(held=False)
    for step in steps:
        if step == "hold":
            changes = rules.follow_ticket(state, ticket_event(), ORDER)
        else:
            status: PaymentStatus = step  # type: ignore[assignment] # the only other elements are statuses
            event = payment_event(status, version=versions[status])
            changes = rules.follow_payment(state, event, LATER)
        state = apply(state, changes)
    assert state.status == "complete"


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
