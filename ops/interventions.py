"""What an operator changes for a buyer or a seller: cancel or extend an order, withdraw a ticket.

Each function sends one request to the service that owns the state. Repeating it is harmless.
"""

from collections.abc import Mapping
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


async def _request(
    conf: Settings, service: ServiceName, path: str, body: Mapping[str, Any], failure: str
) -> Any:
    unknown = f"{service} has nothing with this id"
    async with operator_api.client() as http:
        return await operator_api.request(http, conf, service, path, body, failure=failure, unknown=unknown)
