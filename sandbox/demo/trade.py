"""The steps that bring an offer of the demo to its outcome: reserve, pay, cancel, refund or withdraw."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from contracts.events import LIVE_STATUSES
from sandbox.demo.programme import Listing, Outcome
from sandbox.demo.user import User
from sandbox.log import write

TOKENS: dict[Outcome, str] = {
    "paid": "tok_visa",
    "past": "tok_visa",
    "refunded": "tok_visa",
    "relisted": "tok_visa",
    "declined": "tok_chargeDeclined",
    "bank check": "tok_threeDSecure2Required",
}


class Operator:
    """Refunds orders as `just refund` does, and corrects the dates of events as the console does."""

    def __init__(self, payments: httpx.AsyncClient, tickets: httpx.AsyncClient, secret: str) -> None:
        for http in (payments, tickets):
            http.headers["Authorization"] = f"Bearer {secret}"
        self._payments, self._tickets = User("The operator", payments), User("The operator", tickets)

    async def refund(self, order_id: str, *, relist: bool) -> None:
        """Refund an order, unless this machine can't reach payments or has another operator token."""
        body = {"orderId": order_id, "relist": relist}
        await _try(self._payments, "payments", "/api/payments/refunds", body, "No refund")

    async def correct_date(self, show_id: str, starts_at: datetime) -> bool:
        """Move an event, and return whether it was possible, as for `refund`."""
        body = {"showId": show_id, "startsAt": starts_at.isoformat(), "reason": "The demo has past events"}
        return await _try(self._tickets, "tickets", "/api/shows/corrections", body, "No past event")


async def _try(operator: User, service: str, path: str, body: dict[str, Any], failure: str) -> bool:
    try:
        response = await operator.request("POST", path, body, expected=(200, 201, 401))
    except httpx.TransportError:
        write(f"{failure}: {service} can't be reached from this machine.")
        return False
    if response.status_code == 401:
        write(f"{failure}: {service} has a different OPERATOR_TOKEN.")
    return response.status_code != 401


async def trade(buyer: User, deal: Listing, ticket: str, operator: Operator, created: Counter[str]) -> None:
    """Bring the deal to its outcome, continuing from the buyer's newest order of the ticket."""
    outcome = deal.offer.outcome
    order = await _newest_order(buyer, ticket)
    if order is None or (order["status"] == "cancelled" and outcome != "cancelled"):
        response = await buyer.request("POST", "/api/orders", {"ticketId": ticket}, expected=(201, 409, 429))
        if response.status_code != 201:
            write(f"{buyer.name} can't reserve {deal.event.title!r}: {response.json()['title']}")
            return
        order = response.json()
        created["orders"] += 1
    path = f"/api/orders/{order['id']}"
    if order["status"] in LIVE_STATUSES:
        if outcome == "cancelled":
            await buyer.request("DELETE", path)
        elif outcome in TOKENS and not await _pay(buyer, order["id"], outcome):
            return
    if outcome == "past":
        await _end_event(buyer, deal, path, operator)
    if outcome in ("refunded", "relisted") and not _is_refunded(await buyer.get(path), outcome):
        payments = f"/api/payments?orderId={order['id']}"
        await buyer.wait_for_status(payments, "captured", "refunding", "refunded")
        await operator.refund(order["id"], relist=outcome == "relisted")


async def _end_event(buyer: User, deal: Listing, path: str, operator: Operator) -> None:
    """Confirm the delivery, because nothing is overdue then, and let the event be over."""
    order = await buyer.get(path)
    if order["delivery"] == "due":
        await buyer.request("POST", f"{path}/confirmation")
    ticket = order["ticket"]
    starts_at, now = datetime.fromisoformat(ticket["startsAt"]), datetime.now(UTC)
    if starts_at <= now or ticket["showId"] is None:
        return
    weeks_left = (starts_at - now) // timedelta(weeks=1)
    past = starts_at - timedelta(weeks=weeks_left + deal.event.weeks_ago)
    if await operator.correct_date(ticket["showId"], past):
        await buyer.wait_for(path, lambda seen: seen["ticket"]["startsAt"] != ticket["startsAt"])


async def _pay(buyer: User, order_id: str, outcome: Outcome) -> bool:
    """Pay, and return whether paying is possible: with Stripe Checkout, only a browser can pay."""
    if await buyer.get(f"/api/payments?orderId={order_id}"):
        return True
    payment = {"orderId": order_id, "token": TOKENS[outcome]}
    expected = 402 if outcome == "declined" else 201
    response = await buyer.request("POST", "/api/payments", payment, expected=(expected, 400))
    if response.status_code == 400:
        write(f"{buyer.name} can't pay for an order: {response.json()['title']}")
        return False
    if outcome != "declined":
        status = "awaiting:payment" if outcome == "bank check" else "complete"
        await buyer.wait_for_status(f"/api/orders/{order_id}", status)
    return True


def _is_refunded(order: dict[str, Any], outcome: Outcome) -> bool:
    return order["status"] == "refunded" and (outcome != "relisted" or order["relisted"])


async def withdraw(seller: User, ticket: dict[str, Any]) -> None:
    """Withdraw the ticket, unless another user reserves it first."""
    if ticket["status"] == "available":
        await seller.request("DELETE", f"/api/tickets/{ticket['id']}", expected=(204, 409))


async def _newest_order(buyer: User, ticket: str) -> dict[str, Any] | None:
    orders: list[dict[str, Any]] = await buyer.get("/api/orders")
    return next((order for order in orders if order["ticket"]["id"] == ticket), None)
