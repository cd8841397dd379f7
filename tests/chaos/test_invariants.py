"""Each invariant is broken, again and again: a checker that finds nothing proves nothing."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from contracts.events import OrderEvent, PaymentEvent, SessionEnded, TicketEvent
from tests.chaos import histories
from tests.chaos.histories import (
    ANN,
    AT,
    BOB,
    EVE,
    HEARS_ORDERS,
    LATER,
    O1,
    O2,
    O3,
    O4,
    O5,
    P2,
    P4,
    PRICE,
    S1,
    S2,
    S3,
    T1,
    T2,
    T3,
    T5,
    ZOE,
    ident,
    intent,
    order,
    payment,
    sound,
    ticket,
)
from tests.chaos.history import History, Request, Said, Stored, Timer
from tests.chaos.invariants import INVARIANTS, violations
from tests.chaos.invariants.events import BODIES

Break = Callable[[History], History]

O9 = ident("o9")


def changed(name: str, key: str, **fields: Any) -> Break:
    """With other fields in one of the things of a history."""

    def break_it(history: History) -> History:
        things: list[Stored] = [
            {**thing, **fields} if thing.get("_id", thing.get("id")) == key else thing
            for thing in getattr(history, name)
        ]
        return replace(history, **{name: things})  # type: ignore[arg-type] # the field that it was read from

    return break_it


def added(name: str, *things: object) -> Break:
    def break_it(history: History) -> History:
        return replace(history, **{name: [*getattr(history, name), *things]})  # type: ignore[arg-type]

    return break_it


def without(name: str, which: Callable[[Any], bool] = lambda _: True) -> Break:
    def break_it(history: History) -> History:
        return replace(history, **{name: [each for each in getattr(history, name) if not which(each)]})  # type: ignore[arg-type]

    return break_it


def resaid(about: str, version: int, **other: Any) -> Break:
    """With another event in the place of one."""

    def break_it(history: History) -> History:
        def change(event: Said) -> Said:
            if (event.about, event.version) != (about, version) or event.kind == "expiration":
                return event
            return replace(event, **{**other, "body": {**event.body, **other.get("body", {})}})

        return replace(history, events=[change(event) for event in history.events])

    return break_it


def again(about: str, **other: Any) -> Break:
    """With the first event of something once more, at the end."""

    def break_it(history: History) -> History:
        first = next(event for event in history.events if event.about == about)
        return replace(history, events=[*history.events, replace(first, **other)])

    return break_it


def asked(*request: Any, **fields: Any) -> Break:
    return added("requests", Request(*request, **fields))


def unasked(*what: str, about: str = "") -> Break:
    return without("requests", lambda request: request.what in what and about in (request.about, ""))


def is_echo(about: str, version: int) -> Break:
    return resaid(about, version, echo=True)


SOLD: Mapping[str, Any] = {"title": "Nine Bridges in row 2", "price": "45"}

BREAKS: Mapping[str, Iterable[Break]] = {
    "one_order_a_ticket": [
        added("orders", order(O9, ticket(T1)[0], hold=3)[0]),
        changed("orders", O1, status="complete"),
        changed("orders", O2, user_id=ANN),
        without("tickets", lambda ticket: ticket["_id"] == T1),
    ],
    "holds_are_counted": [changed("orders", O2, hold=3), changed("orders", O2, hold=1)],
    "orders_count_as_they_stand": [
        changed("orders", O1, active=True),
        changed("orders", O2, active=False),
        changed("orders", O3, live=False),
    ],
    "tickets_follow_orders": [
        changed("tickets", T1, status="available", order_id=None),
        changed("tickets", T1, order_id=O1),
        changed("tickets", T2, status="reserved", order_id=O9),
        changed("tickets", T3, status="available"),
        changed("tickets", T5, refunded=False),
        changed("tickets", T1, order_version=0),
        changed("tickets", T1, held_until=LATER),
        changed("tickets", T1, hold=1),
    ],
    "orders_are_of_what_was_offered": [
        changed("orders", O2, price_minor=1),
        changed("orders", O2, ticket_title="Another"),
        changed("orders", O2, ticket_version=0),
        changed("orders", O2, ticket_version=17),
    ],
    "copies_are_up_to_date": [
        changed("tickets_known_to_orders", T1, version=3),
        changed("tickets_known_to_orders", T2, seat="7"),
        changed("orders_known_to_payments", O1, status="created"),
        changed("orders_known_to_payments", O3, expires_at=AT),
        changed("orders_known_to_payments", O3, price_minor=1),
        without("orders_known_to_payments"),
        added("tickets_known_to_orders", ticket(ident("t9"))[0]),
    ],
    "money_follows_orders": [
        without("intents"),
        added("intents", intent(O2, "succeeded", received=PRICE, key="pi_again")),
        added("intents", intent(O1, "succeeded", received=PRICE)),
        added("intents", intent(O1, "requires_capture")),
        added("intents", intent(O9, "succeeded", received=PRICE)),
        added("intents", intent(O9, "requires_capture")),
        changed("intents", f"pi_{O2}", latest_charge={"amount_refunded": PRICE}),
        changed("intents", f"pi_{O2}", amount_received=PRICE - 1),
        changed("intents", f"pi_{O4}", amount_received=PRICE, latest_charge=None),
    ],
    "orders_are_paid_once": [
        added("payments", payment(ident("p9"), O2, "captured")[0]),
        added("payments", payment(ident("p9"), O9, "voided")[0]),
        added("payments", payment(ident("p9"), O3, "authorized")[0]),
        changed("payments", P2, status="authorized"),
        changed("payments", P4, status="failed"),
        changed("payments", P2, amount=1),
        changed("payments", P2, user_id=EVE),
        changed("orders", O2, status="lost"),
        without("payments"),
    ],
    "payments_are_as_stripe_has_them": [
        changed("payments", P2, intent_id="pi_unknown"),
        changed("payments", P2, intent_id=None),
        changed("payments", P2, intent_id=f"pi_{O4}"),
        changed("payments", P4, status="pending"),
        changed("intents", f"pi_{O4}", status="requires_action"),
        changed("intents", f"pi_{O2}", latest_charge={"amount_refunded": 1}),
        added("intents", intent(O1, "requires_capture", key="pi_forgotten")),
        added("intents", intent(O2, "canceled", key="pi_second")),
    ],
    "every_change_is_said_once": [
        changed("tickets", T1, version=9),
        again(T1, message_id="another"),
        again(S1, message_id="another"),
        added("events", Said("x", "order", O9, 0)),
        changed("sessions", S2, version=0),
        is_echo(T1, 2),
        without("events", lambda event: event.about == T1 and event.version == 2),
        without("events"),
    ],
    "an_id_is_of_one_event": [
        again(T1, at=AT, body={}),
        again(T1, at=AT, subject="ticket.updated"),
        again(T1),
        resaid(T1, 0, message_id=""),
    ],
    "echoes_change_nothing": [
        again(T1, message_id="echo", echo=True, body={"title": "Never said"}),
        again(T1, message_id="echo", echo=True, subject="ticket.updated"),
        added("events", Said("echo", "ticket", ident("t9"), 0, echo=True)),
    ],
    "what_was_said_last_is_so": [
        changed("tickets", T2, notes="Alone"),
        changed("tickets", T2, face_value_minor=None),
        changed("orders", O3, expires_at=AT),
        changed("payments", P2, currency="eur"),
        changed("sessions", S1, ended_at=AT),
        resaid(T3, 1, body={"more": 1}),
        resaid(O2, 1, body={"ticket": {}}),
    ],
    "events_are_named_by_what_they_say": [
        resaid(T1, 1, subject="ticket.created"),
        resaid(O1, 1, subject="order.updated"),
        resaid(S1, 0, subject="session.begun"),
    ],
    "nothing_comes_back_to_life": [
        resaid(O2, 0, body={"status": "cancelled"}),
        resaid(P2, 0, body={"status": "voided"}),
        resaid(P4, 0, body={"status": "captured"}),
        resaid(O1, 0, body={"status": "complete"}),
        resaid(T1, 0, body={"status": "unheard-of"}),
    ],
    "orders_expire_when_their_time_is_over": [
        without("events", lambda event: event.kind == "expiration"),
        changed("orders", O4, expires_at=AT),
        added("events", histories.expired(O9, AT)),
        added("events", replace(histories.expired(O4, histories.EARLIER), message_id="another")),
    ],
    "nothing_waits": [
        changed("payments", P2, outbox=[{}]),
        changed("sessions", S1, outbox=[{}]),
        changed("notices", "evt_1", handled=False),
        added("timers", Timer(O1, AT - timedelta(seconds=30))),
        changed("orders", O3, expires_at=AT - timedelta(seconds=30)),
        without("timers"),
        lambda history: replace(history, unheard={"orders-ticket-created": 1}),
    ],
    "only_poison_is_buried": [
        added("dead", ("order.created of o1", HEARS_ORDERS[0])),
        added("dead", ("poison", HEARS_ORDERS[0])),
        added("dead", ("poison", "orders-ticket-created")),
        without("dead"),
        without("dead", lambda burial: burial == ("poison", HEARS_ORDERS[1])),
        without("poisoned"),
    ],
    "accounts_are_as_told": [
        without("users"),
        changed("users", ANN, _id=EVE),
        added("users", {"_id": BOB, "email": "ann@example.com"}),
        added("users", {"_id": BOB, "email": "nobody@example.com"}),
        lambda history: added("users", {"_id": EVE, "email": "eve@example.com"})(
            replace(history, requests=[Request("sign up", "eve@example.com", status=400)])
        ),
    ],
    "offers_are_as_told": [
        asked("offer", ANN, status=201, made=ident("t9"), asked={"title": "New", "price": "1"}),
        resaid(T2, 0, body={"title": "Another"}),
        resaid(T2, 0, body={"price": 1}),
        changed("tickets", T2, user_id=EVE),
        unasked("offer"),
        lambda history: replace(
            history, requests=[replace(each, key="") if each.key else each for each in history.requests]
        ),
        lambda history: replace(
            history, requests=[replace(each, status=400) if each.key else each for each in history.requests]
        ),
        lambda history: replace(
            history,
            tickets=[*history.tickets, ticket(ident("t39"))[0]],
            events=[
                *history.events,
                *histories.said(
                    "ticket", [{**ticket(ident("t39"))[0], "title": f"{histories.TITLE} {T3[:4]}"}]
                ),
            ],
        ),
    ],
    "edits_are_as_told": [
        unasked("edit"),
        resaid(T1, 3, body={"title": "Nobody's"}),
        resaid(T1, 3, body={"title": f"{histories.TITLE} {T1[:4]}"}),
        resaid(T1, 3, body={"price": 1}),
        asked("edit", ANN, T1, 200, asked={"title": "Lost", "price": "45"}, version=7),
        asked("edit", ANN, T1, 200, asked={"title": "Lost", "price": "45"}, version=1),
        asked("edit", ANN, T1, 201, asked={"title": "Lost", "price": "45"}, form=True),
        lambda history: asked("edit", ANN, T1, 409, asked=SOLD)(unasked("edit")(history)),
        lambda history: asked("edit", EVE, T1, 200, asked=SOLD, version=1)(unasked("edit")(history)),
    ],
    "withdrawals_are_as_told": [
        asked("withdraw", ANN, T2, 204),
        unasked("withdraw"),
        lambda history: asked("withdraw", ANN, T3, 409)(unasked("withdraw")(history)),
        lambda history: asked("withdraw", EVE, T3, 204)(unasked("withdraw")(history)),
    ],
    "reservations_are_as_told": [
        asked("reserve", BOB, T1, 201, O9),
        asked("reserve", BOB, T1, 201, O1),
        asked("reserve", BOB, T1, 201, O9, form=True),
        added("orders", {**order(O9, ticket(T2)[0])[0], "user_id": EVE}),
        changed("orders", O1, user_id=EVE),
        unasked("reserve"),
        lambda history: asked("reserve", BOB, T2, 409)(unasked("reserve", about=T2)(history)),
    ],
    "cancellations_are_as_told": [
        asked("cancel", BOB, O2, 204),
        asked("cancel", BOB, O9, 204),
        unasked("cancel"),
        lambda history: asked("cancel", BOB, O1, 409)(unasked("cancel")(history)),
        changed("orders", O1, cancel_reason=None),
        asked("extend", BOB, O3, 201),
        changed("orders", O3, extensions=1),
    ],
    "refunds_are_as_told": [
        unasked("refund"),
        asked("refund", "operator", O2, 201, asked={"relist": False}),
        asked("refund", "operator", O9, 201, asked={"relist": False}),
        changed("orders", O5, relisted=True),
    ],
    "payments_are_as_told": [
        asked("pay", BOB, O1, 201, P2, asked={"card": "tok_visa"}),
        asked("pay", BOB, O2, 201, P4, asked={"card": "tok_visa"}),
        asked("pay", BOB, O9, 201, asked={"card": "tok_visa"}),
        asked("pay", BOB, O4, 201, P4, asked={"card": "tok_visa"}, told="captured"),
        unasked("pay"),
        lambda history: asked("pay", EVE, O2, 201, P2, asked={"card": "tok_visa"})(unasked("pay")(history)),
        lambda history: asked("pay", BOB, O2, 402, asked={"card": "tok_visa"})(
            unasked("pay", about=O2)(history)
        ),
        lambda history: asked("pay", BOB, O2, None, asked={"card": "tok_chargeDeclined"})(
            unasked("pay", about=O2)(history)
        ),
        lambda history: asked("pay", BOB, O4, 404, asked={"card": "tok_visa"})(
            unasked("pay", about=O4)(history)
        ),
    ],
    "what_was_shown_was_so": [
        asked("look", BOB, O2, 200, version=0, told="complete"),
        asked("look", BOB, O2, 200, version=9, told="complete"),
        asked("look", BOB, O4, 200, told="complete"),
        asked("look", EVE, O2, 200, told="complete"),
        asked("look", BOB, P4, 200, told="captured"),
        asked("reserve", BOB, T1, 201, O1, version=1, told="created"),
    ],
    "sessions_begin_as_told": [
        without("sessions", lambda session: session["_id"] == S2),
        changed("sessions", S2, user_id=ANN),
        changed("users", ZOE, _id=EVE),
        without("users", lambda user: user["_id"] == ZOE),
        asked("sign in", "zoe@example.com", status=200, made=ANN, session=S2),
        asked("sign in", "zoe@example.com", status=200, made=ZOE, session=S2),
        asked("sign in", "zoe@example.com", status=200, made=ZOE),
        asked("sign up", "eve@example.com", status=201, made=EVE),
    ],
    "sessions_end_as_told": [
        changed("sessions", S3, ended_at=AT),
        asked("sign out", ZOE, S2, 200),
        asked("sign out", ZOE, ident("s9"), 200),
        unasked("sign out"),
        asked("use an ended session", ZOE, S1, 200),
        asked("use an ended session", ZOE, S1, None),
    ],
}
CASES = [(name, number, case) for name, cases in BREAKS.items() for number, case in enumerate(cases)]


def test_a_sound_history_breaks_nothing() -> None:
    assert violations(sound()) == []


def test_what_comes_again_after_the_duplicate_window_and_what_is_an_echo_break_nothing() -> None:
    history = again(T1, at=AT)(again(T1, message_id="echo", echo=True)(sound()))
    assert violations(history) == []


@pytest.mark.parametrize(
    ("invariant", "break_it"),
    [(name, case) for name, _, case in CASES],
    ids=[f"{name}-{number}" for name, number, _ in CASES],
)
def test_what_is_broken_is_found(invariant: str, break_it: Break) -> None:
    assert invariant in {found.partition(":")[0] for found in violations(break_it(sound()))}


def test_every_invariant_is_seen_to_fail() -> None:
    assert set(BREAKS) == {getattr(invariant, "__name__", "") for invariant in INVARIANTS}


@pytest.mark.parametrize(
    ("kind", "event"),
    [("ticket", TicketEvent), ("order", OrderEvent), ("payment", PaymentEvent), ("session", SessionEnded)],
)
def test_all_that_events_say_is_compared(kind: str, event: Any) -> None:
    history = sound()
    stored = next(iter(getattr(history, f"{kind}s")))
    assert BODIES[kind](stored).keys() == {field.alias for field in event.model_fields.values()}
