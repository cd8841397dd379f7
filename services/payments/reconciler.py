"""Settle payments that events and webhooks left open. All replicas share this work."""

import logging
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import product
from typing import get_args

from beanie import PydanticObjectId
from prometheus_client import Counter

from contracts.events import PaymentStatus
from contracts.wire import now
from kit.stripe.batch import CLAIM, for_each, isolated, within_claim
from kit.tracing import span
from services.payments.documents import Payment
from services.payments.metrics import LOOKS, show_undecided
from services.payments.schedule import OPEN_STATUSES
from services.payments.settlement import Settlement

log = logging.getLogger(__name__)

BATCH = 100
"""Maximum number of due payments that are found at once."""

RECONCILED = Counter(
    "stagedoor_payments_reconciled", "Payments that only the reconciler advanced", ["was", "became"]
)
for _was, _became in product(OPEN_STATUSES, get_args(PaymentStatus.__value__)):
    RECONCILED.labels(_was, _became)


@dataclass(frozen=True)
class Reconciled:
    """A payment that the reconciler advanced."""

    payment: str
    order: str
    was: PaymentStatus
    became: PaymentStatus


@dataclass(frozen=True)
class Reconciler:
    settlement: Settlement

    async def reconcile(self) -> Sequence[Reconciled]:
        """Look at every payment that is due and that no other replica has claimed. Return those that changed.

        While Stripe limits our requests, nothing is claimed, so that the payments stay due.
        """
        changed: list[Reconciled] = []
        while True:
            due = await Payment.due_at(now(), BATCH)
            changed += filter(None, await for_each(due, self._reconcile))
            if len(due) < BATCH or self.settlement.gateway.is_paused:
                return changed

    async def _reconcile(self, payment_id: PydanticObjectId) -> Reconciled | None:
        if self.settlement.gateway.is_paused:
            return None
        moment = now()
        if not await Payment.claim(payment_id, moment, moment + CLAIM):
            return None
        name = f"payment {payment_id}"
        with isolated(name):
            stored = await Payment.load(payment_id)
            # The payment may have been created hours ago. A trace that takes so long would be hard to read.
            about, links = stored.span_attributes, [stored.traceparent]
            with span("internal", "look at payment", None, about, links=links), isolated(name):
                return await self._look(stored)
        return None

    async def _look(self, stored: Payment) -> Reconciled | None:
        """Settle a payment that this process has claimed, and schedule the next look at it."""
        try:
            payment = await within_claim(self.settlement.advance(stored))
        except Exception:
            LOOKS.labels("failed").inc()
            await self.settlement.schedule(stored)
            raise
        if payment.next_look_at == stored.next_look_at:  # no step has changed the payment
            await self.settlement.schedule(payment)
        if payment.version == stored.version:
            LOOKS.labels("unchanged").inc()
            return None
        LOOKS.labels("changed").inc()
        found = Reconciled(stored.key, stored.order_id, stored.status, payment.status)
        RECONCILED.labels(found.was, found.became).inc()
        log.warning("reconciled payment %s of order %s: %s -> %s", *astuple(found))
        return found


async def measure_undecided() -> None:
    """Measure for how long authorized payments have waited for the decision of the orders service.

    Raises:
        DatabaseError
    """
    show_undecided(await Payment.undecided_since())
