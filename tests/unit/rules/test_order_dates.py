"""Orders of events whose date changes: the deadline, the times to report and to pay, and old events."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from contracts.events import GRACE
from services.orders import dates, delivery, problems, rules
from services.orders.rules import OrderState
from services.payouts.actions import order_fields
from services.payouts.rules import OrderFacts, due_time
from tests.unit.rules.builders import NOW, ORDER, SELLER, order, order_event, ticket_event

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = NOW + 30 * DAY
LATER = START + 7 * DAY


def paid(how: str = "seller", starts_at: datetime | None = START, at: datetime = NOW) -> OrderState:
    before = order(seller_id=SELLER, details={"delivery": how, "starts_at": starts_at})
    changes = {**rules.move_to("complete"), "paid_at": at}
    return before.model_copy(update={**changes, **delivery.follow_status(before, changes, at)})


def moved(
    state: OrderState, starts_at: datetime | None, number: int = 1, now: datetime = NOW, **special: Any
) -> OrderState:
    event = ticket_event(status="sold", starts_at=starts_at, date_changes=number, **special)
    return state.model_copy(update=dict(dates.follow_ticket(state, event, ORDER, now) or {}))


def delivered(at: datetime = NOW) -> OrderState:
    state = paid()
    return state.model_copy(update=dict(delivery.hand_over(state, SELLER, at) or {}))


def test_an_order_takes_over_the_date_and_the_zone_and_remembers_the_former_date() -> None:
    state = moved(paid(), LATER, time_zone="Europe/Paris")
    assert (state.details.starts_at, state.details.time_zone) == (LATER, "Europe/Paris")
    assert (state.former_starts_at, state.date_changed_at) == (START, NOW)
    again = moved(state, LATER + DAY, 2)
    assert (again.details.starts_at, again.former_starts_at) == (LATER + DAY, START)


def test_repeated_and_older_events_change_nothing() -> None:
    state = moved(paid(), LATER, 2)
    for number in (0, 1, 2):
        event = ticket_event(status="sold", starts_at=START, date_changes=number)
        assert dates.follow_ticket(state, event, ORDER, NOW) is None


def test_a_date_that_was_changed_back_is_not_changed_again_by_an_older_event() -> None:
    state = moved(moved(paid(), START, 2), LATER, 1)
    assert (state.details.starts_at, state.former_starts_at, state.date_changes) == (START, None, 2)


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (paid(), {"order_id": "f" * 24}),
        (paid(starts_at=None), {}),
        (paid(), {"starts_at": None}),
        (paid().model_copy(update={"status": "refunded"}), {}),
        (paid().model_copy(update={"status": "cancelled"}), {}),
    ],
    ids=["another order", "undated order", "undated ticket", "refunded", "cancelled"],
)
def test_the_date_is_nobody_elses(state: OrderState, event: dict[str, Any]) -> None:
    made = ticket_event(**{"status": "sold", "starts_at": LATER, "date_changes": 1, **event})
    assert dates.follow_ticket(state, made, ORDER, NOW) is None


def test_an_unpaid_order_gets_its_deadline_from_the_new_date() -> None:
    before = order(details={"delivery": "promised", "starts_at": START})
    state = moved(before, NOW + 20 * HOUR)
    changes = {**rules.move_to("complete"), "paid_at": NOW}
    assert delivery.follow_status(state, changes, NOW)["deliver_by"] == NOW + 16 * HOUR


def test_a_handover_is_due_at_the_new_start_and_no_longer_overdue_after_a_postponement() -> None:
    state = paid()
    assert (state.deliver_by, moved(state, LATER).deliver_by) == (START, LATER)
    overdue = state.model_copy(update=dict(delivery.pass_time(state, START + GRACE) or {}))
    assert overdue.overdue_at == START
    postponed = moved(overdue, LATER, now=START + DAY)
    assert (postponed.overdue_at, postponed.delivery_acts_at) == (None, LATER)
    assert delivery.pass_time(postponed, LATER + GRACE) is not None


def test_promised_files_are_not_due_later_after_a_postponement() -> None:
    state = paid("promised", NOW + 20 * HOUR)
    assert state.deliver_by == NOW + 16 * HOUR
    assert moved(state, LATER).deliver_by == NOW + 16 * HOUR


def test_promised_files_are_due_earlier_for_an_earlier_event_but_not_at_once() -> None:
    state = paid("promised")
    assert moved(state, NOW + 10 * HOUR).deliver_by == NOW + 6 * HOUR
    mistaken = moved(state, NOW - 365 * DAY)
    assert mistaken.deliver_by == NOW + dates.LEAST_NOTICE
    assert delivery.pass_time(mistaken, NOW + GRACE) is None


def test_a_delivery_is_confirmed_and_a_problem_reported_until_48_hours_after_the_new_start() -> None:
    state = moved(delivered(), LATER)
    assert state.delivery_acts_at == LATER + 48 * HOUR
    assert problems.report_until(state) == LATER + 48 * HOUR
    assert delivery.pass_time(state, START + 49 * HOUR) is None


def test_neither_is_ever_earlier_than_the_buyer_was_told() -> None:
    state = moved(moved(delivered(), LATER), START - 7 * DAY, 2)
    assert state.details.starts_at == START - 7 * DAY
    assert state.delivery_acts_at == LATER + 48 * HOUR
    assert problems.report_until(state) == LATER + 48 * HOUR


def test_a_stopped_confirmation_stays_stopped() -> None:
    reported = delivered().model_copy(update=delivery.acts_at(None))
    assert moved(reported, LATER).delivery_acts_at is None


def test_the_money_waits_for_the_latest_date_that_the_buyer_was_told() -> None:
    hours = 72 * HOUR
    event = order_event("complete", paid_at=NOW)
    for latest, due in ((None, START), (LATER, LATER)):
        told = event.model_copy(
            update={
                "ticket": event.ticket.model_copy(update={"starts_at": START}),
                "latest_starts_at": latest,
            }
        )
        assert due_time(OrderFacts.model_validate(order_fields(told)), hours) == due + hours
