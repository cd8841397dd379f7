"""A payments service, and its payments at the Stripe sandbox."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import stripe

from contracts.events import OrderEvent
from services.payments.actions import Payments
from services.payments.documents import Payment
from services.payments.inbox import WebhookInbox
from services.payments.reconciler import Reconciled, Reconciler
from tests.support.events import an_order, next_event
from tests.support.polling import TIMEOUT, until
from tests.support.service import Served, new_id


@dataclass(frozen=True)
class PaymentsService:
    """A payments service and the Stripe account that it uses."""

    served: Served
    shop: stripe.StripeClient
    stripe_url: str

    @property
    def payments(self) -> Payments:
        payments: Payments = self.served.app.state.payments
        return payments

    @property
    def inbox(self) -> WebhookInbox:
        inbox: WebhookInbox = self.served.app.state.inbox
        return inbox

    @property
    def reconciler(self) -> Reconciler:
        return Reconciler(self.payments.settlement)

    async def make_due(self) -> None:
        """Let the reconciler look at all open payments now, as if the time of their next look had come."""
        await self.served.database["payments"].update_many({}, {"$set": {"next_look_at": None}})

    async def reconcile(self) -> Sequence[Reconciled]:
        """Look at all open payments, as the reconciler does over time."""
        await self.make_due()
        return await self.reconciler.reconcile()

    async def order(self, *, by: str | None = None, **given: Any) -> OrderEvent:
        """Deliver the event of an order, by default of a new buyer, to the payments service."""
        order = an_order(by or new_id(), **given)
        await self.payments.follow_order(order)
        return order

    async def becomes(self, order: OrderEvent, status: Any) -> None:
        """Deliver the order's new status to the payments service."""
        await self.payments.follow_order(next_event(order, status))

    async def refresh(self, order: OrderEvent) -> Payment:
        """Read the payment at Stripe, as a webhook causes it."""
        payment = await Payment.first({"order_id": order.id})
        assert payment is not None
        return await self.payments.settlement.advance(payment, refresh=True)

    async def pay(
        self, order: OrderEvent, token: str | None = "tok_visa", *, by: str | None = None
    ) -> httpx.Response:
        body = {"orderId": order.id} | ({} if token is None else {"token": token})
        return await self.served.ask("POST", "/api/payments", by=by or order.user_id, json=body)

    async def bought(self, token: str = "tok_visa") -> OrderEvent:
        """A complete order, whose payment is captured."""
        order = await self.order()
        await self.pay(order, token)
        await self.becomes(order, "complete")
        return order

    async def refunds(self, order: OrderEvent) -> list[stripe.Refund]:
        """The order's refunds at Stripe, newest first."""
        (intent,) = await self.intents(order)
        return (await self.shop.v1.refunds.list_async({"payment_intent": intent.id})).data

    async def newest_refund_becomes(self, order: OrderEvent, status: str) -> None:
        """Wait until Stripe reports this status of the order's newest refund."""

        async def newest() -> str | None:
            return (await self.refunds(order))[0].status

        await until(newest, lambda found: found == status)

    async def shown(self, order: OrderEvent) -> dict[str, Any]:
        """The order's only payment, as its buyer sees it."""
        answer = await self.served.ask("GET", "/api/payments", by=order.user_id, params={"orderId": order.id})
        assert answer.status_code == 200, answer.text
        (payment,) = answer.json()
        assert isinstance(payment, dict)
        return payment

    async def stored(self, order: OrderEvent) -> dict[str, Any]:
        found = await self.served.database["payments"].find_one({"order_id": order.id})
        assert found is not None
        return found

    async def published(self, order: OrderEvent) -> list[tuple[str, int, str]]:
        """Subject, version and status of each outbox message of the order's payment after the first.

        The first message is the same for every payment: it says that Stripe is about to be asked.
        """
        events = await self.served.outbox("payments", str((await self.stored(order))["_id"]))
        first, *later = [(subject, body["version"], body["status"]) for subject, body in events]
        assert first == ("payment.created", 0, "pending")
        return later

    async def intents(self, order: OrderEvent) -> list[stripe.PaymentIntent]:
        """All payment intents of the order at Stripe."""
        listed = await self.shop.v1.payment_intents.list_async({"limit": 100})
        about = f"(order {order.id})"
        return [intent async for intent in listed.auto_paging_iter() if about in (intent.description or "")]

    async def statuses(self, order: OrderEvent) -> list[str]:
        return [intent.status for intent in await self.intents(order)]

    async def answer_check(self, order: OrderEvent, answer: str) -> None:
        """Approve or refuse the payment on the bank's page."""
        page = urlsplit((await self.shown(order))["actionUrl"]).path
        async with httpx.AsyncClient(base_url=self.stripe_url, timeout=TIMEOUT) as browser:
            assert (await browser.post(page, data={"answer": answer})).status_code == 303
