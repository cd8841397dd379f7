"""Who has which ticket, and that all services know it."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.chaos.history import History, Stored
from tests.chaos.invariants.things import GRACE, OPEN, by, by_key, has_the_ticket, key, minor, owned, said_of

DETAILS = ("starts_at", "venue", "city", "time_zone", "category", "seat", "quantity", "picture")
OF_TICKETS = ("version", "title", "price_minor", "user_id", "status", *DETAILS)
"""What orders knows of a ticket."""
OF_ORDERS = ("version", "status", "user_id", "price_minor", "ticket_title", "expires_at")
"""What payments knows of an order."""


def one_order_a_ticket(history: History) -> Iterator[str]:
    """At most one order holds a ticket or has bought it, and none is its seller's."""
    for ticket, orders in by(history.orders, lambda order: str(order["ticket_id"])).items():
        holding = [key(order) for order in orders if has_the_ticket(order)]
        if len(holding) > 1:
            yield f"ticket {ticket} is held or bought by {len(holding)} orders: {', '.join(holding)}"
    sellers = {key(ticket): ticket["user_id"] for ticket in history.tickets}
    for order in history.orders:
        seller = sellers.get(order["ticket_id"])
        if seller is None:
            yield f"order {key(order)} is of ticket {order['ticket_id']}, which isn't there"
        elif seller == order["user_id"]:
            yield f"order {key(order)} is its seller's"


def holds_are_counted(history: History) -> Iterator[str]:
    """The orders of a ticket are its holds 1, 2, 3 …, without gaps or repeats."""
    for ticket, orders in by(history.orders, lambda order: str(order["ticket_id"])).items():
        holds = sorted(order["hold"] for order in orders)
        if holds != list(range(1, len(holds) + 1)):
            yield f"the holds of ticket {ticket} are {holds}"


def orders_count_as_they_stand(history: History) -> Iterator[str]:
    """What the unique indexes read of an order is what its status says."""
    for order in history.orders:
        for field, expected in (("active", has_the_ticket(order)), ("live", order["status"] in OPEN)):
            if order[field] != expected:
                yield f"order {key(order)} is {order['status']}, and {field} is {order[field]}"


def tickets_follow_orders(history: History) -> Iterator[str]:
    """A ticket is what the newest order of it says, in every field that orders decide."""
    orders = by(history.orders, lambda order: str(order["ticket_id"]))
    for ticket in history.tickets:
        newest = max(orders.get(key(ticket), []), key=lambda order: order["hold"], default=None)
        for field, expected in _expected(ticket, newest).items():
            if ticket[field] != expected:
                says = f"order {key(newest)} is {newest['status']}" if newest else "nobody ordered it"
                yield f"the {field} of ticket {key(ticket)} is {ticket[field]} and not {expected}: {says}"


def orders_are_of_what_was_offered(history: History) -> Iterator[str]:
    """Title and price of an order are those that its ticket had in the version that was reserved."""
    said = said_of(history)
    for order in history.orders:
        offered = said["ticket", order["ticket_id"]].get(order["ticket_version"])
        wanted = (order["ticket_title"], order["price_minor"])
        if offered is None:
            yield f"order {key(order)} is of a version {order['ticket_version']} that its ticket never had"
        elif (offered.body["title"], minor(offered.body["price"])) != wanted:
            yield f"order {key(order)} is of {wanted}, and its ticket was {offered.body}"


def copies_are_up_to_date(history: History) -> Iterator[str]:
    """What a service knows of another's things is what their owner has, in full."""
    for name, owners, known, fields in (
        ("ticket", history.tickets, history.tickets_known_to_orders, OF_TICKETS),
        ("order", history.orders, history.orders_known_to_payments, OF_ORDERS),
    ):
        copies = by_key(known)
        for owner in owners:
            copy = copies.pop(key(owner), None)
            if copy is None:
                yield f"{name} {key(owner)} isn't known"
                continue
            for field in fields:
                if copy.get(field) != owner[field]:
                    yield (
                        f"the copy of {name} {key(owner)} has another {field}: {copy.get(field)!r};"
                        f" its owner has {owner[field]!r}"
                    )
        for unknown in copies:
            yield f"there is a copy of {name} {unknown}, which isn't there"


def nothing_waits(history: History) -> Iterator[str]:
    """No event, message, webhook, timer or reservation is late, and what has its time has its timer."""
    late = history.at - GRACE
    for kind, owner in owned(history):
        if owner["outbox"]:
            yield f"{len(owner['outbox'])} events of {kind} {key(owner)} were never published"
    for consumer, count in history.unheard.items():
        if count:
            yield f"{count} messages wait for {consumer}"
    for notice in history.notices:
        if not notice["handled"] and notice["due"] < late:
            yield f"webhook {key(notice)} was due at {notice['due']:%H:%M:%S} and waits"
    for timer in history.timers:
        if timer.due < late:
            yield f"the timer of order {timer.order} was due at {timer.due:%H:%M:%S} and waits"
    timers = {(timer.order, timer.due) for timer in history.timers}
    for order in history.orders:
        if order["status"] in OPEN and order["expires_at"] < late:
            yield f"order {key(order)} is {order['status']} after its time is over"
        # One that is about to fire may have done so between the looks at databases and timers.
        is_far = order["expires_at"] > history.at + 6 * GRACE
        if order["status"] in OPEN and is_far and (key(order), order["expires_at"]) not in timers:
            yield f"order {key(order)} is {order['status']} and has no timer"


def only_poison_is_buried(history: History) -> Iterator[str]:
    """No event that somebody needs is a dead letter, and all that can't be read is: once a listener."""
    dead, poisoned = Counter(history.dead), Counter(history.poisoned)
    for message_id, consumer in (dead - poisoned).elements():
        yield f"{message_id} is a dead letter of {consumer or 'nobody'}"
    for message_id, consumer in (poisoned - dead).elements():
        yield f"{message_id} was poison, and isn't buried by {consumer}"


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
