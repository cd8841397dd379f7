"""What holds of every run that has come to rest, whatever was killed, cut off or repeated while it ran.

Each invariant reads a history and gives what breaks it, in words. `violations` asks all of them.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tests.chaos.history import History, Stored

Invariant = Callable[[History], Iterator[str]]

OPEN = {"created", "awaiting:payment"}


def violations(history: History) -> list[str]:
    """Everything that is broken; nothing, if all is well."""
    return [f"{each.__name__}: {words}" for each in INVARIANTS for words in each(history)]


def one_order_a_ticket(history: History) -> Iterator[str]:
    """At most one order holds a ticket or has bought it."""
    for ticket, orders in _by(history.orders, "ticket_id").items():
        holding = [_key(order) for order in orders if _has_the_ticket(order)]
        if len(holding) > 1:
            yield f"ticket {ticket} is held or bought by {len(holding)} orders: {', '.join(holding)}"


def holds_are_counted(history: History) -> Iterator[str]:
    """The orders of a ticket are its holds 1, 2, 3 …, without gaps or repeats."""
    for ticket, orders in _by(history.orders, "ticket_id").items():
        holds = sorted(order["hold"] for order in orders)
        if holds != list(range(1, len(holds) + 1)):
            yield f"the holds of ticket {ticket} are {holds}"


def money_follows_orders(history: History) -> Iterator[str]:
    """What is complete was captured once, at its price; nothing else keeps anybody's money."""
    intents = _by(history.intents, lambda intent: intent["metadata"].get("order_id", ""))
    for order in history.orders:
        own = intents.get(_key(order), [])
        captured = [intent["amount_received"] for intent in own if intent["amount_received"]]
        kept = sum(captured) - sum(_refunded(intent) for intent in own)
        price, status = order["price_minor"], order["status"]
        if status == "complete" and (captured != [price] or kept != price):
            yield f"order {_key(order)} is complete at {price}; {captured} was captured and {kept} kept"
        if status != "complete" and kept:
            yield f"order {_key(order)} is {status}, and {kept} of its buyer's money is kept"
        if any(intent["status"] == "requires_capture" for intent in own):
            yield f"order {_key(order)} is {status}, and an authorization is left open"
    known = {_key(order) for order in history.orders}
    for order_id, own in intents.items():
        if order_id not in known and any(intent["amount_received"] for intent in own):
            yield f"money was taken for order {order_id!r}, which nobody knows"


def orders_are_paid_once(history: History) -> Iterator[str]:
    """One payment an order, which ended as the order did."""
    orders = {_key(order): order for order in history.orders}
    ends = {"complete": {"captured"}, "refunded": {"refunded"}, "cancelled": {"voided", "failed", "refunded"}}
    for order_id, payments in _by(history.payments, "order_id").items():
        if len(payments) > 1:
            yield f"order {order_id} has {len(payments)} payments"
        if (order := orders.get(order_id)) is None:
            yield f"a payment is of order {order_id}, which isn't there"
            continue
        for payment in payments:
            if payment["status"] not in ends.get(order["status"], {"pending", "failed", "voided"}):
                yield f"order {order_id} is {order['status']}, its payment {payment['status']}"
            if payment["amount"] != order["price_minor"]:
                yield f"order {order_id} costs {order['price_minor']}, its payment is of {payment['amount']}"
    for order_id, order in orders.items():
        if order["status"] == "complete" and not any(
            payment["order_id"] == order_id for payment in history.payments
        ):
            yield f"order {order_id} is complete without a payment"


def tickets_follow_orders(history: History) -> Iterator[str]:
    """A ticket is what the newest order of it says."""
    orders = _by(history.orders, "ticket_id")
    for ticket in history.tickets:
        newest = max(orders.get(_key(ticket), []), key=lambda order: order["hold"], default=None)
        allowed, holder = _expected(newest)
        if ticket["status"] not in allowed or ticket["order_id"] != holder:
            says = f"order {_key(newest)} is {newest['status']}" if newest else "nobody ordered it"
            yield f"ticket {_key(ticket)} is {ticket['status']} for {ticket['order_id']}, and {says}"


def copies_are_up_to_date(history: History) -> Iterator[str]:
    """What a service knows of another's things is what their owner has."""
    for name, owned, known, fields in (
        ("ticket", history.tickets, history.tickets_known_to_orders, ("status", "title", "price_minor")),
        ("order", history.orders, history.orders_known_to_payments, ("status",)),
    ):
        copies = {_key(copy): copy for copy in known}
        for owner in owned:
            copy = copies.get(_key(owner))
            for field in ("version", *fields):
                if copy is None or copy[field] != owner[field]:
                    says = "isn't known" if copy is None else f"has another {field}: {copy[field]!r}"
                    yield f"the copy of {name} {_key(owner)} {says}; its owner has {owner[field]!r}"
                    break


