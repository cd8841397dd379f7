"""Paying at a payments service, and what the Stripe sandbox has of it."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import stripe

from contracts.events import OrderEvent
from services.payments.actions import Payments
from tests.people import PATIENCE
from tests.services.market import an_order, moved
from tests.services.served import Served, new_id


@dataclass(frozen=True)
class Till:
    """A payments service, and Stripe as its owner sees it."""

    served: Served
    shop: stripe.StripeClient
    stripe_url: str

    @property
    def payments(self) -> Payments:
        payments: Payments = self.served.app.state.payments
        return payments

    async def order(self, **given: Any) -> OrderEvent:
        """An order of a new buyer that payments heard of."""
        order = an_order(new_id(), **given)
        await self.payments.follow_order(order)
        return order

    async def becomes(self, order: OrderEvent, status: Any) -> None:
        """Payments hears what became of the order."""
        await self.payments.follow_order(moved(order, status))

    async def pay(
        self, order: OrderEvent, token: str | None = "tok_visa", *, by: str | None = None
    ) -> httpx.Response:
        body = {"orderId": order.id} | ({} if token is None else {"token": token})
        return await self.served.ask("POST", "/api/payments", by=by or order.user_id, json=body)

    async def shown(self, order: OrderEvent) -> dict[str, Any]:
        """The order's one payment, as its buyer sees it."""
        answer = await self.served.ask("GET", "/api/payments", by=order.user_id, params={"orderId": order.id})
        assert answer.status_code == 200, answer.text
        (payment,) = answer.json()
        assert isinstance(payment, dict)
        return payment

    async def stored(self, order: OrderEvent) -> dict[str, Any]:
        found = await self.served.database["payments"].find_one({"order_id": order.id})
        assert found is not None
        return found

    async def told(self, order: OrderEvent) -> list[tuple[str, int, str]]:
        """Subject, version and status of each event that the order's payment left."""
        events = await self.served.outbox("payments", str((await self.stored(order))["_id"]))
        return [(subject, body["version"], body["status"]) for subject, body in events]

    async def intents(self, order: OrderEvent) -> list[stripe.PaymentIntent]:
        """All that Stripe was ever asked for on behalf of the order."""
        listed = await self.shop.v1.payment_intents.list_async({"limit": 100})
        about = f"(order {order.id})"
        return [intent async for intent in listed.auto_paging_iter() if about in (intent.description or "")]

    async def statuses(self, order: OrderEvent) -> list[str]:
        return [intent.status for intent in await self.intents(order)]

    async def answer_check(self, order: OrderEvent, answer: str) -> None:
        """The buyer approves or refuses on the page of their bank."""
        page = urlsplit((await self.shown(order))["actionUrl"]).path
        async with httpx.AsyncClient(base_url=self.stripe_url, timeout=PATIENCE) as browser:
            assert (await browser.post(page, data={"answer": answer})).status_code == 303
