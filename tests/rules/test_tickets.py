from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import OrderEvent, OrderStatus, TicketStatus
from services.orders import rules as orders
from services.orders.rules import TicketNotForSale
from services.tickets import rules
from services.tickets.rules import (
    EventInThePast,
    NotTheSeller,
    TicketReserved,
    TicketSold,
    TicketState,
    TicketWithdrawn,
)
from tests.rules.builders import NOW, ORDER, SELLER, SOON, STRANGER, offered, order_event, ticket

LATER_ORDER = "65f0c0ffee00000000000009"
LATER = SOON + timedelta(minutes=5)


def follow(state: TicketState, *news: OrderEvent) -> TicketState:
    """What a ticket becomes that hears these in this order."""
    for event in news:
        state = state.model_copy(update=dict(rules.follow_order(state, event) or {}))
    return state


def outcome_of(state: TicketState) -> tuple[TicketStatus, str | None]:
    return state.status, state.order_id


def test_its_seller_edits_an_available_ticket() -> None:
    assert rules.edit(ticket(), SELLER, {"title": "Row 5"}, NOW) == {"title": "Row 5"}
    assert rules.show(ticket(), SELLER, "a picture") == {"picture": "a picture"}


def test_nobody_else_edits_or_withdraws_it() -> None:
    with pytest.raises(NotTheSeller):
        rules.edit(ticket(), STRANGER, {"title": "Row 5"}, NOW)
    with pytest.raises(NotTheSeller):
        rules.show(ticket(), STRANGER, "a picture")
    with pytest.raises(NotTheSeller):
        rules.withdraw(ticket(), STRANGER)


@pytest.mark.parametrize(("status", "refused"), [("reserved", TicketReserved), ("sold", TicketSold)])
@pytest.mark.parametrize("withdrawn", [False, True])
def test_a_reserved_or_sold_ticket_stays_as_its_buyer_saw_it(
    status: TicketStatus, refused: type[Exception], withdrawn: bool
) -> None:
    held = ticket(status=status, withdrawn=withdrawn)
    with pytest.raises(refused):
        rules.edit(held, SELLER, {"title": "Row 5"}, NOW)
    with pytest.raises(refused):
        rules.show(held, SELLER, None)
    with pytest.raises(refused):
        rules.withdraw(held, SELLER)


def test_a_stranger_does_not_learn_whether_a_ticket_is_reserved() -> None:
    with pytest.raises(NotTheSeller):
        rules.edit(ticket(status="reserved"), STRANGER, {"starts_at": NOW}, NOW)


def test_a_withdrawn_ticket_can_not_be_edited() -> None:
    withdrawn = ticket(withdrawn=True, status="withdrawn")
    with pytest.raises(TicketWithdrawn):
        rules.edit(withdrawn, SELLER, {"title": "Row 5"}, NOW)
    with pytest.raises(TicketWithdrawn):
        rules.show(withdrawn, SELLER, "a picture")


def test_an_event_must_be_in_the_future() -> None:
    for over in (NOW, NOW - timedelta(days=1)):
        with pytest.raises(EventInThePast):
            rules.check_is_ahead(over, NOW)
        with pytest.raises(EventInThePast):
            rules.edit(ticket(starts_at=SOON), SELLER, {"starts_at": over}, NOW)
    rules.check_is_ahead(SOON, NOW)
    rules.check_is_ahead(None, NOW)


def test_an_event_that_is_over_may_be_put_off() -> None:
    assert rules.edit(ticket(starts_at=NOW), SELLER, {"starts_at": SOON}, NOW) == {"starts_at": SOON}


def test_a_ticket_to_an_event_that_has_begun_is_not_reserved() -> None:
    for over in (NOW, NOW - timedelta(days=1)):
        with pytest.raises(TicketNotForSale, match="The event has begun"):
            orders.check_is_ahead(offered(starts_at=over), NOW)
    orders.check_is_ahead(offered(starts_at=SOON), NOW)
    orders.check_is_ahead(offered(), NOW)


