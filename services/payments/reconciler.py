"""Settle payments that events and webhooks left open. All replicas share this work."""

import logging
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from beanie import PydanticObjectId
from prometheus_client import Counter

from contracts.events import PaymentStatus
from contracts.wire import now
from services.payments.batch import CLAIM, for_each, isolated, within_claim
from services.payments.documents import Payment
from services.payments.settlement import Settlement

log = logging.getLogger(__name__)

BATCH = 100
"""Maximum number of due payments that are found at once."""

RECONCILED = Counter("payments_reconciled", "Payments that only the reconciler advanced", ["was", "became"])


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
            found = [each for each in await for_each(due, self._reconcile) if each is not None]
            for each in found:
                RECONCILED.labels(each.was, each.became).inc()
                log.warning("reconciled payment %s of order %s: %s -> %s", *astuple(each))
            changed += found
            if len(due) < BATCH or self.settlement.gateway.is_paused:
                return changed

    async def _reconcile(self, payment_id: PydanticObjectId) -> Reconciled | None:
        if self.settlement.gateway.is_paused:
            return None
        moment = now()
        if not await Payment.claim(payment_id, moment, moment + CLAIM):
            return None
        with isolated(f"payment {payment_id}"):
            stored = await Payment.load(payment_id)
            try:
                payment = await within_claim(self.settlement.advance(stored))
            except Exception:
                await self.settlement.schedule(stored)
                raise
            if payment.next_look_at == stored.next_look_at:  # no step has changed the payment
                await self.settlement.schedule(payment)
            if payment.version != stored.version:
                return Reconciled(stored.key, stored.order_id, stored.status, payment.status)
        return None
