"""Each invariant is broken once: a checker that finds nothing proves nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.chaos.history import History, Request, Said, Stored, Timer
from tests.chaos.invariants import INVARIANTS, violations

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)
PRICE = 4500

Break = Callable[[History], History]


def ticket(key: str, status: str = "available", order: str | None = None, version: int = 0) -> dict[str, Any]:
    common = {"title": "Nine Bridges", "price_minor": PRICE, "outbox": []}
    return {"_id": key, "status": status, "order_id": order, "version": version, **common}


def order(key: str, of: str, status: str, hold: int = 1, version: int = 1) -> dict[str, Any]:
    common = {"user_id": "bob", "price_minor": PRICE, "relisted": False, "outbox": []}
    expires_at = AT - timedelta(minutes=5)
    return {
        "_id": key,
        "ticket_id": of,
        "status": status,
        "hold": hold,
        "version": version,
        "expires_at": expires_at,
        **common,
    }


def payment(key: str, of: str, status: str, version: int = 1) -> dict[str, Any]:
    return {"_id": key, "order_id": of, "status": status, "amount": PRICE, "version": version, "outbox": []}


def intent(of: str, *, received: int = 0, refunded: int = 0, status: str = "succeeded") -> dict[str, Any]:
    return {
        "metadata": {"order_id": of},
        "amount_received": received,
        "status": status,
        "latest_charge": {"amount_refunded": refunded},
    }


def said(kind: Any, about: str, versions: int) -> list[Said]:
    return [Said(f"{about}-{version}", kind, about, version) for version in range(versions)]


def sound() -> History:
    """A ticket that was let go of once and then sold, and one that nobody wanted."""
    tickets = [ticket("t1", "sold", "o2", 4), ticket("t2")]
    orders = [order("o1", "t1", "cancelled"), order("o2", "t1", "complete", hold=2)]
    events = [*said("ticket", "t1", 5), *said("ticket", "t2", 1)]
    events += [*said("order", "o1", 2), *said("order", "o2", 2), *said("payment", "p1", 2)]
    return History(
        AT,
        tickets=tickets,
        orders=orders,
        payments=[payment("p1", "o2", "captured")],
        tickets_known_to_orders=tickets,
        orders_known_to_payments=orders,
        events=[*events, events[0]],  # published twice: one event
        intents=[intent("o2", received=PRICE)],
        timers=[Timer("o9", AT + timedelta(minutes=3))],
        dead=["poison"],
        poisoned=frozenset({"poison"}),
        requests=[
            Request("offer", "ann", status=201, made="t1"),
            Request("reserve", "bob", "t1", 201, "o1"),
            Request("cancel", "bob", "o1", 204),
            Request("reserve", "bob", "t1", None),
            Request("reserve", "eve", "t1", 409),
            Request("pay", "bob", "o2", 201),
        ],
    )


def changed(name: str, key: str, **fields: Any) -> Break:
    """With other fields in one of the things of a history."""

    def break_it(history: History) -> History:
        things: list[Stored] = [
            {**thing, **fields} if thing["_id"] == key else thing for thing in getattr(history, name)
        ]
        return replace(history, **{name: things})  # type: ignore[arg-type] # the field that it was read from

    return break_it


def added(name: str, thing: object) -> Break:
    def break_it(history: History) -> History:
        return replace(history, **{name: [*getattr(history, name), thing]})  # type: ignore[arg-type]

    return break_it


def without(name: str) -> Break:
    return lambda history: replace(history, **{name: []})  # type: ignore[arg-type] # each of these is a list


BREAKS: list[tuple[str, Break]] = [
    ("one_order_a_ticket", added("orders", order("o3", "t1", "created", hold=3))),
    ("holds_are_counted", changed("orders", "o2", hold=3)),
    ("holds_are_counted", changed("orders", "o2", hold=1)),
    ("money_follows_orders", without("intents")),
    ("money_follows_orders", added("intents", intent("o2", received=PRICE))),
    ("money_follows_orders", added("intents", intent("o1", received=PRICE))),
    ("money_follows_orders", added("intents", intent("o1", status="requires_capture"))),
    ("money_follows_orders", added("intents", intent("nobody's", received=PRICE))),
    ("money_follows_orders", lambda it: replace(it, intents=[intent("o2", received=PRICE, refunded=PRICE)])),
    ("money_follows_orders", lambda it: replace(it, intents=[intent("o2", received=PRICE - 1)])),
    ("orders_are_paid_once", added("payments", payment("p2", "o2", "captured"))),
    ("orders_are_paid_once", added("payments", payment("p2", "nobody's", "voided"))),
    ("orders_are_paid_once", changed("payments", "p1", status="authorized")),
    ("orders_are_paid_once", changed("payments", "p1", amount=1)),
    ("orders_are_paid_once", without("payments")),
    ("tickets_follow_orders", changed("tickets", "t1", status="available", order_id=None)),
    ("tickets_follow_orders", changed("tickets", "t1", order_id="o1")),
    ("tickets_follow_orders", changed("tickets", "t2", status="reserved", order_id="o9")),
    ("copies_are_up_to_date", changed("tickets_known_to_orders", "t1", version=3)),
    ("copies_are_up_to_date", changed("orders_known_to_payments", "o1", status="created")),
    ("copies_are_up_to_date", without("orders_known_to_payments")),
    ("every_change_is_said_once", changed("tickets", "t1", version=5)),
    ("every_change_is_said_once", added("events", Said("another-id", "ticket", "t1", 2))),
    ("every_change_is_said_once", added("events", Said("x", "order", "o9", 0))),
    ("every_change_is_said_once", without("events")),
    ("nothing_waits", changed("payments", "p1", outbox=[{}])),
    ("nothing_waits", added("timers", Timer("o1", AT - timedelta(seconds=30)))),
    ("nothing_waits", changed("orders", "o1", status="created")),
    ("only_poison_is_buried", added("dead", "order.created of o1")),
    ("only_poison_is_buried", without("dead")),
    ("answers_are_true", added("requests", Request("offer", "ann", status=201, made="t9"))),
    ("answers_are_true", added("requests", Request("reserve", "bob", "t1", 201, "o9"))),
    ("answers_are_true", added("requests", Request("cancel", "bob", "o2", 204))),
    ("answers_are_true", added("requests", Request("pay", "bob", "o1", 201))),
    ("answers_are_true", added("orders", {**order("o3", "t2", "cancelled"), "user_id": "eve"})),
    ("answers_are_true", changed("orders", "o1", user_id="eve")),
]


def test_a_sound_history_breaks_nothing() -> None:
    assert violations(sound()) == []


@pytest.mark.parametrize(("invariant", "break_it"), BREAKS, ids=range(len(BREAKS)))
def test_what_is_broken_is_found(invariant: str, break_it: Break) -> None:
    assert invariant in {found.partition(":")[0] for found in violations(break_it(sound()))}


def test_every_invariant_is_seen_to_fail() -> None:
    assert {name for name, _ in BREAKS} == {invariant.__name__ for invariant in INVARIANTS}
