"""What an operator changes for buyers and sellers: orders, reported problems and listings, tickets and
events.

Each function sends one request to the service that owns the state. Repeating it is harmless.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ops import operator_api
from settings import ServiceName, Settings


async def cancel(conf: Settings, order_id: str, reason: str) -> str:
    """Cancel an unpaid order. Return a message for the operator.

    Raises:
        CommandError: the message says why the order isn't cancelled.
    """
    body = {"orderId": order_id, "reason": reason}
    failure = f"Order {order_id} isn't cancelled"
    order = await _request(conf, "orders", "/api/orders/cancellations", body, failure)
    if not order.get("cancelledByOperator"):
        return f"Order {order_id} had ended already. No operator cancelled it."
    return f"Order {order_id} is cancelled."


async def extend(conf: Settings, order_id: str, until: datetime, reason: str = "") -> str:
    """Give an order more time to pay. Return a message with its deadline, which may be later than `until`.

    Raises:
        CommandError: the message says why the order isn't extended.
    """
    body = {"orderId": order_id, "expiresAt": until.isoformat(), "reason": reason or None}
    failure = f"Order {order_id} isn't extended"
    order = await _request(conf, "orders", "/api/orders/extensions", body, failure)
    deadline = datetime.fromisoformat(order["expiresAt"]).astimezone(UTC)
    return f"The buyer can pay for order {order_id} until {deadline:%Y-%m-%d %H:%M:%S} UTC."


async def withdraw(conf: Settings, ticket_id: str, reason: str) -> str:
    """Take a ticket off sale for good. Return a message for the operator.

    Raises:
        CommandError: the message says why the ticket isn't withdrawn.
    """
    body = {"ticketId": ticket_id, "reason": reason}
    failure = f"Ticket {ticket_id} isn't withdrawn"
    await _request(conf, "tickets", "/api/tickets/withdrawals", body, failure)
    return f"Ticket {ticket_id} is withdrawn."


FACTS = (*("title", "performers", "venue", "city", "country", "timeZone", "startsAt", "category", "picture"),)
"""What an operator can correct about an event, as the API names it."""


def facts_of(given: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The facts to correct, from fields and what an operator has entered. Empty ones are left out.

    Raises:
        ValueError: a field isn't one of `FACTS`.
    """
    facts: dict[str, Any] = {}
    for name, value in given:
        if name not in FACTS:
            raise ValueError(f"there is no field {name}")
        text = value.strip()
        if name == "performers" and text:
            facts[name] = [each.strip() for each in text.split(",") if each.strip()]
        elif text:
            facts[name] = text
    return facts


async def merge_shows(conf: Settings, show_id: str, other_id: str, reason: str) -> str:
    """Merge two events. Return a message with the one that stays.

    Raises:
        CommandError: the message says why they aren't merged.
    """
    body = {"showId": show_id, "otherId": other_id, "reason": reason}
    failure = f"Events {show_id} and {other_id} aren't merged"
    show = await _request(conf, "tickets", "/api/shows/merges", body, failure)
    return f"Event {show['id']}, {show['title']}, has all tickets of both."


async def correct_show(conf: Settings, show_id: str, facts: Mapping[str, Any], reason: str) -> str:
    """Correct an event. Return a message for the operator.

    Raises:
        CommandError: the message says why it isn't corrected.
    """
    body = {"showId": show_id, "reason": reason, **facts}
    failure = f"Event {show_id} isn't corrected"
    show = await _request(conf, "tickets", "/api/shows/corrections", body, failure)
    return f"Event {show['id']}, {show['title']}, is corrected."


DECISIONS = ("refund", "partial-refund", "reject")
"""What an operator can decide on a reported problem, as the API names it."""


async def decide_problem(
    conf: Settings, order_id: str, decision: str, reason: str, *, amount: str = "", seen: str = ""
) -> str:
    """Decide on the problem that a buyer reported. Return a message for the operator.

    Args:
        amount: what a partial refund returns.
        seen: the state of the report that the operator has read. If it is another one, nothing is decided.

    Raises:
        CommandError: the message says why nothing is decided, such as because another operator was faster.
    """
    body = {
        "orderId": order_id,
        "decision": decision,
        "reason": reason,
        **({"amount": amount} if amount else {}),
        **({"seen": seen} if seen else {}),
    }
    failure = f"The problem with order {order_id} isn't decided"
    order = await _request(conf, "orders", "/api/orders/problems/decisions", body, failure)
    state = order["problem"]["state"]
    then = "The seller's money is no longer frozen." if state == "rejected" else "Payments returns the money."
    return f"The problem with order {order_id} is {state}. {then}"


LISTING_DECISIONS = ("remove", "keep")
"""What an operator can decide on a reported listing, as the API names it."""


async def decide_listing(
    conf: Settings, ticket_id: str, decision: str, reason: str, *, seen: Sequence[str] = ()
) -> str:
    """Decide on the reports of a listing. Return a message for the operator.

    Args:
        seen: when the reports were made that the operator has read. Empty for all.

    Raises:
        CommandError: the message says why nothing is decided, such as because another operator was faster.
    """
    body = {"ticketId": ticket_id, "decision": decision, "reason": reason, "seen": list(seen)}
    failure = f"The reports of ticket {ticket_id} aren't decided"
    case = await _request(conf, "tickets", "/api/tickets/reports/decisions", body, failure)
    if decision == "keep":
        return f"Ticket {ticket_id} stays on sale. Its reports are settled."
    if case["removing"]:
        then = "It is withdrawn if its order ends unpaid, and nobody else can reserve it."
        return f"Ticket {ticket_id} is reserved. {then} Its reports are settled."
    return f"Ticket {ticket_id} is withdrawn. Its reports are settled."


async def write_off(conf: Settings, order_id: str, reason: str, *, owed: int | None = None) -> str:
    """Give up what the seller of an order owes. Return a message for the operator.

    Args:
        owed: the debt that the operator has read, in minor units. If it is another one, nothing is given up.

    Raises:
        CommandError: the message says why it isn't given up.
    """
    body = {"orderId": order_id, "reason": reason, **({"owed": owed} if owed is not None else {})}
    failure = f"What the seller of order {order_id} owes isn't written off"
    await _request(conf, "payouts", "/api/payouts/write-offs", body, failure)
    return f"The seller of order {order_id} owes nothing for it any more."


async def submit_evidence(conf: Settings, order_id: str, text: str) -> str:
    """Submit a text as evidence about the dispute of an order. Return a message for the operator.

    Raises:
        CommandError: the message says why it isn't submitted.
    """
    body = {"orderId": order_id, "text": text}
    failure = f"The evidence about order {order_id} isn't submitted"
    await _request(conf, "payments", "/api/payments/evidence", body, failure)
    return f"The evidence about order {order_id} is submitted. The bank decides."


async def _request(
    conf: Settings, service: ServiceName, path: str, body: Mapping[str, Any], failure: str
) -> Any:
    unknown = f"{service} has nothing with this id"
    async with operator_api.client() as http:
        return await operator_api.request(http, conf, service, path, body, failure=failure, unknown=unknown)
