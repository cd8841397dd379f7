import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import OrderEvent, OrderStatus, TicketStatus
from contracts.money import minimum_charge
from services.orders import rules as orders
from services.orders.rules import TicketNotForSale
from services.tickets import failures, rules
from services.tickets.rules import (
    EventInThePast,
    NotTheSeller,
    PriceTooLow,
    TicketReserved,
    TicketSold,
    TicketState,
    TicketWithdrawn,
    check_price,
)
from tests.unit.rules.builders import (
    BUYER,
    NOW,
    ORDER,
    SELLER,
    SOON,
    STRANGER,
    order_event,
    reservable_ticket,
    ticket,
)

LATER_ORDER = "65f0c0ffee00000000000009"
LATER = SOON + timedelta(minutes=5)


def follow(state: TicketState, *events: OrderEvent) -> TicketState:
    """The ticket after these events, in this order."""
    for event in events:
        state = state.model_copy(update=dict(rules.follow_order(state, event) or {}))
    return state


def outcome_of(state: TicketState) -> tuple[TicketStatus, str | None]:
    return state.status, state.order_id


def test_the_seller_can_edit_an_available_ticket() -> None:
    assert rules.edit(ticket(), SELLER, {"title": "Row 5"}, NOW) == {"title": "Row 5"}
    assert rules.set_picture(ticket(), SELLER, "a picture") == {"picture": "a picture"}


def test_only_the_seller_can_edit_or_withdraw_a_ticket() -> None:
    with pytest.raises(NotTheSeller):
        rules.edit(ticket(), STRANGER, {"title": "Row 5"}, NOW)
    with pytest.raises(NotTheSeller):
        rules.set_picture(ticket(), STRANGER, "a picture")
    with pytest.raises(NotTheSeller):
        rules.withdraw(ticket(), STRANGER)


@pytest.mark.parametrize(("status", "refused"), [("reserved", TicketReserved), ("sold", TicketSold)])
@pytest.mark.parametrize("withdrawn", [False, True])
def test_a_reserved_or_sold_ticket_can_be_neither_edited_nor_withdrawn(
    status: TicketStatus, refused: type[Exception], withdrawn: bool
) -> None:
    held = ticket(status=status, withdrawn=withdrawn)
    with pytest.raises(refused):
        rules.edit(held, SELLER, {"title": "Row 5"}, NOW)
    with pytest.raises(refused):
        rules.set_picture(held, SELLER, None)
    with pytest.raises(refused):
        rules.withdraw(held, SELLER)


def test_an_edit_by_another_user_is_refused_before_the_status_is_checked() -> None:
    with pytest.raises(NotTheSeller):
        rules.edit(ticket(status="reserved"), STRANGER, {"starts_at": NOW}, NOW)


def test_a_withdrawn_ticket_cannot_be_edited() -> None:
    withdrawn = ticket(withdrawn=True, status="withdrawn")
    with pytest.raises(TicketWithdrawn):
        rules.edit(withdrawn, SELLER, {"title": "Row 5"}, NOW)
    with pytest.raises(TicketWithdrawn):
        rules.set_picture(withdrawn, SELLER, "a picture")


def test_an_event_must_be_in_the_future() -> None:
    for over in (NOW, NOW - timedelta(days=1)):
        with pytest.raises(EventInThePast):
            rules.check_has_not_begun(over, NOW)
        with pytest.raises(EventInThePast):
            rules.edit(ticket(starts_at=SOON), SELLER, {"starts_at": over}, NOW)
    rules.check_has_not_begun(SOON, NOW)
    rules.check_has_not_begun(None, NOW)


def test_an_event_that_has_begun_can_be_moved_to_the_future() -> None:
    assert rules.edit(ticket(starts_at=NOW), SELLER, {"starts_at": SOON}, NOW) == {"starts_at": SOON}


def test_a_ticket_for_an_event_that_has_begun_cannot_be_reserved() -> None:
    for over in (NOW, NOW - timedelta(days=1)):
        with pytest.raises(TicketNotForSale, match="The event has begun"):
            orders.check_has_not_begun(reservable_ticket(starts_at=over), NOW)
    orders.check_has_not_begun(reservable_ticket(starts_at=SOON), NOW)
    orders.check_has_not_begun(reservable_ticket(), NOW)


