"""The delivery of an order: from the payment to the confirmation or the refund."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import GRACE
from kit.errors import ServiceError
from services.orders import delivery, rules
from services.orders.rules import OrderState
from tests.unit.rules.builders import (
    BUYER,
    NOW,
    ORDER,
    SELLER,
    STRANGER,
    order,
    order_event,
    reservable_ticket,
    ticket_event,
)

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
FAR = NOW + 30 * DAY


def unpaid(how: str = "seller", **special: Any) -> OrderState:
    starts_at = special.pop("starts_at", FAR)
    details = {"delivery": how, "starts_at": starts_at}
    return order(**{"seller_id": SELLER, "details": details, **special})


def changed(state: OrderState, changes: Any) -> OrderState:
    return state.model_copy(update=dict(changes or {}))


def paid(how: str = "seller", at: datetime = NOW, **special: Any) -> OrderState:
    """The order after its payment at this time."""
    before = unpaid(how, **special)
    changes = {**rules.move_to("complete"), "paid_at": at}
    return changed(before, {**changes, **delivery.follow_status(before, changes, at)})


def files(**special: Any) -> Any:
    """The event that tickets has the files of this order."""
    return ticket_event(status="sold", delivery="instant", **special)


# --- The deadline ---


def test_sealed_files_are_delivered_by_the_payment() -> None:
    sealed = unpaid("instant", delivery="sealed")
    state = changed(sealed, delivery.follow_status(sealed, rules.move_to("complete"), NOW))
    assert (state.delivery, state.delivered_at, state.deliver_by) == ("delivered", NOW, None)


@pytest.mark.parametrize(
    ("starts_at", "deliver_by"),
    [
        (None, NOW + DAY),
        (NOW + 28 * HOUR, NOW + DAY),
        (NOW + 27 * HOUR, NOW + 23 * HOUR),
        (NOW + 5 * HOUR, NOW + HOUR),
    ],
)
def test_promised_files_are_due_a_day_after_the_payment_and_four_hours_before_the_start(
    starts_at: datetime | None, deliver_by: datetime
) -> None:
    state = paid("promised", starts_at=starts_at)
    assert (state.delivery, state.deliver_by) == ("due", deliver_by)


def test_the_hours_are_those_that_were_agreed_at_the_reservation() -> None:
    assert paid("promised", delivery_hours=2).deliver_by == NOW + 2 * HOUR


@pytest.mark.parametrize("starts_at", [None, FAR])
def test_a_handover_is_due_until_the_event_starts(starts_at: datetime | None) -> None:
    state = paid("seller", starts_at=starts_at)
    assert (state.delivery, state.deliver_by) == ("due", starts_at)


@pytest.mark.parametrize(
    ("how", "left", "allowed"),
    [
        ("promised", 5 * HOUR, True),
        ("promised", 5 * HOUR - timedelta(seconds=1), False),
        ("instant", HOUR, True),
        ("seller", HOUR, True),
    ],
)
def test_a_promised_ticket_cant_be_reserved_in_the_last_five_hours(
    how: str, left: timedelta, allowed: bool
) -> None:
    ticket = reservable_ticket(delivery=how, starts_at=NOW + left)
    if allowed:
        delivery.check_can_be_delivered(ticket, NOW)
    else:
        with pytest.raises(delivery.TooLateToDeliver):
            delivery.check_can_be_delivered(ticket, NOW)


@given(left=st.integers(5 * 60, 40 * 24 * 60), to_pay=st.integers(0, 35))
def test_the_deadline_is_always_later_than_the_payment(left: int, to_pay: int) -> None:
    ticket = reservable_ticket(delivery="promised", starts_at=NOW + timedelta(minutes=left))
    delivery.check_can_be_delivered(ticket, NOW)
    at = NOW + timedelta(minutes=to_pay)
    deliver_by = paid("promised", at, starts_at=ticket.starts_at).deliver_by
    assert deliver_by is not None
    assert deliver_by > at


# --- Files ---


def test_files_of_a_held_ticket_seal_its_order() -> None:
    for how in ("instant", "promised"):
        state = unpaid(how)
        assert delivery.follow_ticket(state, files(), ORDER, NOW) == {"delivery": "sealed"}
    assert delivery.follow_ticket(unpaid(delivery="sealed"), files(), ORDER, NOW) is None


def test_files_for_another_order_or_without_a_file_missing_deliver_nothing() -> None:
    state = paid("promised")
    assert delivery.follow_ticket(state, files(order_id="65f0c0ffee00000000000099"), ORDER, NOW) is None
    assert delivery.follow_ticket(state, ticket_event(status="sold", delivery="promised"), ORDER, NOW) is None


def test_files_that_arrive_deliver_the_ticket_at_the_time_at_which_they_were_complete() -> None:
    state = paid("promised")
    ready_at = NOW + HOUR
    after = changed(state, delivery.follow_ticket(state, files(files_ready_at=ready_at), ORDER, NOW + DAY))
    assert (after.delivery, after.delivered_at) == ("delivered", ready_at)
    assert delivery.follow_ticket(after, files(files_ready_at=ready_at), ORDER, NOW + DAY) is None


def test_files_that_were_complete_before_the_payment_are_delivered_by_the_payment() -> None:
    state = paid("promised")
    after = changed(state, delivery.follow_ticket(state, files(files_ready_at=NOW - HOUR), ORDER, NOW + HOUR))
    assert after.delivered_at == NOW


def test_files_after_the_delivery_failed_do_not_revive_it() -> None:
    state = paid("promised")
    assert state.deliver_by is not None
    failed = changed(state, delivery.pass_time(state, state.deliver_by + GRACE))
    assert failed.delivery == "failed"
    assert delivery.follow_ticket(failed, files(), ORDER, NOW + 2 * DAY) is None


@pytest.mark.parametrize(
    ("agreed", "offered"), [("instant", "promised"), ("instant", "seller"), ("promised", "seller")]
)
def test_a_hold_is_refused_if_the_ticket_is_no_longer_delivered_as_well_as_agreed(
    agreed: str, offered: str
) -> None:
    for how, refused in ((offered, True), (agreed, False)):
        state = unpaid(agreed, held=False)
        changes = rules.follow_ticket(state, ticket_event(delivery=how), ORDER)
        assert changed(state, changes).hold_refused == refused


# --- The deadline passes ---


def test_an_overdue_promise_fails_after_the_grace_period() -> None:
    state = paid("promised")
    by = state.deliver_by
    assert by is not None
    assert delivery.pass_time(state, by + GRACE - timedelta(seconds=1)) is None
    after = changed(state, delivery.pass_time(state, by + GRACE))
    assert (after.delivery, after.overdue_at, after.delivery_acts) == ("failed", by, False)
    assert delivery.pass_time(after, by + DAY) is None


def test_the_seller_of_promised_files_is_reminded_once_at_half_of_the_time() -> None:
    state = paid("promised")
    half = NOW + 12 * HOUR
    assert (state.delivery_acts, state.delivery_acts_at) == (True, half)
    assert delivery.pass_time(state, half - timedelta(seconds=1)) is None
    after = changed(state, delivery.pass_time(state, half))
    assert (after.delivery, after.reminded_at) == ("due", half)
    assert (after.delivery_acts, after.delivery_acts_at) == (True, after.deliver_by)
    assert delivery.pass_time(after, half + HOUR) is None


def test_a_reminder_that_would_come_after_the_deadline_isnt_sent() -> None:
    state = paid("promised")
    assert state.deliver_by is not None
    assert delivery.pass_time(state, state.deliver_by) is None
    failed = changed(state, delivery.pass_time(state, state.deliver_by + GRACE))
    assert (failed.delivery, failed.reminded_at) == ("failed", None)


def test_nobody_is_reminded_of_files_that_are_there_or_werent_promised() -> None:
    delivered = changed(paid("promised"), delivery.follow_ticket(paid("promised"), files(), ORDER, NOW))
    for state in (delivered, paid("seller")):
        assert delivery.pass_time(state, NOW + 13 * HOUR) is None


def test_an_overdue_handover_is_only_marked_and_can_still_be_done() -> None:
    state = paid("seller")
    after = changed(state, delivery.pass_time(state, FAR + GRACE))
    assert (after.delivery, after.overdue_at, after.delivery_acts) == ("due", FAR, False)
    assert delivery.pass_time(after, FAR + DAY) is None
    assert changed(after, delivery.hand_over(after, SELLER, FAR + DAY)).delivery == "delivered"


def test_a_timer_of_an_order_that_was_refunded_or_delivered_has_no_effect() -> None:
    state = paid("promised")
    refunded = changed(
        state,
        {**rules.move_to("refunded"), **delivery.follow_status(state, rules.move_to("refunded"), NOW)},
    )
    delivered = changed(state, delivery.follow_ticket(state, files(), ORDER, NOW))
    for each in (refunded, delivered):
        assert delivery.pass_time(each, NOW + 2 * DAY) is None
    assert not refunded.delivery_acts


def test_a_cancelled_order_delivers_nothing() -> None:
    state = unpaid("instant", delivery="sealed")
    assert delivery.follow_status(state, rules.move_to("cancelled"), NOW) == {"delivery": None}


# --- Handover and confirmation ---


def test_the_seller_marks_a_handover_once() -> None:
    state = paid("seller")
    after = changed(state, delivery.hand_over(state, SELLER, NOW + HOUR))
    assert (after.delivery, after.delivered_at) == ("delivered", NOW + HOUR)
    assert delivery.hand_over(after, SELLER, NOW + DAY) is None


@pytest.mark.parametrize(
    ("state", "by", "error"),
    [
        (paid("seller"), BUYER, delivery.NotTheSeller),
        (paid("seller"), STRANGER, delivery.NotTheSeller),
        (paid("promised"), SELLER, delivery.UploadInstead),
        (unpaid("seller"), SELLER, delivery.NothingToHandOver),
        (changed(paid("promised"), {"delivery": "failed"}), SELLER, delivery.NothingToHandOver),
        (changed(paid("seller"), rules.move_to("refunded")), SELLER, delivery.NothingToHandOver),
        (changed(paid("seller"), {"delivery": None}), SELLER, delivery.NothingToHandOver),
    ],
)
def test_nobody_else_and_nothing_else_is_handed_over(
    state: OrderState, by: str, error: type[ServiceError]
) -> None:
    with pytest.raises(error):
        delivery.hand_over(state, by, NOW)


def test_the_buyer_confirms_a_delivery_once() -> None:
    state = paid("seller")
    handed_over = changed(state, delivery.hand_over(state, SELLER, NOW))
    after = changed(handed_over, delivery.confirm(handed_over, NOW + HOUR))
    assert (after.delivery, after.confirmed_at, after.delivery_acts) == ("confirmed", NOW + HOUR, False)
    assert after.confirmed_by_buyer
    assert delivery.confirm(after, NOW + DAY) is None


def test_the_buyer_may_confirm_a_handover_that_the_seller_has_not_marked() -> None:
    state = paid("seller")
    after = changed(state, delivery.confirm(state, NOW + HOUR))
    assert (after.delivery, after.delivered_at) == ("confirmed", NOW + HOUR)
    assert after.confirmed_by_buyer


@pytest.mark.parametrize(
    "state",
    [unpaid(), paid("promised"), changed(paid("promised"), {"delivery": "failed"})],
    ids=["unpaid", "due", "failed"],
)
def test_what_was_not_delivered_cant_be_confirmed(state: OrderState) -> None:
    with pytest.raises(delivery.NotDelivered):
        delivery.confirm(state, NOW)


@pytest.mark.parametrize(
    ("starts_at", "delivered_at", "confirmed_at"),
    [
        (FAR, NOW, FAR + 48 * HOUR),
        (FAR, FAR + HOUR, FAR + 49 * HOUR),
        (None, NOW + HOUR, NOW + HOUR + 7 * DAY),
    ],
)
def test_a_delivery_is_confirmed_when_the_time_to_report_a_problem_is_over(
    starts_at: datetime | None, delivered_at: datetime, confirmed_at: datetime
) -> None:
    state = paid("seller", starts_at=starts_at)
    delivered = changed(state, delivery.hand_over(state, SELLER, delivered_at))
    assert delivery.pass_time(delivered, confirmed_at - timedelta(seconds=1)) is None
    after = changed(delivered, delivery.pass_time(delivered, confirmed_at + HOUR))
    assert (after.delivery, after.confirmed_at) == ("confirmed", confirmed_at)
    assert not after.confirmed_by_buyer


def test_an_order_event_carries_the_delivery() -> None:
    event = order_event("complete", version=2, delivery="due", deliver_by=NOW)
    assert (event.delivery, event.deliver_by) == ("due", NOW)


# --- Every history ---

HOW = st.sampled_from(["instant", "promised", "seller"])
STEPS = st.lists(
    st.sampled_from(["files", "time", "hand-over", "confirm", "refund", "long-time"]), max_size=12
)
FINAL = {"failed", "confirmed"}


@given(how=HOW, steps=STEPS)
def test_a_delivery_only_moves_forward(how: str, steps: list[str]) -> None:
    """A failed or confirmed delivery stays so, and a delivered one never fails."""
    ranks = {"due": 0, "delivered": 1, "confirmed": 2, "failed": 3}
    state, at = paid(how), NOW
    for step in steps:
        before = state
        try:
            match step:
                case "files":
                    state = changed(state, delivery.follow_ticket(state, files(), ORDER, at))
                case "hand-over":
                    state = changed(state, delivery.hand_over(state, SELLER, at))
                case "confirm":
                    state = changed(state, delivery.confirm(state, at))
                case "refund":
                    changes = rules.move_to("refunded")
                    state = changed(state, {**changes, **delivery.follow_status(state, changes, at)})
                case _:
                    at += 40 * DAY if step == "long-time" else DAY
                    state = changed(state, delivery.pass_time(state, at))
        except ServiceError:
            pass
        assert state.delivery is not None
        assert before.delivery is not None
        assert ranks[state.delivery] >= ranks[before.delivery]
        assert not (before.delivery in FINAL and state.delivery != before.delivery)
        assert not (before.delivery == "delivered" and state.delivery == "failed")
        assert state.delivery_acts == (state.delivery_acts_at is not None)
