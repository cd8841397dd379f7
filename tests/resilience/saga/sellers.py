"""The payouts service of a saga, and the seller's account at Stripe."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from unittest.mock import patch
from urllib.parse import urlsplit

import httpx

import services.payouts.actions
import services.payouts.documents
import services.payouts.inbox
import services.payouts.reconciler
import services.payouts.stripe_gateway.client
import services.payouts.transfers
from contracts.events import OrderEvent, PaymentEvent
from sandbox.stripe.events.webhooks import sign
from services.payouts.actions import Onboarding, Payouts, Terms
from services.payouts.documents import (
    LedgerEntry,
    OrderReplica,
    PaymentReplica,
    PayoutAccount,
    Sale,
    WebhookEvent,
)
from services.payouts.inbox import WebhookInbox
from services.payouts.ledger import Amounts
from services.payouts.reconciler import Reconciler
from services.payouts.stripe_gateway.client import Gateway
from services.payouts.transfers import Transfers

DOCUMENTS = [Sale, LedgerEntry, PayoutAccount, OrderReplica, PaymentReplica, WebhookEvent]

TERMS = Terms(delay=timedelta(hours=72), fee_basis_points=500)

WEBHOOK_SECRET = "whsec_of_the_payouts"


class Clock(Protocol):
    def __call__(self) -> datetime: ...


@dataclass(frozen=True)
class Money:
    """What payouts and Stripe say about one order at the same moment."""

    sale: Sale | None
    entries: Sequence[Amounts]
    """The changes in the ledger."""
    transfers: Sequence[Mapping[str, Any]]
    """The order's transfers at Stripe."""


class Sellers:
    """The code of payouts on a real database."""

    def __init__(self, gateway: Gateway, shop: httpx.AsyncClient) -> None:
        """
        Args:
            shop: sends requests to Stripe that are no effects of the marketplace.
        """
        self._shop = shop
        self._onboarding = Onboarding(gateway, ["US"])
        transfers = Transfers(gateway, self._onboarding)
        self._payouts = Payouts(TERMS)
        self._inbox = WebhookInbox(transfers, [WEBHOOK_SECRET])
        self._reconciler = Reconciler(transfers)

    async def follow(self, event: OrderEvent | PaymentEvent) -> None:
        """Handle an event as the subscribers of payouts do."""
        if isinstance(event, OrderEvent):
            await self._payouts.follow_order(event)
        else:
            await self._payouts.follow_payment(event)

    async def webhook(self, event: Mapping[str, Any]) -> None:
        body = json.dumps(event).encode()
        await self._inbox.receive_webhook(body, sign(body, WEBHOOK_SECRET, int(time.time())))
        await self._inbox.process_inbox()

    async def reconcile(self) -> None:
        """Look at all sales, as if the times of their next looks had come."""
        await Sale.make_due({"next_look_at": {"$ne": None}})
        await self._reconciler.reconcile()

    async def set_up_account(self, seller: str) -> None:
        """Give Stripe the seller's details, on its page."""
        page = await self._onboarding.begin(seller, "US")
        answer = await self._shop.post(urlsplit(page).path, data={"choice": "complete"})
        assert answer.status_code == 303, answer.text
        account = await PayoutAccount.of_seller(seller)
        assert account is not None
        await self._onboarding.refresh(account)

    async def wait_for_account(self, seller: str) -> bool:
        """Whether money is due to the seller, who has no account yet."""
        waiting = {"seller_id": seller, "needs_account": True}
        return await Sale.get_pymongo_collection().find_one(waiting, {"_id": 1}) is not None

    async def versions(self, seller: str) -> int:
        """The number of changes of the seller's sales until now."""
        sales = Sale.get_pymongo_collection().find({"seller_id": seller}, {"version": 1})
        return sum([sale["version"] + 1 async for sale in sales])

    async def money_of(self, order: str) -> Money:
        entries = LedgerEntry.get_pymongo_collection().find({"order_id": order}, {"change": 1})
        answer = await self._shop.get("/v1/transfers", params={"transfer_group": order, "limit": 100})
        answer.raise_for_status()
        return Money(
            sale=await Sale.load(order),
            entries=[Amounts.model_validate(entry["change"]) async for entry in entries],
            transfers=answer.json()["data"],
        )


def clock_patches(now: Clock) -> Iterator[Any]:
    """The patches that let payouts use this clock."""
    for module in (
        services.payouts.actions,
        services.payouts.documents,
        services.payouts.inbox,
        services.payouts.reconciler,
        services.payouts.transfers,
    ):
        yield patch.object(module, "now", now)
    # The sandbox's clock isn't simulated: transfers are older there than their plans.
    yield patch.object(services.payouts.stripe_gateway.client, "BEFORE_PLAN", timedelta(days=400))