def test_setting_the_same_picture_again_changes_nothing() -> None:
    assert rules.set_picture(ticket(picture="a picture"), SELLER, "a picture") is None
    assert rules.set_picture(ticket(), SELLER, None) is None


def test_withdrawing_takes_a_ticket_off_sale() -> None:
    assert rules.withdraw(ticket(), SELLER) == {"withdrawn": True, "status": "withdrawn"}


def test_an_operator_can_withdraw_a_ticket_of_any_seller_that_is_on_sale() -> None:
    assert rules.withdraw_by_operator(ticket()) == {"withdrawn": True, "status": "withdrawn"}
    assert rules.withdraw_by_operator(ticket(withdrawn=True, status="withdrawn")) is None


@pytest.mark.parametrize("withdrawn", [False, True])
def test_an_operator_who_cannot_withdraw_a_ticket_learns_which_order_has_it(withdrawn: bool) -> None:
    held = ticket(status="reserved", order_id=ORDER, withdrawn=withdrawn)
    with pytest.raises(TicketReserved, match=f"Order {ORDER} holds the ticket. Cancel the order first"):
        rules.withdraw_by_operator(held)
    with pytest.raises(TicketSold, match=f"sold to order {ORDER}"):
        rules.withdraw_by_operator(ticket(status="sold", order_id=ORDER, withdrawn=withdrawn))


def test_a_removed_listing_leaves_the_sale_at_once_or_when_its_order_frees_it() -> None:
    removed = {"withdrawn": True, "removal_reason": "stolen"}
    assert rules.remove(ticket(), "stolen") == {**removed, "status": "withdrawn"}
    held = ticket(status="reserved", hold=1, order_version=0, order_id=ORDER)
    assert rules.remove(held, "stolen") == removed
    held = held.model_copy(update=removed)
    assert rules.remove(held, "stolen") is None, "repeated"
    assert outcome_of(follow(held, order_event("cancelled", version=1))) == ("withdrawn", None)
    again = order_event("created", order_id=LATER_ORDER, hold=2)
    assert outcome_of(follow(held, again)) == ("withdrawn", None), "the next hold is refused"
    assert outcome_of(follow(held, order_event("complete", version=1))) == ("sold", ORDER)


def test_the_listing_of_a_sold_ticket_cannot_be_removed() -> None:
    with pytest.raises(TicketSold, match=f"sold to order {ORDER}"):
        rules.remove(ticket(status="sold", order_id=ORDER), "stolen")


def test_withdrawing_a_ticket_twice_changes_nothing() -> None:
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
def test_the_status_of_a_ticket_follows_its_order(
    status: OrderStatus, becomes: tuple[TicketStatus, str | None]
) -> None:
    assert outcome_of(follow(ticket(), order_event(status))) == becomes


def test_a_late_cancellation_of_an_earlier_hold_does_not_release_a_later_buyers_ticket() -> None:
    held = follow(ticket(), order_event("created", hold=2, order_id=LATER_ORDER))
    assert rules.follow_order(held, order_event("cancelled", hold=1, version=9)) is None


def test_the_creation_of_an_order_received_after_its_cancellation_changes_nothing() -> None:
    released = follow(ticket(), order_event("cancelled", version=1))
    assert rules.follow_order(released, order_event("created", version=0)) is None


def test_a_later_hold_wins_even_with_a_lower_version() -> None:
    sold = follow(
        ticket(),
        order_event("cancelled", hold=1, version=5),
        order_event("complete", hold=2, version=0, order_id=LATER_ORDER),
    )
    assert outcome_of(sold) == ("sold", LATER_ORDER)


def test_a_repeated_order_event_changes_nothing() -> None:
    held = follow(ticket(), order_event("created"))
    assert rules.follow_order(held, order_event("created")) is None


LIVE: tuple[OrderStatus, ...] = ("created", "awaiting:payment")
OUTDATED = [{"price_minor": 90000}, {"title": "Row 5"}, {"withdrawn": True, "status": "withdrawn"}]
"""What the seller has changed since the orders service made the order."""


