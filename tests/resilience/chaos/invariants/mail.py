"""Each person was told about everything that concerns them, and about nothing else."""

from collections import Counter
from collections.abc import Iterator

from tests.resilience.chaos.history import Copy, History
from tests.resilience.chaos.invariants.lookups import key

AboutOrder = tuple[str, str, str]
"""The kind of a message, the order's id, and the recipient's id."""

OF_PAID_ORDERS = ("receipt", "sold")
OF_REFUNDED_ORDERS = ("refunded", "sale-refunded")
"""Kinds of messages, first to the buyer, then to the seller."""


def people_are_told_about_their_orders(history: History) -> Iterator[str]:
    """The buyer and the seller have one message each about a paid order, and one more about its refund.

    There are no messages about other orders.
    """
    if history.received is None:
        return
    needed, there = _needed(history), _there(history)
    for kind, order_id, person in needed - there.keys():
        yield f"{person} wasn't told about order {order_id}: {kind}"
    for (kind, order_id, person), count in there.items():
        if (kind, order_id, person) not in needed:
            yield f"{person} was told about order {order_id} wrongly: {kind}"
        elif count > 1:
            yield f"{person} has {count} messages about order {order_id}: {kind}"


def lost_messages(history: History) -> int:
    """The number of messages about orders that were never queued, and of queued ones never received."""
    received = {copy.message_id for copy in history.received or ()}
    queued = [message for message in history.messages if message["status"] != "dropped"]
    never_received = sum(message["message_id"] not in received for message in queued)
    return len(_needed(history) - _there(history).keys()) + never_received


def _needed(history: History) -> set[AboutOrder]:
    sellers = {key(ticket): str(ticket["user_id"]) for ticket in history.tickets}
    needed = set[AboutOrder]()
    for order in history.orders:
        people = (str(order["user_id"]), sellers.get(str(order["ticket_id"]), ""))
        if order["status"] in ("complete", "refunded"):
            needed |= {(kind, key(order), who) for kind, who in zip(OF_PAID_ORDERS, people, strict=True)}
        if order["status"] == "refunded":
            needed |= {(kind, key(order), who) for kind, who in zip(OF_REFUNDED_ORDERS, people, strict=True)}
    return needed


def _there(history: History) -> Counter[AboutOrder]:
    return Counter(
        (message["kind"], message["cause"], str(message["recipient"]))
        for message in history.messages
        if message["kind"] in OF_PAID_ORDERS + OF_REFUNDED_ORDERS
    )


def messages_reach_their_recipients(history: History) -> Iterator[str]:
    """The mail server got every message for its recipient, at most once per attempt and with one Message-ID.

    A message isn't sent if its one-time link was used, replaced or expired before.
    """
    if history.received is None:
        return
    addresses = {key(user): user["email"] for user in history.users}
    copies = Counter(history.received)
    for message in history.messages:
        address = addresses.get(str(message["recipient"]), "")
        received = copies.pop(Copy(message["message_id"], address), 0)
        if message["status"] != "sent" and (message["status"], message["error"]) != ("dropped", "link-over"):
            yield f"message {key(message)} is {message['status']}: {message['error']}"
        if message["status"] == "sent" and not received:
            yield f"message {key(message)} counts as sent, but was never received"
        if received > message["attempts"]:
            yield f"message {key(message)} was received {received} times in {message['attempts']} attempts"
    for copy in copies:
        yield f"{copy.recipient} received {copy.message_id}, which isn't a message to them"
