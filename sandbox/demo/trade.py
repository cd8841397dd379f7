"""What becomes of an offer: who reserves, who pays, who gets money back."""

from collections import Counter
from typing import Any

import httpx

from sandbox.demo.programme import Ending, Listing
from sandbox.demo.user import User
from sandbox.log import write

TOKENS: dict[Ending, str] = {
    "paid": "tok_visa",
    "refunded": "tok_visa",
    "relisted": "tok_visa",
    "declined": "tok_chargeDeclined",
    "bank check": "tok_threeDSecure2Required",
}


class Operator(User):
    """Gives money back, as `just refund` does."""

    def __init__(self, payments: httpx.AsyncClient, secret: str) -> None:
        super().__init__("The operator", payments)
        payments.headers["Authorization"] = f"Bearer {secret}"

    async def refund(self, order_id: str, *, relist: bool) -> None:
        """Does nothing where only others than this machine are operators."""
        body = {"orderId": order_id, "relist": relist}
        try:
            answer = await self.ask("POST", "/api/payments/refunds", body, expected=(201, 401))
        except httpx.TransportError:
            write("Nobody gets money back: payments is out of reach from here.")
            return
        if answer.status_code == 401:
            write("Nobody gets money back: payments has another OPERATOR_TOKEN.")


async def trade(buyer: User, deal: Listing, ticket: str, operator: Operator, done: Counter[str]) -> None:
    """Go on where an earlier run was; the newest order of the ticket tells."""
    ending = deal.offer.ending
    order = await _newest_order(buyer, ticket)
    if order is None or (order["status"] == "cancelled" and ending != "let go"):
        answer = await buyer.ask("POST", "/api/orders", {"ticketId": ticket}, expected=(201, 409, 429))
        if answer.status_code != 201:
            write(f"{buyer.name} leaves {deal.event.title!r} alone: {answer.json()['title']}")
            return
        order = answer.json()
        done["orders"] += 1
    path = f"/api/orders/{order['id']}"
    if order["status"] in ("created", "awaiting:payment"):
        if ending == "let go":
            await buyer.ask("DELETE", path)
        elif ending in TOKENS and not await _pay(buyer, order["id"], ending):
            return
    if ending in ("refunded", "relisted") and not _is_given_back(await buyer.get(path), ending):
        await buyer.until(f"/api/payments?orderId={order['id']}", "captured", "refunding", "refunded")
        await operator.refund(order["id"], relist=ending == "relisted")


async def _pay(buyer: User, order_id: str, ending: Ending) -> bool:
    """Whether one can: not where one pays on Stripe's own page, in a browser."""
    if await buyer.get(f"/api/payments?orderId={order_id}"):
        return True
    payment = {"orderId": order_id, "token": TOKENS[ending]}
    expected = 402 if ending == "declined" else 201
    answer = await buyer.ask("POST", "/api/payments", payment, expected=(expected, 400))
    if answer.status_code == 400:
        write(f"{buyer.name} leaves an order unpaid: {answer.json()['title']}")
        return False
    if ending != "declined":
        after = "awaiting:payment" if ending == "bank check" else "complete"
        await buyer.until(f"/api/orders/{order_id}", after)
    return True


def _is_given_back(order: dict[str, Any], ending: Ending) -> bool:
    return order["status"] == "refunded" and (ending != "relisted" or order["relisted"])


async def withdraw(seller: User, ticket: dict[str, Any]) -> None:
    """Take it off sale, unless somebody was faster."""
    if ticket["status"] == "available":
        await seller.ask("DELETE", f"/api/tickets/{ticket['id']}", expected=(204, 409))


async def _newest_order(buyer: User, ticket: str) -> dict[str, Any] | None:
    orders: list[dict[str, Any]] = await buyer.get("/api/orders")
    return next((order for order in orders if order["ticket"]["id"] == ticket), None)