@pytest.mark.parametrize("status", LIVE)
@pytest.mark.parametrize("change", OUTDATED)
def test_a_hold_of_a_ticket_that_was_changed_or_withdrawn_is_refused(
    status: OrderStatus, change: dict[str, Any]
) -> None:
    before = ticket(**change)
    refused = follow(before, order_event(status))
    assert outcome_of(refused) == (before.status, None)
    assert (refused.hold, refused.price_minor, refused.held_until) == (1, before.price_minor, None)


def test_a_hold_of_a_ticket_with_the_ordered_price_and_title_is_accepted_whatever_else_has_changed() -> None:
    changed = ticket(notes="By the aisle", picture="a picture", venue="Globe")
    assert outcome_of(follow(changed, order_event("created"))) == ("reserved", ORDER)


@pytest.mark.parametrize("status", LIVE)
def test_a_refused_hold_stays_refused_even_if_the_seller_restores_the_ticket(status: OrderStatus) -> None:
    refused = follow(ticket(price_minor=90000), order_event("created"))
    restored = refused.model_copy(update={"price_minor": 1999})
    assert rules.follow_order(restored, order_event(status, version=1)) is None
    freed = follow(restored, order_event("cancelled", version=2))
    assert (outcome_of(freed), freed.order_version) == (("available", None), 2)


def test_the_next_hold_after_a_refused_one_is_decided_anew() -> None:
    refused = follow(ticket(price_minor=90000), order_event("created"))
    second = order_event("created", hold=2, order_id=LATER_ORDER, price="900")
    assert outcome_of(follow(refused, second)) == ("reserved", LATER_ORDER)


def test_a_hold_is_confirmed_although_the_cancellation_of_the_earlier_one_is_still_missing() -> None:
    second = order_event("created", hold=2, order_id=LATER_ORDER)
    assert outcome_of(follow(ticket(), order_event("created"), second)) == ("reserved", LATER_ORDER)


@pytest.mark.parametrize("change", OUTDATED)
def test_a_complete_order_has_its_ticket_even_if_its_hold_would_be_refused(change: dict[str, Any]) -> None:
    """Earlier versions of the orders service complete orders without a confirmed hold."""
    for events in ([], [order_event("created")]):
        sold = follow(ticket(**change), *events, order_event("complete", version=2))
        assert (outcome_of(sold), sold.price_minor) == (("sold", ORDER), 1999)


def test_a_ticket_whose_hold_was_accepted_despite_its_withdrawal_is_withdrawn_again_when_released() -> None:
    """Earlier versions accepted such holds."""
    held = ticket(withdrawn=True, status="reserved", hold=1, order_version=0, order_id=ORDER)
    extended = order_event("created", version=1, expires_at=LATER)
    assert follow(held, extended).held_until == LATER
    assert outcome_of(follow(held, order_event("cancelled", version=1))) == ("withdrawn", None)


@pytest.mark.parametrize("withdrawn", [False, True])
def test_a_relisted_ticket_is_available_or_withdrawn_after_the_refund(withdrawn: bool) -> None:
    sold = follow(ticket(withdrawn=withdrawn), order_event("complete", version=1))
    relisted = follow(sold, order_event("refunded", version=2, relisted=True))
    assert outcome_of(relisted) == ("withdrawn" if withdrawn else "available", None)


@pytest.mark.parametrize("status", ["created", "awaiting:payment"])
def test_a_reserved_ticket_has_the_deadline_of_its_order(status: OrderStatus) -> None:
    assert follow(ticket(), order_event(status)).held_until == SOON


@pytest.mark.parametrize("status", ["complete", "cancelled", "refunded"])
@pytest.mark.parametrize("withdrawn", [False, True])
def test_a_ticket_that_is_not_reserved_has_no_deadline(status: OrderStatus, withdrawn: bool) -> None:
    held = ticket(withdrawn=withdrawn, status="reserved", hold=1, order_version=0, order_id=ORDER)
    assert follow(held, order_event(status, version=1)).held_until is None


def test_an_extended_hold_has_the_later_deadline_in_whatever_sequence_events_arrive() -> None:
    extended = order_event("created", version=1, expires_at=LATER)
    assert follow(ticket(), order_event("created"), extended).held_until == LATER
    assert follow(ticket(), extended, order_event("created")).held_until == LATER


