"""Each invariant is violated in several ways, to prove that the checker finds it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from contracts.events import OrderEvent, PaymentEvent, SessionEnded, TicketEvent
from tests.resilience.chaos import sample_history
from tests.resilience.chaos.history import Copy, History, PublishedEvent, Request, Stored, Timer
from tests.resilience.chaos.invariants import INVARIANTS, violations
from tests.resilience.chaos.invariants.events import BODIES
from tests.resilience.chaos.sample_history import (
    ANN,
    AT,
    BOB,
    CONSUMERS_OF_ORDERS,
    EVE,
    LATER,
    O1,
    O2,
    O3,
    O4,
    O5,
    O6,
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
    entry,
    ident,
    intent,
    message,
    order,
    page,
    payment,
    sale,
    ticket,
    transfer,
    valid,
)

Violation = Callable[[History], History]

O9 = ident("o9")


def changed(name: str, key: str, **fields: Any) -> Violation:
    """Change fields of one object in a history."""

    def violate(history: History) -> History:
        things: list[Stored] = [
            {**thing, **fields} if thing.get("_id", thing.get("id")) == key else thing
            for thing in getattr(history, name)
        ]
        return replace(history, **{name: things})  # type: ignore[arg-type] # the field that it was read from

    return violate


def added(name: str, *things: object) -> Violation:
    def violate(history: History) -> History:
        return replace(history, **{name: [*getattr(history, name), *things]})  # type: ignore[arg-type]

    return violate


def without(name: str, which: Callable[[Any], bool] = lambda _: True) -> Violation:
    def violate(history: History) -> History:
        return replace(history, **{name: [each for each in getattr(history, name) if not which(each)]})  # type: ignore[arg-type]

    return violate


def republished(about: str, version: int, **other: Any) -> Violation:
    """Replace an event by a changed copy."""

    def violate(history: History) -> History:
        def change(event: PublishedEvent) -> PublishedEvent:
            if (event.about, event.version) != (about, version) or event.kind == "expiration":
                return event
            return replace(event, **{**other, "body": {**event.body, **other.get("body", {})}})

        return replace(history, events=[change(event) for event in history.events])

    return violate


def again(about: str, **other: Any) -> Violation:
    """Append the first event about an object once more."""

    def violate(history: History) -> History:
        first = next(event for event in history.events if event.about == about)
        return replace(history, events=[*history.events, replace(first, **other)])

    return violate


def asked(*request: Any, **fields: Any) -> Violation:
    return added("requests", Request(*request, **fields))


def unasked(*what: str, about: str = "") -> Violation:
    return without("requests", lambda request: request.what in what and about in (request.about, ""))


def is_echo(about: str, version: int) -> Violation:
    return republished(about, version, echo=True)


SOLD: Mapping[str, Any] = {"title": "Nine Bridges in row 2", "price": "45"}

VIOLATIONS: Mapping[str, Iterable[Violation]] = {
    "one_order_holds_a_ticket": [
        added("orders", order(O9, ticket(T1)[0], hold=3)[0]),
        changed("orders", O1, status="complete"),
        changed("orders", O2, user_id=ANN),
        without("tickets", lambda ticket: ticket["_id"] == T1),
    ],
    "holds_are_numbered_without_gaps": [changed("orders", O2, hold=3), changed("orders", O2, hold=1)],
    "indexed_fields_match_statuses": [
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
    "orders_match_the_reserved_version": [
        changed("orders", O2, price_minor=1),
        changed("orders", O2, ticket_title="Another"),
        changed("orders", O2, ticket_version=0),
        changed("orders", O2, ticket_version=17),
    ],
    "replicas_are_up_to_date": [
        changed("tickets_known_to_orders", T1, version=3),
        changed("tickets_known_to_orders", T2, seat="7"),
        changed("orders_known_to_payments", O1, status="created"),
        changed("orders_known_to_payments", O3, expires_at=AT),
        changed("orders_known_to_payments", O3, price_minor=1),
        changed("orders_known_to_payments", O3, starts_at=None),
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
    "payments_match_stripe": [
        changed("payments", P2, intent_id="pi_unknown"),
        changed("payments", P2, intent_id=None),
        changed("payments", P2, intent_id=f"pi_{O4}"),
        changed("payments", P4, status="pending"),
        changed("intents", f"pi_{O4}", status="requires_action"),
        changed("intents", f"pi_{O2}", latest_charge={"amount_refunded": 1}),
        added("intents", intent(O1, "requires_capture", key="pi_forgotten")),
        added("intents", intent(O2, "canceled", key="pi_second")),
    ],
    "payment_pages_end_with_orders": [
        added("pages", page(O1, "open")),
        added("pages", page(O9, "open")),
        added("pages", page(O2, "expired", "cs_second")),
        changed("orders", O3, status="cancelled"),
    ],
    "promises_are_kept_or_refunded": [
        changed("orders", O6, delivery="due", deliver_by=AT - timedelta(minutes=1)),
        changed("orders", O6, delivery="due", deliver_by=None),
        changed("orders", O6, delivery="failed"),
        changed("orders", O6, delivery="sealed"),
        changed("orders", O6, delivery=None),
    ],
    "deliveries_follow_files": [
        changed("orders", O6, delivery="due"),
        changed("orders", O6, delivery="failed"),
        changed("orders", O6, delivered_at=None),
        changed("orders", O6, delivery="confirmed"),
        changed("tickets", T1, files_ready_at=AT),
    ],
    "uploads_match_responses": [
        added("requests", Request("upload", ANN, T1, 201)),
        added("requests", Request("upload", ANN, O9, 201)),
        without("requests", lambda request: request.what == "upload"),
    ],
    "due_deliveries_have_timers": [
        without("timers", lambda timer: timer.order == O2),
        changed("orders", O2, deliver_by=AT + timedelta(days=1)),
        changed("orders", O6, delivery="due"),
    ],
    "captured_payments_have_sales": [
        without("sales"),
        without("sales", lambda sale: sale["_id"] == O5),
        changed("sales", O2, gross=1),
        changed("sales", O2, currency="eur"),
        changed("sales", O5, refunded=0),
        changed("sales", O2, refunded=PRICE),
        added("sales", sale(O4, "held")),
    ],
    "sales_are_paid_once": [
        without("transfers"),
        added("transfers", transfer(O6, "tr_second")),
        added("transfers", transfer(O2)),
        added("transfers", transfer(O9)),
        changed("transfers", f"tr_{O6}", amount_reversed=PRICE),
        changed("sales", O6, transfers=[]),
        changed("sales", O6, state="held"),
        changed("sales", O2, state="paid"),
    ],
    "sales_are_paid_when_due": [
        changed("sales", O2, state="due"),
        changed("sales", O6, unbooked=[{"key": f"transfer:{O6}"}]),
    ],
    "the_ledger_is_balanced": [
        without("ledger"),
        without("ledger", lambda booked: booked["_id"] == f"transfer:{O6}"),
        changed("ledger", f"refund:{O5}", change={"held": -PRICE, "refunded": PRICE - 1}),
        added("ledger", entry(O6, "transfer-again", held=-PRICE, paid_out=PRICE)),
        added("ledger", entry(O2, "write-off", owed=-1, written_off=1)),
        added("ledger", entry(O2, "dispute", held=-1, lost=1)),
        added("ledger", entry(O2, "fee", held=-1, fees=1)),
        changed("sales", O2, fee=1),
        changed("sales", O5, refunded=0, lost=PRICE),
        changed("sales", O2, offsets=[{"order_id": O5, "amount": 1}]),
        added("ledger", entry(O4, "capture", received=PRICE, held=PRICE)),
    ],
    "every_change_is_published_once": [
        changed("tickets", T1, version=9),
        again(T1, message_id="another"),
        again(S1, message_id="another"),
        added("events", PublishedEvent("x", "order", O9, 0)),
        changed("sessions", S2, ended_at=AT),
        is_echo(T1, 2),
        without("events", lambda event: event.about == T1 and event.version == 2),
        without("events"),
    ],
    "message_ids_are_unique": [
        again(T1, at=AT, body={}),
        again(T1, at=AT, subject="ticket.updated"),
        again(T1),
        republished(T1, 0, message_id=""),
    ],
    "echoes_repeat_earlier_events": [
        again(T1, message_id="echo", echo=True, body={"title": "Never published"}),
        again(T1, message_id="echo", echo=True, subject="ticket.updated"),
        added("events", PublishedEvent("echo", "ticket", ident("t9"), 0, echo=True)),
    ],
    "newest_event_matches_database": [
        changed("tickets", T2, notes="Alone"),
        changed("tickets", T2, face_value_minor=None),
        changed("orders", O3, expires_at=AT),
        changed("payments", P2, currency="eur"),
        changed("sessions", S1, ended_at=AT),
        republished(T3, 1, body={"more": 1}),
        republished(O2, 1, body={"ticket": {}}),
    ],
    "subjects_match_events": [
        republished(T1, 1, subject="ticket.created"),
        republished(O1, 1, subject="order.updated"),
        republished(S1, 0, subject="session.begun"),
    ],
    "final_states_stay_final": [
        republished(O2, 0, body={"status": "cancelled"}),
        republished(P2, 0, body={"status": "voided"}),
        republished(P4, 0, body={"status": "captured"}),
        republished(O1, 0, body={"status": "complete"}),
        republished(T1, 0, body={"status": "unknown"}),
    ],
    "holds_are_of_what_the_seller_offers": [
        republished(T1, 2, body={"price": 44.0}),
        republished(T5, 1, body={"title": "Another title"}),
    ],
    "orders_complete_after_their_holds": [
        republished(T1, 4, body={"status": "available", "orderId": None}),
        without("events", lambda event: (event.about, event.version) == (T5, 1)),
    ],
    "orders_expire_after_their_deadline": [
        changed("orders", O4, expires_at=AT + timedelta(hours=1)),
        added("events", sample_history.expired(O9, AT)),
        added("events", replace(sample_history.expired(O4, sample_history.EARLIER), message_id="another")),
    ],
    "nothing_is_overdue": [
        changed("payments", P2, outbox=[{}]),
        changed("sessions", S1, outbox=[{}]),
        changed("webhooks", "evt_1", processed=False),
        added("timers", Timer(O1, AT - timedelta(seconds=30))),
        changed("orders", O3, expires_at=AT - timedelta(seconds=40)),
        changed("orders", O3, kept_until=AT - timedelta(seconds=40)),
        without("timers"),
        lambda history: replace(history, unhandled={"orders-ticket-created": 1}),
    ],
    "only_poison_is_a_dead_letter": [
        added("dead", ("order.created of o1", CONSUMERS_OF_ORDERS[0])),
        added("dead", ("poison", CONSUMERS_OF_ORDERS[0])),
        added("dead", ("poison", "orders-ticket-created")),
        without("dead"),
        without("dead", lambda letter: letter == ("poison", CONSUMERS_OF_ORDERS[1])),
        without("poisoned"),
    ],
    "accounts_match_responses": [
        without("users"),
        changed("users", ANN, _id=EVE),
        added("users", {"_id": BOB, "email": "ann@example.com"}),
        added("users", {"_id": BOB, "email": "nobody@example.com"}),
        lambda history: added("users", {"_id": EVE, "email": "eve@example.com"})(
            replace(history, requests=[Request("sign up", "eve@example.com", status=400)])
        ),
    ],
    "listings_match_responses": [
        asked("list", ANN, status=201, made=ident("t9"), asked={"title": "New", "price": "1"}),
        republished(T2, 0, body={"title": "Another"}),
        republished(T2, 0, body={"price": 1}),
        changed("tickets", T2, user_id=EVE),
        unasked("list"),
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
                *sample_history.published(
                    "ticket", [{**ticket(ident("t39"))[0], "title": f"{sample_history.TITLE} {T3[:4]}"}]
                ),
            ],
        ),
    ],
    "edits_match_responses": [
        unasked("edit"),
        republished(T1, 3, body={"title": "Nobody's"}),
        republished(T1, 3, body={"title": f"{sample_history.TITLE} {T1[:4]}"}),
        republished(T1, 3, body={"price": 1}),
        asked("edit", ANN, T1, 200, asked={"title": "Lost", "price": "45"}, version=7),
        asked("edit", ANN, T1, 200, asked={"title": "Lost", "price": "45"}, version=1),
        asked("edit", ANN, T1, 201, asked={"title": "Lost", "price": "45"}, form=True),
        lambda history: asked("edit", ANN, T1, 409, asked=SOLD)(unasked("edit")(history)),
        lambda history: asked("edit", EVE, T1, 200, asked=SOLD, version=1)(unasked("edit")(history)),
    ],
    "withdrawals_match_responses": [
        asked("withdraw", ANN, T2, 204),
        unasked("withdraw"),
        lambda history: asked("withdraw", ANN, T3, 409)(unasked("withdraw")(history)),
        lambda history: asked("withdraw", EVE, T3, 204)(unasked("withdraw")(history)),
    ],
    "reservations_match_responses": [
        asked("reserve", BOB, T1, 201, O9),
        asked("reserve", BOB, T1, 201, O1),
        asked("reserve", BOB, T1, 201, O9, form=True),
        added("orders", {**order(O9, ticket(T2)[0])[0], "user_id": EVE}),
        changed("orders", O1, user_id=EVE),
        unasked("reserve"),
        lambda history: asked("reserve", BOB, T2, 409)(unasked("reserve", about=T2)(history)),
    ],
    "cancellations_match_responses": [
        asked("cancel", BOB, O2, 204),
        asked("cancel", BOB, O9, 204),
        unasked("cancel"),
        lambda history: asked("cancel", BOB, O1, 409)(unasked("cancel")(history)),
        changed("orders", O1, cancel_reason=None),
        asked("extend", BOB, O3, 201),
        changed("orders", O3, extensions=1),
    ],
    "refunds_match_responses": [
        unasked("refund"),
        asked("refund", "operator", O2, 201, asked={"relist": False}),
        asked("refund", "operator", O9, 201, asked={"relist": False}),
        changed("orders", O5, relisted=True),
    ],
    "payments_match_responses": [
        asked("pay", BOB, O1, 201, P2, asked={"card": "tok_visa"}),
        asked("pay", BOB, O2, 201, P4, asked={"card": "tok_visa"}),
        asked("pay", BOB, O9, 201, asked={"card": "tok_visa"}),
        asked("pay", BOB, O4, 201, P4, asked={"card": "tok_visa"}, state="captured"),
        unasked("pay"),
        lambda history: asked("pay", EVE, O2, 201, P2, asked={"card": "tok_visa"})(unasked("pay")(history)),
        lambda history: asked("pay", BOB, O2, 402, asked={"card": "tok_visa"})(
            unasked("pay", about=O2)(history)
        ),
        lambda history: asked("pay", BOB, O2, None, asked={"card": "tok_chargeDeclined"})(
            unasked("pay", about=O2)(history)
        ),
        without("requests", lambda request: request.what == "pay on page"),
        lambda history: asked("pay on page", BOB, O5, 402, asked={"card": "tok_visa"})(
            unasked("pay on page")(history)
        ),
        lambda history: asked("pay", BOB, O4, 404, asked={"card": "tok_visa"})(
            unasked("pay", about=O4)(history)
        ),
    ],
    "shown_states_are_true": [
        asked("look", BOB, O2, 200, version=0, state="complete"),
        asked("look", BOB, O2, 200, version=9, state="complete"),
        asked("look", BOB, O4, 200, state="complete"),
        asked("look", EVE, O2, 200, state="complete"),
        asked("look", BOB, P4, 200, state="captured"),
        asked("reserve", BOB, T1, 201, O1, version=1, state="created"),
    ],
    "people_are_told_about_their_orders": [
        without("messages", lambda message: message["kind"] == "receipt"),
        without("messages", lambda message: message["kind"] == "sold"),
        without("messages", lambda message: message["kind"] == "refunded"),
        without("messages", lambda message: message["kind"] == "sale-refunded"),
        changed("messages", f"receipt:{O2}:{BOB}", recipient=ANN),
        added("messages", message("receipt", O2, BOB)),
        added("messages", message("sold", O1, ANN)),
        added("messages", message("refunded", O2, BOB)),
    ],
    "messages_reach_their_recipients": [
        changed("messages", f"receipt:{O2}:{BOB}", status="queued"),
        changed("messages", f"receipt:{O2}:{BOB}", status="failed"),
        changed("messages", f"receipt:{O2}:{BOB}", status="dropped", error="unknown-user"),
        changed("messages", f"receipt:{O2}:{BOB}", attempts=1),
        changed("messages", f"receipt:{O2}:{BOB}", recipient=ANN),
        without("received", lambda copy: copy.message_id == f"<receipt-{O2}@example.com>"),
        added("received", Copy("<another@example.com>", "bob@example.com")),
        added("received", Copy(f"<receipt-{O2}@example.com>", "ann@example.com")),
    ],
    "session_starts_match_responses": [
        without("sessions", lambda session: session["_id"] == S2),
        changed("sessions", S2, user_id=ANN),
        changed("users", ZOE, _id=EVE),
        without("users", lambda user: user["_id"] == ZOE),
        asked("sign in", "zoe@example.com", status=200, made=ANN, session=S2),
        asked("sign in", "zoe@example.com", status=200, made=ZOE, session=S2),
        asked("sign in", "zoe@example.com", status=200, made=ZOE),
        asked("sign up", "eve@example.com", status=201, made=EVE),
    ],
    "session_ends_match_responses": [
        changed("sessions", S3, ended_at=AT),
        asked("sign out", ZOE, S2, 200),
        asked("sign out", ZOE, ident("s9"), 200),
        unasked("sign out"),
        asked("use an ended session", ZOE, S1, 200),
        asked("use an ended session", ZOE, S1, None),
    ],
}
CASES = [(name, number, case) for name, cases in VIOLATIONS.items() for number, case in enumerate(cases)]


def test_a_valid_history_has_no_violations() -> None:
    assert violations(valid()) == []


def test_echoes_and_repetitions_after_the_duplicate_window_are_no_violations() -> None:
    history = again(T1, at=AT)(again(T1, message_id="echo", echo=True)(valid()))
    assert violations(history) == []


@pytest.mark.parametrize(
    ("invariant", "violate"),
    [(name, case) for name, _, case in CASES],
    ids=[f"{name}-{number}" for name, number, _ in CASES],
)
def test_every_violation_is_found(invariant: str, violate: Violation) -> None:
    assert invariant in {found.partition(":")[0] for found in violations(violate(valid()))}


def test_a_link_that_was_used_before_its_message_was_sent_is_no_violation() -> None:
    over = {**message("confirm-address", ident("l1"), BOB, "dropped"), "error": "link-over"}
    assert violations(added("messages", over)(valid())) == []


def test_without_a_mail_server_of_the_run_mail_is_not_checked() -> None:
    assert violations(replace(valid(), messages=[], received=None)) == []


def test_every_invariant_has_a_violation() -> None:
    assert set(VIOLATIONS) == {getattr(invariant, "__name__", "") for invariant in INVARIANTS}


@pytest.mark.parametrize(
    ("kind", "event"),
    [("ticket", TicketEvent), ("order", OrderEvent), ("payment", PaymentEvent), ("session", SessionEnded)],
)
def test_every_field_of_an_event_is_compared(kind: str, event: Any) -> None:
    history = valid()
    stored = next(iter(getattr(history, f"{kind}s")))
    assert BODIES[kind](stored).keys() == {field.alias for field in event.model_fields.values()}
