"""The steps that bring an offer of the demo to its outcome: reserve, pay, cancel, refund or withdraw."""

from collections import Counter
from typing import Any

import httpx

from contracts.events import LIVE_STATUSES
from sandbox.demo.programme import Listing, Outcome
from sandbox.demo.user import User
from sandbox.log import write

TOKENS: dict[Outcome, str] = {
    "paid": "tok_visa",
    "refunded": "tok_visa",
    "relisted": "tok_visa",
    "declined": "tok_chargeDeclined",
    "bank check": "tok_threeDSecure2Required",
}


class Operator(User):
    """Refunds orders, as `just refund` does."""

    def __init__(self, payments: httpx.AsyncClient, secret: str) -> None:
        super().__init__("The operator", payments)
        payments.headers["Authorization"] = f"Bearer {secret}"

    async def refund(self, order_id: str, *, relist: bool) -> None:
        """Refund an order, unless this machine can't reach payments or has another operator token."""
        body = {"orderId": order_id, "relist": relist}
        try:
            response = await self.request("POST", "/api/payments/refunds", body, expected=(201, 401))
        except httpx.TransportError:
            write("No refund: payments can't be reached from this machine.")
            return
        if response.status_code == 401:
            write("No refund: payments has a different OPERATOR_TOKEN.")


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
    if outcome in ("refunded", "relisted") and not _is_refunded(await buyer.get(path), outcome):
        payments = f"/api/payments?orderId={order['id']}"
        await buyer.wait_for_status(payments, "captured", "refunding", "refunded")
        await operator.refund(order["id"], relist=outcome == "relisted")


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
