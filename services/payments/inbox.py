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
from kit.lease import Lease
from kit.security_log import record
from kit.stripe.batch import CLAIM, for_each, isolated, within_claim
from kit.stripe.webhook import BadSignature
from kit.tracing import add_attributes, span, traceparent
from services.payments import rules
from services.payments.documents import Payment, WebhookEvent
from services.payments.settlement import Settlement
from services.payments.stripe_gateway.webhook import IMPLIED_TYPES, verify

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
            webhook = verify(body, signature, self.webhook_secrets)
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
            traceparent=traceparent(),
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

        All replicas share this work: each payment is claimed. A failed event is retried with increasing
        delays and doesn't block the others. While Stripe limits our requests, all events wait.
        """
        total = 0
        while not self.settlement.gateway.is_paused:
            due = await WebhookEvent.due_at(now(), BATCH)
            processed = await for_each(_by_payment(due), self._process)
            total += sum(filter(None, processed))
            if None in processed:
                # Another replica has a payment. It may not have seen all its events, so look again soon.
                self.received.set()
                return total
            if len(due) < BATCH:
                return total
        return total

    async def process_received(self) -> int:
        """Process the due events, after a pause that lets events of the same payment arrive together."""
        await asyncio.sleep(COLLECT_SECONDS)
        self.received.clear()
        return await self.process_inbox()

    async def _process(self, stored: Sequence[StoredEvent]) -> int | None:
        """Process the events of one payment. Return how many, or None if another replica has the payment.

        Processing them again after a crash is harmless. The span continues the trace of the request that
        brought the first event, and is linked to those of the others.
        """
        name = f"webhook {stored[0]['_id']}"
        with isolated(name):
            events = [WebhookEvent.model_validate(each) for each in stored]
            first, *others = [event.traceparent for event in events]
            with span("consumer", "process webhook", first, links=others), isolated(name):
                return await self._settle(events)
        for each in stored:
            await WebhookEvent.postpone(each["_id"], each.get("failures"))
        return 0

    async def _settle(self, events: Sequence[WebhookEvent]) -> int | None:
        # An event that names only the PaymentIntent may have come before we know that PaymentIntent.
        payment = await next((event for event in events if event.order_id), events[0]).payment()
        if payment is not None:
            add_attributes(payment.span_attributes)
        if payment is None or all(rules.is_known(payment, each.intent_id, each.status) for each in events):
            await WebhookEvent.close([each.id for each in events])
            return len(events)
        lease = Lease(WebhookEvent.get_pymongo_collection().database, f"webhooks of {payment.key}", CLAIM)
        if not await lease.hold():
            return None
        try:
            return await self._ask(payment, events)
        finally:
            await lease.release()

    async def _ask(self, payment: Payment, events: Sequence[WebhookEvent]) -> int:
        """Read the payment at Stripe, unless the previous holder of the lease has processed the events."""
        left = await WebhookEvent.still_due([each.id for each in events], now())
        if left:
            stored = await Payment.load(payment.id)
            await within_claim(self.settlement.advance(stored, refresh=True))
            await WebhookEvent.close(left)
        return len(left)


def _by_payment(due: Sequence[StoredEvent]) -> Sequence[Sequence[StoredEvent]]:
    """The events in groups: readable events of the same payment together, and each unreadable event alone.

    Some events name only the PaymentIntent. They belong to the order that another event names with it.
    """
    groups: defaultdict[Any, list[StoredEvent]] = defaultdict(list)
    readable: list[tuple[WebhookEvent, StoredEvent]] = []
    for stored in due:
        try:
            readable.append((WebhookEvent.model_validate(stored), stored))
        except ValidationError:
            groups["unreadable", stored["_id"]].append(stored)
    orders = {event.intent_id: event.order_id for event, _ in readable if event.intent_id and event.order_id}
    for event, stored in readable:
        order_id = event.order_id or (orders.get(event.intent_id) if event.intent_id else None)
        groups[order_id, None if order_id else event.intent_id].append(stored)
    return list(groups.values())
