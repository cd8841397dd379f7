"""At most one order holds a ticket, and all services agree on that order."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from contracts import events
from tests.resilience.chaos.history import History, Stored
from tests.resilience.chaos.invariants.lookups import (
    GRACE,
    OPEN,
    by_key,
    documents,
    grouped_by,
    has_the_ticket,
    key,
    minor,
    published_of,
)

SWEEP = timedelta(seconds=25)
"""How long after the end of its time an order may be swept, while a process that died has the lease."""

DETAILS = (
    *("starts_at", "venue", "city", "time_zone", "country", "show_id"),
    *("category", "seat", "quantity", "picture"),
)
OF_TICKETS = ("version", "title", "price_minor", "user_id", "status", *DETAILS)
"""The fields of a ticket that the orders service replicates."""
OF_ORDERS = ("version", "status", "user_id", "price_minor", "ticket_title", "expires_at", "starts_at")
"""The fields of an order that the payments service replicates."""


def one_order_holds_a_ticket(history: History) -> Iterator[str]:
    """At most one order holds or has bought a ticket, and the order's buyer isn't the ticket's seller."""
    for ticket, orders in grouped_by(history.orders, lambda order: str(order["ticket_id"])).items():
        holding = [key(order) for order in orders if has_the_ticket(order)]
        if len(holding) > 1:
            yield f"ticket {ticket} is held or bought by {len(holding)} orders: {', '.join(holding)}"
    sellers = {key(ticket): ticket["user_id"] for ticket in history.tickets}
    for order in history.orders:
        seller = sellers.get(order["ticket_id"])
        if seller is None:
            yield f"order {key(order)} is of ticket {order['ticket_id']}, which doesn't exist"
        elif seller == order["user_id"]:
            yield f"order {key(order)} is by the seller of its ticket"


def holds_are_numbered_without_gaps(history: History) -> Iterator[str]:
    """The orders of a ticket have the holds 1, 2, 3 …, without gaps or repetitions."""
    for ticket, orders in grouped_by(history.orders, lambda order: str(order["ticket_id"])).items():
        holds = sorted(order["hold"] for order in orders)
        if holds != list(range(1, len(holds) + 1)):
            yield f"the holds of ticket {ticket} are {holds}"


def indexed_fields_match_statuses(history: History) -> Iterator[str]:
    """The indexed fields of an order match its status."""
    for order in history.orders:
        for field, expected in (("active", has_the_ticket(order)), ("live", order["status"] in OPEN)):
            if order[field] != expected:
                yield f"order {key(order)} is {order['status']}, but {field} is {order[field]}"


def tickets_follow_orders(history: History) -> Iterator[str]:
    """The status and the hold of a ticket match its newest order."""
    orders = grouped_by(history.orders, lambda order: str(order["ticket_id"]))
    for ticket in history.tickets:
        newest = max(orders.get(key(ticket), []), key=lambda order: order["hold"], default=None)
        for field, expected in _expected(ticket, newest).items():
            if ticket[field] != expected:
                reason = f"order {key(newest)} is {newest['status']}" if newest else "it has no order"
                yield f"the {field} of ticket {key(ticket)} is {ticket[field]} and not {expected}: {reason}"


def orders_match_the_reserved_version(history: History) -> Iterator[str]:
    """Title and price of an order are those of its ticket in the version that was reserved."""
    published = published_of(history)
    for order in history.orders:
        offered = published["ticket", order["ticket_id"]].get(order["ticket_version"])
        wanted = (order["ticket_title"], order["price_minor"])
        if offered is None:
            yield f"order {key(order)} is of version {order['ticket_version']}, which its ticket never had"
        elif (offered.body["title"], minor(offered.body["price"])) != wanted:
            yield f"order {key(order)} is of {wanted}, but its ticket was {offered.body}"


def replicas_are_up_to_date(history: History) -> Iterator[str]:
    """Every replica equals its original, in every replicated field."""
    orders = [{**order, "starts_at": order["details"]["starts_at"]} for order in history.orders]
    for name, originals, known, fields in (
        ("ticket", history.tickets, history.tickets_known_to_orders, OF_TICKETS),
        ("order", orders, history.orders_known_to_payments, OF_ORDERS),
    ):
        replicas = by_key(known)
        for original in originals:
            replica = replicas.pop(key(original), None)
            if replica is None:
                yield f"{name} {key(original)} has no replica"
                continue
            for field in fields:
                if replica.get(field) != original[field]:
                    yield (
                        f"the replica of {name} {key(original)} has {field} {replica.get(field)!r};"
                        f" the original has {original[field]!r}"
                    )
        for unknown in replicas:
            yield f"there is a replica of {name} {unknown}, which doesn't exist"


def nothing_is_overdue(history: History) -> Iterator[str]:
    """No event, message, webhook, timer or reservation is overdue, and every reservation has a timer."""
    late = history.at - GRACE
    for kind, document in documents(history):
        if document["outbox"]:
            yield f"{len(document['outbox'])} events of {kind} {key(document)} were never published"
    for consumer, count in history.unhandled.items():
        if count:
            yield f"{consumer} has {count} unprocessed messages"
    for webhook in history.webhooks:
        if not webhook["processed"] and webhook["due"] < late:
            yield f"webhook {key(webhook)} was due at {webhook['due']:%H:%M:%S} and isn't processed"
    for timer in history.timers:
        if timer.due + events.GRACE < late:
            yield f"the timer of order {timer.order} was due at {timer.due:%H:%M:%S} and hasn't fired"
    timers = {(timer.order, timer.due) for timer in history.timers}
    for order in history.orders:
        kept_until = order["kept_until"] or order["expires_at"] + events.GRACE
        if order["status"] in OPEN and kept_until + SWEEP < late:
            yield f"order {key(order)} is {order['status']} after its deadline"
        # A timer that was about to fire may have fired between reading the databases and the timers.
        is_far = order["expires_at"] > history.at + 6 * GRACE
        if order["status"] in OPEN and is_far and (key(order), order["expires_at"]) not in timers:
            yield f"order {key(order)} is {order['status']} and has no timer"


def only_poison_is_a_dead_letter(history: History) -> Iterator[str]:
    """No event is a dead letter. Each poison message is a dead letter of each of its consumers, once."""
    dead, poisoned = Counter(history.dead), Counter(history.poisoned)
    for message_id, consumer in (dead - poisoned).elements():
        yield f"{message_id} is a dead letter of {consumer or 'an unknown consumer'}"
    for message_id, consumer in (poisoned - dead).elements():
        yield f"{message_id} was a poison message, but isn't a dead letter of {consumer}"


def _expected(ticket: Stored, newest: Stored | None) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "status": "withdrawn" if ticket["withdrawn"] else "available",
        "order_id": None,
        "held_until": None,
        "refunded": False,
        "hold": 0,
        "order_version": -1,
    }
    if newest is not None:
        fields |= {"hold": newest["hold"], "order_version": newest["version"]}
        if has_the_ticket(newest):
            is_open = newest["status"] in OPEN
            fields |= {
                "status": "reserved" if is_open else "sold",
                "order_id": key(newest),
                "held_until": newest["expires_at"] if is_open else None,
                "refunded": newest["status"] == "refunded",
            }
    return fields
