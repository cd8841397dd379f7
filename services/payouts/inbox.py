"""The inbox of webhook events: stored on receipt, processed afterwards."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from contracts.wire import now
from kit.alerts import alert
from kit.security_log import record
from kit.stripe.batch import for_each, isolated, within_claim
from kit.stripe.webhook import BadSignature, SignedEvent, id_or_none, verified
from services.payouts.documents import PayoutAccount, Sale, WebhookEvent
from services.payouts.transfers import Transfers

BATCH = 200
"""Maximum number of webhook events in a batch."""

TRANSFER_REVERSED = "transfer.reversed"
"""The only event about transfers that may tell something new: all transfers are made here."""

PAYOUT_FAILED = "payout.failed"
PAYOUT_PAID = "payout.paid"


@dataclass(frozen=True)
class WebhookInbox:
    transfers: Transfers
    webhook_secrets: Sequence[str]
    """The keys that verify Stripe's signatures. Without any, every webhook is rejected."""
    received: asyncio.Event = field(default_factory=asyncio.Event)
    """A flag that is set when a new webhook event was stored."""

    async def receive_webhook(self, body: bytes, signature: str | None) -> None:
        """Store a webhook event for later processing. A repeated event is stored once.

        Raises:
            BadSignature
            Unavailable: the event is stored, but no majority has it yet. Stripe sends it again.
        """
        try:
            event = verified(body, signature, self.webhook_secrets, setting="STRIPE_PAYOUTS_WEBHOOK_SECRET")
        except BadSignature:
            record("webhook", "refused")
            raise
        account_id, order_id = _account_of(event), _order_of(event)
        if account_id is None and order_id is None:
            return
        moment = now()
        stored = WebhookEvent(
            id=event.id,
            type=event.type,
            account_id=account_id,
            order_id=order_id,
            received_at=moment,
            happened_at=_time_of(event),
            due=moment,
        )
        if await stored.add():
            self.received.set()

    async def process_inbox(self) -> None:
        """Process all due events. Replicas may process the same one, which is harmless."""
        while not self.transfers.gateway.is_paused:
            due = await WebhookEvent.due_at(now(), BATCH)
            await for_each(due, self._process)
            if len(due) < BATCH:
                return

    async def _process(self, stored: Mapping[str, Any]) -> None:
        with isolated(f"webhook {stored['_id']}"):
            event = WebhookEvent.model_validate(stored)
            await within_claim(self._apply(event))
            await WebhookEvent.close(event.id)
            return
        await WebhookEvent.postpone(stored["_id"], stored.get("failures"))

    async def _apply(self, event: WebhookEvent) -> None:
        if event.order_id is not None:
            sale = await Sale.load(event.order_id)
            if sale is not None:
                await self.transfers.refresh(sale)
            return
        account = await PayoutAccount.at_stripe(event.account_id or "")
        if account is None:
            return
        if event.type in (PAYOUT_FAILED, PAYOUT_PAID):
            failed = event.type == PAYOUT_FAILED
            happened_at = event.happened_at or event.received_at
            is_newest = await account.record_payout(failed=failed, at=happened_at)
            if failed and is_newest:
                alert("payout_failed", "the bank of seller %s refused a payout", account.seller_id)
        await self.transfers.onboarding.refresh(account)


def _time_of(event: SignedEvent) -> datetime | None:
    try:
        return datetime.fromtimestamp(event.created, UTC) if event.created is not None else None
    except (OverflowError, ValueError, OSError):
        return None


def _account_of(event: SignedEvent) -> str | None:
    if event.type.startswith("account."):
        return id_or_none(event.account or event.subject.get("id"))
    return id_or_none(event.account) if event.type.startswith("payout.") else None


def _order_of(event: SignedEvent) -> str | None:
    """The order of a transfer. The metadata of other transfers of the account isn't ours."""
    if event.type != TRANSFER_REVERSED:
        return None
    order_id = id_or_none((event.subject.get("metadata") or {}).get("order_id"))
    return order_id if order_id is not None and ObjectId.is_valid(order_id) else None