def test_a_later_hold_has_its_own_deadline_even_if_an_earlier_hold_had_a_later_deadline() -> None:
    released = follow(
        ticket(),
        order_event("created", expires_at=LATER),
        order_event("cancelled", version=1, expires_at=LATER),
    )
    held = follow(released, order_event("created", hold=2, order_id=LATER_ORDER))
    assert held.held_until == SOON


def test_a_sold_ticket_is_marked_as_refunded_unless_it_is_relisted() -> None:
    sold = follow(ticket(), order_event("complete", version=1))
    assert not sold.refunded
    refunded = follow(sold, order_event("refunded", version=2))
    assert refunded.refunded
    assert not follow(refunded, order_event("refunded", version=3, relisted=True)).refunded
    assert not follow(sold, order_event("refunded", version=2, relisted=True)).refunded


def test_a_sold_ticket_knows_what_its_buyer_got_back_and_whether_the_payment_is_disputed() -> None:
    partly = order_event("complete", version=2, refunded_amount=500, dispute="open")
    sold = follow(ticket(), partly)
    assert (sold.refunded_minor, sold.dispute, sold.refunded) == (500, "open", False)
    refunded = follow(sold, order_event("refunded", version=3))
    assert (refunded.refunded_minor, refunded.dispute, refunded.refunded) == (1999, None, True)
    relisted = follow(refunded, order_event("refunded", version=4, relisted=True))
    assert relisted.refunded_minor == 0


@st.composite
def histories(draw: st.DrawFn) -> list[OrderEvent]:
    """All events of the orders of one ticket, oldest first. Every order but the last was cancelled."""
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
    """A history, and its events as delivered: in random order, repeated or missing, but always the newest."""
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
def test_a_ticket_ends_in_the_state_of_the_newest_event_in_whatever_sequence_events_arrive(
    delivered: tuple[list[OrderEvent], list[OrderEvent]],
) -> None:
    history, received = delivered
    newest = history[-1]
    holder = None if newest.status == "cancelled" else newest.id
    assert outcome_of(follow(ticket(), *received)) == (STATUS_OF[newest.status], holder)


@given(deliveries())
def test_a_ticket_always_has_the_state_of_the_newest_event_received_so_far(
    delivered: tuple[list[OrderEvent], list[OrderEvent]],
) -> None:
    history, received = delivered
    state = ticket()
    for count, event in enumerate(received, start=1):
        state = follow(state, event)
        newest = max(received[:count], key=history.index)
        assert state.status == STATUS_OF[newest.status]
        assert (state.hold, state.order_version) == (newest.hold, newest.version)
        assert state.held_until == (newest.expires_at if state.status == "reserved" else None)


@given(deliveries(), st.data())
def test_a_withdrawn_ticket_is_never_available_again(
    delivered: tuple[list[OrderEvent], list[OrderEvent]], data: st.DataObject
) -> None:
    """The seller withdraws the ticket at a random moment at which the rules allow it. It isn't held again."""
    _, received = delivered
    moment = data.draw(st.integers(0, len(received)))
    state = follow(ticket(), *received[:moment])
    if state.status != "available":
        return
    state = state.model_copy(update=dict(rules.withdraw(state, SELLER) or {}))
    for event in received[moment:]:
        state = follow(state, event)
        assert state.status in ("withdrawn", "sold")


def test_the_buyer_is_known_while_an_order_holds_or_has_the_ticket() -> None:
    held = follow(ticket(), order_event("created"))
    sold = follow(held, order_event("complete", version=1))
    assert [held.buyer_id, sold.buyer_id] == [BUYER, BUYER]
    assert follow(held, order_event("cancelled", version=1)).buyer_id is None
    assert follow(sold, order_event("refunded", version=2)).buyer_id == BUYER
    assert follow(sold, order_event("refunded", version=2, relisted=True)).buyer_id is None


def test_a_ticket_has_the_price_of_its_order_until_it_is_free_again() -> None:
    """The seller asks 999, and an earlier version accepted the hold of an order at 19.99."""
    held = ticket(
        price_minor=1999, asked_minor=99900, status="reserved", hold=1, order_version=0, order_id=ORDER
    )
    sold = follow(held, order_event("complete", version=1))
    assert [held.price_minor, sold.price_minor] == [1999, 1999]
    assert follow(held, order_event("cancelled", version=1)).price_minor == 99900
    assert follow(sold, order_event("refunded", version=2)).price_minor == 1999
    assert follow(sold, order_event("refunded", version=2, relisted=True)).price_minor == 99900


