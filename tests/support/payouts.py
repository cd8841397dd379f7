"""A payouts service, and the accounts and transfers at the Stripe sandbox."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import stripe

from contracts.events import OrderEvent, OrderUpdated, PaymentUpdated, PayoutState
from contracts.wire import now
from services.payouts.actions import Payouts
from services.payouts.documents import LedgerEntry, PayoutAccount, Sale
from services.payouts.inbox import WebhookInbox
from services.payouts.ledger import Amounts
from services.payouts.reconciler import Reconciler
from services.payouts.transfers import Transfers
from tests.support.events import an_order, next_event
from tests.support.polling import TIMEOUT, until
from tests.support.service import Served, new_id
from tests.support.stripe_sandbox import paid_by

LONG_AGO = timedelta(days=30)
"""How long before now an event began whose sale is due."""


@dataclass(frozen=True)
class Sold:
    """A paid order, and its payment as the last event described it."""

    order: OrderEvent
    payment: PaymentUpdated
    history: list[PaymentUpdated] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.order.id

    @property
    def seller(self) -> str:
        assert self.order.seller_id is not None
        return self.order.seller_id


@dataclass(frozen=True)
class PayoutsService:
    """A payouts service and the platform's account at Stripe."""

    served: Served
    shop: stripe.StripeClient

    @property
    def payouts(self) -> Payouts:
        payouts: Payouts = self.served.app.state.payouts
        return payouts

    @property
    def transfers(self) -> Transfers:
        transfers: Transfers = self.served.app.state.transfers
        return transfers

    @property
    def inbox(self) -> WebhookInbox:
        inbox: WebhookInbox = self.served.app.state.inbox
        return inbox

    async def reconcile(self) -> list[str]:
        """Look at all sales now, as if the time of their next look had come."""
        await Sale.make_due({"next_look_at": {"$ne": None}})
        return list(await Reconciler(self.transfers).reconcile())

    async def seller(self, choice: str | None = "complete") -> str:
        """A new seller, who has made a choice on Stripe's page. With None, the seller hasn't begun."""
        seller = new_id()
        if choice is not None:
            await self.onboard(seller, choice)
        return seller

    async def onboard(self, seller: str, choice: str) -> None:
        page = (await self.begin(seller)).json()["url"]
        async with httpx.AsyncClient(timeout=TIMEOUT) as browser:
            answer = await browser.post(page, data={"choice": choice})
            assert answer.status_code == 303, answer.text
        account = await PayoutAccount.of_seller(seller)
        assert account is not None
        await self.transfers.onboarding.refresh(account)

    async def begin(self, seller: str, country: str = "US") -> httpx.Response:
        return await self.served.ask("POST", "/api/payouts/account", by=seller, json={"country": country})

    async def sold(self, seller: str, *, began: datetime | None = None, **intent: Any) -> Sold:
        """Deliver the events of a paid order over 19.99, whose event began long ago."""
        found = await paid_by("tok_visa", self.shop, **intent)
        await self.shop.v1.payment_intents.capture_async(found.id)
        created = an_order(new_id())
        ticket = created.ticket.model_copy(update={"starts_at": began or now() - LONG_AGO})
        created = created.model_copy(update={"ticket": ticket, "seller_id": seller})
        await self.payouts.follow_order(created)
        paid = next_event(created, "complete").model_copy(update={"paid_at": now() - LONG_AGO})
        assert isinstance(paid, OrderUpdated)
        await self.payouts.follow_order(paid)
        payment = PaymentUpdated(
            id=new_id(),
            version=2,
            order_id=paid.id,
            status="captured",
            amount=found.amount,
            currency=found.currency,
            stripe_id=found.id,
        )
        await self.payouts.follow_payment(payment)
        return Sold(paid, payment, [payment])

    async def becomes(self, sold: Sold, **changes: Any) -> None:
        """Deliver the next event of the sale's payment."""
        before = sold.history[-1]
        event = before.model_copy(update={"version": before.version + 1, **changes})
        sold.history.append(event)
        await self.payouts.follow_payment(event)

    async def sale(self, sold: Sold) -> Sale:
        found = await Sale.load(sold.id)
        assert found is not None
        return found

    async def state(self, sold: Sold) -> PayoutState:
        return (await self.sale(sold)).state

    async def transfers_of(self, sold: Sold) -> list[stripe.Transfer]:
        """The order's transfers at Stripe."""
        listed = await self.shop.v1.transfers.list_async({"transfer_group": sold.id, "limit": 100})
        return listed.data

    async def balances(self) -> Mapping[str, Amounts]:
        return await LedgerEntry.balances()

    async def shown(self, seller: str, **params: Any) -> dict[str, Any]:
        answer = await self.served.ask("GET", "/api/payouts", by=seller, params=params)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def empty_balance(self, seller: str) -> None:
        """Let the seller's bank get the balance of the account, as soon as it is available."""
        account = await PayoutAccount.of_seller(seller)
        assert account is not None
        options: Any = {"stripe_account": account.stripe_id}

        async def available() -> int:
            balance = await self.shop.v1.balance.retrieve_async(options=options)
            return sum(int(each["amount"]) for each in balance.available)

        async def balance_is_empty() -> bool:
            amount = await available()
            if amount > 0:
                await self.shop.v1.payouts.create_async({"amount": amount, "currency": "usd"}, options)
            balance = await self.shop.v1.balance.retrieve_async(options=options)
            return not any(each["amount"] for each in (*balance.available, *balance.pending))

        await until(balance_is_empty, lambda is_empty: is_empty)