def every_change_is_said_once(history: History) -> Iterator[str]:
    """The versions 0 … n of everything are in the stream, each as one event."""
    said = defaultdict[tuple[str, str], dict[str, int]](dict)
    for event in history.events:
        said[event.kind, event.about][event.message_id] = event.version
    for kind, owned in (
        ("ticket", history.tickets),
        ("order", history.orders),
        ("payment", history.payments),
    ):
        for owner in owned:
            versions = sorted(said.pop((kind, _key(owner)), {}).values())
            if versions != list(range(owner["version"] + 1)):
                yield f"{kind} {_key(owner)} is at version {owner['version']}, and said {versions}"
    for kind, about in said:
        yield f"{kind} {about} was said, and isn't there"


def nothing_waits(history: History) -> Iterator[str]:
    """No event, no timer and no reservation is late."""
    for kind, owned in (
        ("ticket", history.tickets),
        ("order", history.orders),
        ("payment", history.payments),
    ):
        for owner in owned:
            if owner.get("outbox"):
                yield f"{len(owner['outbox'])} events of {kind} {_key(owner)} were never published"
    for timer in history.timers:
        if timer.due < history.at:
            yield f"a timer was due at {timer.due:%H:%M:%S} and waits"
    for order in history.orders:
        if order["status"] in OPEN and order["expires_at"] < history.at:
            yield f"order {_key(order)} is {order['status']} after its time is over"


def only_poison_is_buried(history: History) -> Iterator[str]:
    """No event that somebody needs is a dead letter."""
    for message_id in history.dead:
        if message_id not in history.poisoned:
            yield f"{message_id} is a dead letter"
    for message_id in history.poisoned - set(history.dead):
        yield f"{message_id} was poison, and isn't buried"


def answers_are_true(history: History) -> Iterator[str]:
    """What was answered with yes is so, with no isn't; what wasn't answered is wholly one of them."""
    tickets, orders = ({_key(each): each for each in owned} for owned in (history.tickets, history.orders))
    for request in history.requests:
        made = {"offer": tickets, "reserve": orders}.get(request.what)
        if request.is_done and made is not None and request.made not in made:
            yield f"{request.made} was made, as {request.user} was told, and isn't there"
        if request.what == "cancel" and request.is_done and orders[request.about]["status"] != "cancelled":
            yield f"order {request.about} was cancelled, as {request.user} was told, and isn't"
        if (
            request.what == "pay"
            and request.is_done
            and not any(payment["order_id"] == request.about for payment in history.payments)
        ):
            yield f"order {request.about} was paid, as {request.user} was told, and has no payment"
    yield from _as_many_as_were_told(history)


def _as_many_as_were_told(history: History) -> Iterator[str]:
    """Of who was answered with no, nothing is there."""
    told, maybe = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for request in history.requests:
        if request.what == "reserve":
            told[request.user, request.about] += request.is_done
            maybe[request.user, request.about] += request.is_open
    if not told:
        return
    there = Counter((order["user_id"], order["ticket_id"]) for order in history.orders)
    for pair in told | there:
        if not told[pair] <= there[pair] <= told[pair] + maybe[pair]:
            user, ticket = pair
            yield (
                f"{user} was told of {told[pair]} orders of ticket {ticket} and left without an answer for"
                f" {maybe[pair]}; {there[pair]} are there"
            )


INVARIANTS: Sequence[Invariant] = (
    one_order_a_ticket,
    holds_are_counted,
    money_follows_orders,
    orders_are_paid_once,
    tickets_follow_orders,
    copies_are_up_to_date,
    every_change_is_said_once,
    nothing_waits,
    only_poison_is_buried,
    answers_are_true,
)


def _key(stored: Stored) -> str:
    return str(stored["_id"])


def _by(
    things: Iterable[Mapping[str, Any]], key: str | Callable[[Mapping[str, Any]], str]
) -> dict[str, list[Mapping[str, Any]]]:
    grouped = defaultdict[str, list[Mapping[str, Any]]](list)
    for thing in things:
        grouped[str(thing[key]) if isinstance(key, str) else key(thing)].append(thing)
    return grouped


def _has_the_ticket(order: Stored) -> bool:
    return order["status"] in OPEN | {"complete"} or (order["status"] == "refunded" and not order["relisted"])


def _refunded(intent: Mapping[str, Any]) -> int:
    charge = intent.get("latest_charge") or {}
    return int(charge.get("amount_refunded", 0))


def _expected(newest: Stored | None) -> tuple[set[str], str | None]:
    """The states that a ticket may be in, and the order that has it."""
    if newest is None or not _has_the_ticket(newest):
        return {"available", "withdrawn"}, None
    return ({"reserved"} if newest["status"] in OPEN else {"sold"}), _key(newest)