def test_the_picture_that_a_ticket_has_changes_nothing() -> None:
    assert rules.show(ticket(picture="a picture"), SELLER, "a picture") is None
    assert rules.show(ticket(), SELLER, None) is None


def test_withdrawing_takes_it_off_sale() -> None:
    assert rules.withdraw(ticket(), SELLER) == {"withdrawn": True, "status": "withdrawn"}


def test_withdrawing_twice_changes_nothing() -> None:
    assert rules.withdraw(ticket(withdrawn=True, status="withdrawn"), SELLER) is None


@pytest.mark.parametrize(
    ("status", "becomes"),
    [
        ("created", ("reserved", ORDER)),
        ("awaiting:payment", ("reserved", ORDER)),
        ("complete", ("sold", ORDER)),
        ("cancelled", ("available", None)),
        ("refunded", ("sold", ORDER)),
    ],
)
def test_a_ticket_is_what_its_newest_order_says(
    status: OrderStatus, becomes: tuple[TicketStatus, str | None]
) -> None:
    assert outcome_of(follow(ticket(), order_event(status))) == becomes


def test_a_late_cancellation_of_an_older_hold_does_not_free_a_later_buyers_ticket() -> None:
    held = follow(ticket(), order_event("created", hold=2, order_id=LATER_ORDER))
    assert rules.follow_order(held, order_event("cancelled", hold=1, version=9)) is None


def test_a_creation_that_comes_after_its_own_cancellation_takes_nothing() -> None:
    freed = follow(ticket(), order_event("cancelled", version=1))
    assert rules.follow_order(freed, order_event("created", version=0)) is None


def test_a_later_hold_wins_although_its_version_is_lower() -> None:
    sold = follow(
        ticket(),
        order_event("cancelled", hold=1, version=5),
        order_event("complete", hold=2, version=0, order_id=LATER_ORDER),
    )
    assert outcome_of(sold) == ("sold", LATER_ORDER)


def test_a_repeat_changes_nothing() -> None:
    held = follow(ticket(), order_event("created"))
    assert rules.follow_order(held, order_event("created")) is None


def test_a_hold_from_before_a_withdrawal_was_known_wins() -> None:
    withdrawn = ticket(withdrawn=True, status="withdrawn")
    assert outcome_of(follow(withdrawn, order_event("created"))) == ("reserved", ORDER)
    assert outcome_of(follow(withdrawn, order_event("complete", version=2))) == ("sold", ORDER)


def test_a_withdrawn_ticket_that_is_let_go_goes_back_to_withdrawn() -> None:
    withdrawn = ticket(withdrawn=True, status="withdrawn")
    freed = follow(withdrawn, order_event("created"), order_event("cancelled", version=1))
    assert outcome_of(freed) == ("withdrawn", None)


@pytest.mark.parametrize("withdrawn", [False, True])
def test_a_refunded_ticket_that_is_relisted_is_the_sellers_again(withdrawn: bool) -> None:
    sold = follow(ticket(withdrawn=withdrawn), order_event("complete", version=1))
    relisted = follow(sold, order_event("refunded", version=2, relisted=True))
    assert outcome_of(relisted) == ("withdrawn" if withdrawn else "available", None)


@pytest.mark.parametrize("status", ["created", "awaiting:payment"])
def test_a_held_ticket_says_until_when(status: OrderStatus) -> None:
    assert follow(ticket(), order_event(status)).held_until == SOON


@pytest.mark.parametrize("status", ["complete", "cancelled", "refunded"])
@pytest.mark.parametrize("withdrawn", [False, True])
def test_a_ticket_that_nobody_holds_says_no_time(status: OrderStatus, withdrawn: bool) -> None:
    held = follow(ticket(withdrawn=withdrawn), order_event("created"))
    assert follow(held, order_event(status, version=1)).held_until is None


def test_a_hold_that_got_more_time_is_held_until_then_and_an_older_deadline_does_not_come_back() -> None:
    extended = order_event("created", version=1, expires_at=LATER)
    assert follow(ticket(), order_event("created"), extended).held_until == LATER
    assert follow(ticket(), extended, order_event("created")).held_until == LATER