def test_the_asked_price_is_kept_if_the_event_of_a_cancellation_is_missing() -> None:
    first = ticket(
        price_minor=1999, asked_minor=99900, status="reserved", hold=1, order_version=0, order_id=ORDER
    )
    outdated = order_event("created", hold=2, order_id=LATER_ORDER)
    assert follow(first, outdated).price_minor == 99900
    second = order_event("created", hold=2, order_id=LATER_ORDER, price="999")
    assert outcome_of(follow(first, second)) == ("reserved", LATER_ORDER)


def test_the_order_number_is_known_while_an_order_holds_or_has_the_ticket() -> None:
    held = follow(ticket(), order_event("created", code="7K3WPD9RXE"))
    assert held.order_code == "7K3WPD9RXE"
    assert follow(held, order_event("cancelled", version=1, code="7K3WPD9RXE")).order_code is None


def test_a_ticket_changes_with_time_when_its_hold_ends_and_its_event_begins() -> None:
    assert rules.changes_at(ticket(), NOW) is None
    assert rules.changes_at(ticket(starts_at=LATER), NOW) == LATER
    assert rules.changes_at(ticket(starts_at=LATER, held_until=SOON), NOW) == SOON
    assert rules.changes_at(ticket(starts_at=LATER, held_until=SOON), SOON) == LATER
    assert rules.changes_at(ticket(starts_at=LATER, held_until=SOON), LATER) is None


@pytest.mark.parametrize(
    ("currency", "price", "why"),
    [
        ("usd", 49, "Price must be at least $0.50"),
        ("gbp", 29, "Price must be at least £0.30"),
        ("huf", 17499, "Price must be at least 175.00 HUF"),
    ],
)
def test_a_price_that_stripe_would_not_charge_is_refused(currency: str, price: int, why: str) -> None:
    minimum = minimum_charge(currency)
    with pytest.raises(PriceTooLow, match=re.escape(why)):
        check_price(price, minimum)
    check_price(price + 1, minimum)


def test_a_currency_whose_minimum_only_stripe_knows_has_none_here() -> None:
    check_price(1, minimum_charge("isk"))


# --- What became of sales ---


@pytest.mark.parametrize(
    ("fields", "failure"),
    [
        ({"problem": "refunded", "refund_due": 1999, "problem_decided_at": NOW}, ("problem", NOW)),
        ({"problem": "partly-refunded", "refund_due": 500, "problem_decided_at": NOW}, ("problem", NOW)),
        ({"delivery": "failed", "overdue_at": NOW}, ("delivery", NOW)),
        ({"problem": "rejected"}, None),
        ({"problem": "open"}, None),
        ({"problem": "refunded"}, None),  # for another reason, such as by the bank
    ],
)
def test_a_sale_counts_against_its_seller_only_if_the_seller_was_wrong(
    fields: dict[str, Any], failure: tuple[str, datetime] | None
) -> None:
    assert failures.failure_of(order_event("complete", version=2, **fields)) == failure


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("days_ago", "days_left"),
    [
        ([], None),
        ([1], None),
        ([1, 2], 178),
        ([2, 1], 178),
        ([1, 2, 100], 178),
        ([0, 179.5], 0.5),
        ([0, 180], None),
        ([181, 182, 183], None),
    ],
)
def test_new_listings_need_files_while_two_failed_sales_are_less_than_180_days_old(
    days_ago: list[float], days_left: float | None
) -> None:
    until = failures.required_until([NOW - days * DAY for days in days_ago], NOW)
    assert until == (None if days_left is None else NOW + days_left * DAY)


def test_a_hold_of_a_ticket_that_needs_files_is_refused_without_them() -> None:
    """The orders service may not know yet that the seller has removed a file."""
    agreed = order_event("created")
    for ready_at, order_id in ((None, None), (NOW, agreed.id)):
        needed = ticket(needs_files=True, awaits_files=ready_at is None, files_ready_at=ready_at)
        assert follow(needed, agreed).order_id == order_id
