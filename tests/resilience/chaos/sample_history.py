"""A history without violations. As in the services, every state of every document is also an event."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from contracts.events import (
    Event,
    ExpirationComplete,
    OrderCancelled,
    OrderCreated,
    OrderedTicket,
    OrderUpdated,
    PaymentCreated,
    PaymentUpdated,
    SessionEnded,
    TicketCreated,
    TicketUpdated,
)
from tests.resilience.chaos.history import (
    ON_STRIPE_PAGE,
    Copy,
    History,
    Kind,
    PublishedEvent,
    Request,
    Stored,
    Timer,
)
from tests.resilience.chaos.invariants.events import DELIVERY
from tests.resilience.chaos.invariants.lookups import way_of_delivery

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)
EARLIER = AT - timedelta(minutes=15)
LATER = AT + timedelta(minutes=10)
TITLE, PRICE = "Nine Bridges", 4500
CONSUMERS_OF_ORDERS = ("tickets-order-created", "payments-order-created")

State = Mapping[str, Any]


def ident(name: str) -> str:
    """24 hexadecimal digits that depend on the name only."""
    return name.encode().hex().ljust(24, "0")


ANN, BOB, EVE, ZOE = map(ident, ("ann", "bob", "eve", "zoe"))
T1, T2, T3, T4, T5, T6 = map(ident, ("t1", "t2", "t3", "t4", "t5", "t6"))
O1, O2, O3, O4, O5, O6 = map(ident, ("o1", "o2", "o3", "o4", "o5", "o6"))
P2, P4, P5, P6 = map(ident, ("p2", "p4", "p5", "p6"))
S1, S2, S3, S4 = map(ident, ("s1", "s2", "s3", "s4"))

DETAILS: dict[str, Any] = {
    **dict.fromkeys(("venue", "city", "time_zone", "country", "show_id", "category", "seat", "picture")),
    "starts_at": LATER + timedelta(days=9),
    "quantity": 2,
}


def ticket(key: str, *states: State, promised: bool = False) -> list[Stored]:
    """All states of a ticket, oldest first."""
    first = {
        "title": f"{TITLE} {key[:4]}",
        "price_minor": PRICE,
        "user_id": ANN,
        "status": "available",
        "withdrawn": False,
        "order_id": None,
        "held_until": None,
        "refunded": False,
        "hold": 0,
        "order_version": -1,
        "face_value_minor": 5000,
        "notes": "Two together",
        "promised": promised,
        "files_ready_at": None,
        "awaits_files": False,
        "date_changes": 0,
        **DETAILS,
    }
    return _states(key, first, states)


def order(
    key: str, of: Stored, *states: State, hold: int = 1, expires_at: datetime = EARLIER
) -> list[Stored]:
    first = {
        "user_id": BOB,
        "seller_id": of["user_id"],
        "ticket_id": of["_id"],
        "ticket_version": of["version"],
        "ticket_title": of["title"],
        "price_minor": of["price_minor"],
        "details": {**DETAILS, "delivery": way_of_delivery(of)},
        "hold": hold,
        "code": key[-10:],
        "status": "created",
        "active": True,
        "live": True,
        "expires_at": expires_at,
        "extensions": 0,
        "kept_until": None,
        "cancel_reason": None,
        "hold_refused": False,
        "cancelled_by_operator": False,
        "relisted": False,
        "refunded_minor": 0,
        "dispute": None,
        "date_changes": 0,
        **dict.fromkeys(("paid_at", "refunded_at", *DELIVERY.values())),
    }
    return _states(key, first, states)


def payment(key: str, of: str, *statuses: str) -> list[Stored]:
    first = {
        "order_id": of,
        "user_id": BOB,
        "amount": PRICE,
        "currency": "usd",
        "bank_check": False,
        "relist": False,
        "intent_id": f"pi_{of}",
        "authorized_at": None,
        "status": statuses[0],
    }
    refund = {"id": f"re_{of}", "amount": PRICE, "status": "succeeded", "failure": None}
    money_back = {"refunds": [refund]}
    return _states(
        key,
        {**first, "refunds": []},
        [{"status": status, **(money_back if status == "refunded" else {})} for status in statuses[1:]],
    )


def intent(of: str, status: str, *, received: int = 0, refunded: int = 0, key: str = "") -> dict[str, Any]:
    return {
        "id": key or f"pi_{of}",
        "metadata": {"order_id": of},
        "amount_received": received,
        "status": status,
        "latest_charge": {"amount_refunded": refunded},
    }


def sale(of: str, state: str, *, refunded: int = 0, transfers: Sequence[str] = ()) -> Stored:
    """What the seller gets for an order."""
    sent = [
        {"id": transfer, "amount": PRICE, "reversed": 0, "sent": PRICE, "sent_currency": "usd"}
        for transfer in transfers
    ]
    money = {"gross": PRICE, "currency": "usd", "fee": 0, "refunded": refunded, "lost": 0}
    debts = {"offsets": [], "settled_by": [], "written_off": 0}
    work: Stored = {"needs_account": False, "planned": None, "unbooked": []}
    ids = {"_id": of, "seller_id": ANN, "payment_id": of}
    return {**ids, "state": state, "transfers": sent, **money, **debts, **work}


def entry(of: str, cause: str, **change: int) -> Stored:
    """An entry of the ledger."""
    return {"_id": f"{cause}:{of}", "order_id": of, "currency": "usd", "change": change}


def transfer(of: str, key: str = "", *, sent_back: int = 0) -> dict[str, Any]:
    return {
        "id": key or f"tr_{of}",
        "metadata": {"order_id": of},
        "amount": PRICE,
        "amount_reversed": sent_back,
    }


def page(of: str, status: str, key: str = "") -> dict[str, Any]:
    return {"id": key or f"cs_{of}", "client_reference_id": of, "status": status}


def message(kind: str, about: str, to: str, status: str = "sent", attempts: int = 1) -> Stored:
    """A message to a person, as the history has it."""
    fields = {"kind": kind, "cause": about, "recipient": to, "attempts": attempts, "error": None}
    return {
        "_id": f"{kind}:{about}:{to}",
        "message_id": f"<{kind}-{about}@example.com>",
        "status": status,
        **fields,
    }


def _states(key: str, first: State, later: Sequence[State]) -> list[Stored]:
    states: list[Stored] = [{"_id": key, "version": 0, "outbox": [], **first}]
    for changes in later:
        states.append({**states[-1], **changes, "version": states[-1]["version"] + 1})
    return states


def held(by: Stored, status: str = "reserved", **more: Any) -> State:
    """The state of a ticket that an order holds or has bought."""
    hold = {"hold": by["hold"], "order_version": by["version"], "order_id": by["_id"]}
    return {
        "status": status,
        "held_until": by["expires_at"] if status == "reserved" else None,
        **hold,
        **more,
    }


def free(after: Stored) -> State:
    hold = {"hold": after["hold"], "order_version": after["version"]}
    return {"status": "available", "order_id": None, "held_until": None, **hold}


BOUGHT: State = {
    "status": "complete",
    "live": False,
    "paid_at": EARLIER,
    "delivery": "due",
    "deliver_by": DETAILS["starts_at"],
}
PROMISED: State = {**BOUGHT, "deliver_by": LATER}
DELIVERED: State = {"delivery": "delivered", "delivered_at": EARLIER}
REFUNDED: State = {"status": "refunded", "refunded_at": AT}


def cancelled(reason: str) -> State:
    return {"status": "cancelled", "active": False, "live": False, "cancel_reason": reason}


def published(kind: Kind, states: Sequence[Stored]) -> list[PublishedEvent]:
    return [_event(kind, EVENTS[kind](state), state["version"]) for state in states]


def _event(kind: Kind, event: Event, version: int = 0) -> PublishedEvent:
    body = event.model_dump(mode="json", by_alias=True)
    return PublishedEvent(
        f"{kind}-{event.about}-{version}", kind, event.about, version, body, event.subject, EARLIER
    )


def expired(order_id: str, at: datetime) -> PublishedEvent:
    return _event("expiration", ExpirationComplete(order_id=order_id, expires_at=at))


def _ticket_event(stored: Stored) -> Event:
    names = "version title user_id order_id status held_until refunded notes files_ready_at".split()
    return (TicketUpdated if stored["version"] else TicketCreated)(
        id=stored["_id"],
        price=Decimal(stored["price_minor"]) / 100,
        face_value=Decimal(stored["face_value_minor"]) / 100,
        hold=stored["hold"] or None,
        delivery=way_of_delivery(stored),
        **{name: stored[name] for name in (*names, *DETAILS)},
    )


def _order_event(stored: Stored) -> Event:
    names = "version status user_id cancel_reason hold_refused cancelled_by_operator".split()
    names += "relisted dispute expires_at hold code seller_id paid_at refunded_at".split()
    names += DELIVERY.values()
    price = Decimal(stored["price_minor"]) / 100
    kind = OrderUpdated if stored["version"] else OrderCreated
    return (OrderCancelled if stored["status"] == "cancelled" else kind)(
        id=stored["_id"],
        refunded_amount=stored["refunded_minor"],
        ticket=OrderedTicket(
            id=stored["ticket_id"], title=stored["ticket_title"], price=price, **stored["details"]
        ),
        **{name: stored[name] for name in names},
    )


def _payment_event(stored: Stored) -> Event:
    names = "version order_id status amount currency bank_check relist".split()
    return (PaymentUpdated if stored["version"] else PaymentCreated)(
        id=stored["_id"],
        stripe_id=stored["intent_id"],
        refunded_amount=sum(refund["amount"] for refund in stored["refunds"]),
        **{name: stored[name] for name in names},
    )


def _session_event(stored: Stored) -> Event:
    return SessionEnded(session_id=stored["_id"], ended_at=stored["ended_at"])


EVENTS: Mapping[Kind, Callable[[Stored], Event]] = {
    "ticket": _ticket_event,
    "order": _order_event,
    "payment": _payment_event,
    "session": _session_event,
}


def valid() -> History:
    """Six tickets: cancelled once and then sold; declined and expired; withdrawn; reserved; refunded; and
    delivered as promised, with its seller paid."""
    edited: State = {"title": f"{TITLE} in row 2", "price_minor": PRICE}
    o1 = order(O1, ticket(T1, edited)[-1], cancelled("buyer"))
    o2 = order(O2, ticket(T1, edited)[-1], BOUGHT, hold=2)
    t1 = ticket(T1, edited, held(o1[0]), free(o1[1]), held(o2[0]), held(o2[1], "sold"))
    o4 = order(O4, ticket(T2)[0], cancelled("expired"))
    t2 = ticket(T2, held(o4[0]), free(o4[1]))
    t3 = ticket(T3, {"withdrawn": True, "status": "withdrawn"})
    o3 = order(O3, ticket(T4)[0], expires_at=LATER)
    t4 = ticket(T4, held(o3[0]))
    o5 = order(O5, ticket(T5)[0], BOUGHT, REFUNDED)
    t5 = ticket(T5, held(o5[0]), held(o5[1], "sold"), held(o5[2], "sold", refunded=True))
    o6 = order(O6, ticket(T6, promised=True)[0], PROMISED, DELIVERED)
    files: State = {"files_ready_at": EARLIER}
    sold = held(o6[2], "sold")
    t6 = ticket(T6, held(o6[0]), held(o6[1], "sold"), files, sold, promised=True)
    tickets, orders = [t1, t2, t3, t4, t5, t6], [o1, o2, o3, o4, o5, o6]
    payments = [
        payment(P2, O2, "authorized", "captured"),
        payment(P4, O4, "failed", "voided"),
        payment(P5, O5, "captured", "refunding", "refunded"),
        payment(P6, O6, "captured"),
    ]
    alive: Stored = {"_id": S2, "user_id": ZOE, "version": -1, "ended_at": None, "outbox": []}
    anns: Stored = {**alive, "_id": S3, "user_id": ANN}
    ended: Stored = {**alive, "_id": S1, "version": 0, "ended_at": EARLIER}
    events = [
        *(event for states in tickets for event in published("ticket", states)),
        *(event for states in orders for event in published("order", states)),
        *(event for states in payments for event in published("payment", states)),
        *published("session", [ended]),
        expired(O4, EARLIER),
    ]
    messages = [
        message("receipt", O2, BOB, attempts=2),
        message("sold", O2, ANN),
        message("receipt", O5, BOB),
        message("sold", O5, ANN),
        message("refunded", O5, BOB),
        message("sale-refunded", O5, ANN),
        message("receipt", O6, BOB),
        message("sold", O6, ANN),
    ]
    return History(
        AT,
        users=[
            {"_id": ANN, "email": "ann@example.com"},
            {"_id": BOB, "email": "bob@example.com"},
            {"_id": ZOE, "email": "zoe@example.com"},
        ],
        sessions=[alive, ended, anns, {**anns, "_id": S4, "user_id": BOB}],
        tickets=[states[-1] for states in tickets],
        orders=[states[-1] for states in orders],
        payments=[states[-1] for states in payments],
        sales=[
            sale(O2, "held"),
            sale(O5, "reversed", refunded=PRICE),
            sale(O6, "paid", transfers=[f"tr_{O6}"]),
        ],
        ledger=[
            *(entry(of, "capture", received=PRICE, held=PRICE) for of in (O2, O5, O6)),
            entry(O5, "refund", held=-PRICE, refunded=PRICE),
            entry(O6, "transfer", held=-PRICE, paid_out=PRICE),
        ],
        webhooks=[{"_id": "evt_1", "processed": True, "due": EARLIER}],
        tickets_known_to_orders=[states[-1] for states in tickets],
        orders_known_to_payments=[
            {**states[-1], "starts_at": states[-1]["details"]["starts_at"]} for states in orders
        ],
        messages=messages,
        received=[
            Copy(each["message_id"], "bob@example.com" if each["recipient"] == BOB else "ann@example.com")
            for each in [*messages, messages[0]]
        ],
        events=events,
        intents=[
            intent(O2, "succeeded", received=PRICE),
            intent(O4, "canceled", refunded=PRICE),
            intent(O5, "succeeded", received=PRICE, refunded=PRICE),
            intent(O6, "succeeded", received=PRICE),
        ],
        pages=[page(O2, "complete"), page(O3, "open")],
        transfers=[transfer(O6)],
        timers=[Timer(O3, LATER), Timer(O2, DETAILS["starts_at"])],
        unhandled={"orders-ticket-created": 0},
        dead=[("poison", consumer) for consumer in CONSUMERS_OF_ORDERS],
        poisoned=[("poison", consumer) for consumer in CONSUMERS_OF_ORDERS],
        requests=_requests(edited["title"]),
    )


def _requests(edited: str) -> list[Request]:
    def offer(of: str, key: str = "", **answer: Any) -> Request:
        asked = {"title": f"{TITLE} {of[:4]}", "price": "45.00"}
        return Request("list", ANN, asked=asked, key=key, **{"status": 201, "made": of, **answer})

    return [
        Request("sign up", "ann@example.com", status=201, made=ANN, session=S3),
        Request("sign up", "bob@example.com", status=201, made=BOB, session=S4),
        Request("sign in", "zoe@example.com", status=200, made=ZOE, session=S1),
        Request("sign in", "zoe@example.com", status=200, made=ZOE, session=S2),
        Request("sign in", "zoe@example.com", status=401),
        Request("sign up", "zoe@example.com"),
        Request("sign up", "eve@example.com"),
        *map(offer, (T1, T2, T4, T5, T6)),
        offer(T3, "key"),
        offer(T3, "key", status=None, made=""),
        offer(T3, "key", version=0, state="available"),
        offer("nothing", status=400, made=""),
        Request("edit", ANN, T1, 200, asked={"title": edited, "price": "45"}, version=1, state="available"),
        Request("edit", EVE, T1, 403, asked={"title": "Eve's", "price": "1"}),
        Request("edit", ANN, T2, None, asked={"title": "never came", "price": "1"}),
        Request("upload", ANN, T6, 201),
        Request("withdraw", ANN, T3, 204),
        Request("withdraw", ANN, T1, 409),
        Request("reserve", BOB, T1, 201, O1, version=0, state="created"),
        Request("cancel", BOB, O1, 204),
        Request("cancel", EVE, O2, 403),
        Request("reserve", BOB, T1, None),
        Request("reserve", BOB, T1, 201, O2, form=True),
        Request("reserve", EVE, T1, 409),
        *(Request("reserve", BOB, of, 201, made) for of, made in ((T2, O4), (T4, O3), (T5, O5), (T6, O6))),
        Request("pay", BOB, O2, 201, P2, asked={"card": "tok_visa"}, state="authorized"),
        Request("pay", BOB, O4, 402, asked={"card": "tok_chargeDeclined"}),
        Request("pay", BOB, O6, 201, P6, asked={"card": "tok_visa"}, state="captured"),
        Request("pay", BOB, O5, 303, asked={"card": ON_STRIPE_PAGE}, form=True),
        Request("pay on page", BOB, O5, 303, asked={"card": "tok_visa"}),
        Request("refund", "operator", O5, 201, asked={"relist": False}),
        Request("refund", "operator", O2, None, asked={"relist": True}),
        Request("look", BOB, O2, 200, version=1, state="complete"),
        Request("look", BOB, P2, 200, state="captured"),
        Request("sign out", ZOE, S1, 200),
        Request("use an ended session", ZOE, S1, 200),
        Request("use an ended session", ZOE, S1, 401),
    ]