def test_a_later_hold_ends_when_it_says_although_an_earlier_one_would_have_ended_later() -> None:
    freed = follow(
        ticket(),
        order_event("created", expires_at=LATER),
        order_event("cancelled", version=1, expires_at=LATER),
    )
    held = follow(freed, order_event("created", hold=2, order_id=LATER_ORDER))
    assert held.held_until == SOON


def test_a_sold_ticket_says_whether_the_buyer_got_the_money_back() -> None:
    sold = follow(ticket(), order_event("complete", version=1))
    assert not sold.refunded
    refunded = follow(sold, order_event("refunded", version=2))
    assert refunded.refunded
    assert not follow(refunded, order_event("refunded", version=3, relisted=True)).refunded
    assert not follow(sold, order_event("refunded", version=2, relisted=True)).refunded


@st.composite
def histories(draw: st.DrawFn) -> list[OrderEvent]:
    """All that happened to the orders of one ticket, oldest first: each but the last was cancelled."""
    events: list[OrderEvent] = []
    holds = draw(st.integers(1, 4))
    endings: list[tuple[OrderStatus, ...]] = [("cancelled",), ("complete",), ("complete", "refunded"), ()]
    for hold in range(1, holds + 1):
        course: list[OrderStatus] = ["created"]
        course += draw(st.sampled_from([(), ("awaiting:payment",)]))
        course += draw(st.sampled_from(endings)) if hold == holds else ("cancelled",)
        order_id = f"{hold:024x}"
        events += [
            order_event(
                status,
                hold=hold,
                version=version,
                order_id=order_id,
                expires_at=SOON + timedelta(minutes=10 * hold + version),
            )
            for version, status in enumerate(course)
        ]
    return events


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[OrderEvent], list[OrderEvent]]:
    """A history, and what is heard of it: repeated, swapped, with gaps, but its newest event somewhere."""
    history = draw(histories())
    others = draw(st.lists(st.sampled_from(history), max_size=12))
    return history, draw(st.permutations([*others, history[-1]]))


STATUS_OF: dict[OrderStatus, TicketStatus] = {
    "created": "reserved",
    "awaiting:payment": "reserved",
    "complete": "sold",
    "cancelled": "available",
    "refunded": "sold",
}


@given(deliveries())
def test_however_events_come_the_ticket_ends_as_the_newest_says(
    delivered: tuple[list[OrderEvent], list[OrderEvent]],
) -> None:
    history, heard = delivered
    newest = history[-1]
    holder = None if newest.status == "cancelled" else newest.id
    assert outcome_of(follow(ticket(), *heard)) == (STATUS_OF[newest.status], holder)


@given(deliveries())
def test_at_every_moment_the_ticket_is_what_the_newest_event_so_far_says(
    delivered: tuple[list[OrderEvent], list[OrderEvent]],
) -> None:
    history, heard = delivered
    state = ticket()
    for count, event in enumerate(heard, start=1):
        state = follow(state, event)
        newest = max(heard[:count], key=history.index)
        assert state.status == STATUS_OF[newest.status]
        assert (state.hold, state.order_version) == (newest.hold, newest.version)
        assert state.held_until == (newest.expires_at if state.status == "reserved" else None)


@given(deliveries(), st.data())
def test_a_withdrawal_at_any_moment_is_remembered(
    delivered: tuple[list[OrderEvent], list[OrderEvent]], data: st.DataObject
) -> None:
    """Withdrawn by its seller whenever that is allowed, it is never for sale again."""
    _, heard = delivered
    moment = data.draw(st.integers(0, len(heard)))
    state = follow(ticket(), *heard[:moment])
    if state.status != "available":
        return
    state = state.model_copy(update=dict(rules.withdraw(state, SELLER) or {}))
    for event in heard[moment:]:
        state = follow(state, event)
        assert state.status != "available"
