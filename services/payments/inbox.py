"""The inbox of webhook events: stored on receipt, processed afterwards."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pymongo.errors import DuplicateKeyError

from contracts.wire import now
from kit.errors import Unavailable
from kit.security_log import record
from services.payments import rules
from services.payments.batch import for_each, isolated
from services.payments.documents import WebhookEvent
from services.payments.settlement import Settlement
from services.payments.stripe_gateway.webhook import IMPLIED_TYPES, BadSignature, verify

BATCH = 200
"""Maximum number of webhook events in a batch."""

COLLECT_SECONDS = 0.5
"""Events are processed this long after the first one has arrived.

Our own request usually causes several events, and its response arrives at the same time. After this pause,
most events tell nothing new, and the others of a payment need one request to Stripe.
"""

StoredEvent = Mapping[str, Any]
"""A webhook event as it is stored, which may be unreadable."""


@dataclass(frozen=True)
class WebhookInbox:
    settlement: Settlement
    webhook_secret: str | None
    """The key that verifies Stripe's signatures. Without it, every webhook is rejected."""
    received: asyncio.Event = field(default_factory=asyncio.Event)
    """A flag that is set when a new webhook event was stored."""

    async def receive_webhook(self, body: bytes, signature: str | None) -> None:
        """Store a webhook event for later processing. A repeated event is stored once.

        Raises:
            BadSignature
            Unavailable: the event is stored, but no majority has it yet. Stripe sends it again.
        """
        try:
            webhook = verify(body, signature, self.webhook_secret)
        except BadSignature:
            record("webhook", "refused")
            raise
        if webhook.type in IMPLIED_TYPES:
            return
        moment = now()
        event = WebhookEvent(
            id=webhook.event_id,
            order_id=webhook.order_id,
            intent_id=webhook.intent_id,
            status=webhook.status,
            received_at=moment,
            due=moment,
        )
        try:
            await event.add()
        except DuplicateKeyError:
            if not await WebhookEvent.is_stored(event.id):
                raise Unavailable from None
            return
        self.received.set()

    async def process_inbox(self) -> int:
        """Read the payments of all due events at Stripe. Return how many events were processed.

        A failed event is retried with increasing delays and doesn't block the others.
        """
        total = 0
        while True:
            due = await WebhookEvent.due_at(now(), BATCH)
            total += sum(await for_each(_by_payment(due), self._process))
            if len(due) < BATCH:
                return total

    async def process_received(self) -> int:
        """Process the due events, after a pause that lets events of the same payment arrive together."""
        await asyncio.sleep(COLLECT_SECONDS)
        self.received.clear()
        return await self.process_inbox()

    async def _process(self, stored: Sequence[StoredEvent]) -> int:
        """Process the events of one payment. Return how many were processed.

        Processing them again after a crash is harmless.
        """
        with isolated(f"webhook {stored[0]['_id']}"):
            events = [WebhookEvent.model_validate(each) for each in stored]
            payment = await events[0].payment()
            if payment is not None and not all(
                rules.is_known(payment, each.intent_id, each.status) for each in events
            ):
                await self.settlement.advance(payment, refresh=True)
            await WebhookEvent.close([each.id for each in events])
            return len(events)
        for each in stored:
            await WebhookEvent.postpone(each["_id"], each.get("failures"))
        return 0


def _by_payment(due: Sequence[StoredEvent]) -> Sequence[Sequence[StoredEvent]]:
    """The events in groups: readable events of the same payment together, and each unreadable event alone."""
    groups: defaultdict[Any, list[StoredEvent]] = defaultdict(list)
    for stored in due:
        try:
            event = WebhookEvent.model_validate(stored)
        except ValidationError:
            groups[stored["_id"], None].append(stored)
        else:
            groups[event.order_id, event.intent_id].append(stored)
    return list(groups.values())
