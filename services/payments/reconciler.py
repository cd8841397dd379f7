"""Settle payments that events and webhooks left open."""

import logging
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from beanie import PydanticObjectId
from prometheus_client import Counter

from contracts.events import PaymentStatus
from services.payments.batch import for_each, isolated
from services.payments.documents import Payment
from services.payments.settlement import Settlement

log = logging.getLogger(__name__)

OPEN_STATUSES: Sequence[PaymentStatus] = ("pending", "failed", "authorized", "refunding")
"""Statuses of payments that aren't final."""

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
        """Advance every payment that isn't final. Return those that changed."""
        # Only the id is read here, so that one unreadable payment doesn't hide the others.
        is_open = {"status": {"$in": OPEN_STATUSES}}
        found = await Payment.get_pymongo_collection().find(is_open, {"_id": 1}).to_list()
        keys = [payment["_id"] for payment in found]
        changed = [each for each in await for_each(keys, self._reconcile) if each is not None]
        for each in changed:
            RECONCILED.labels(each.was, each.became).inc()
            log.warning("reconciled payment %s of order %s: %s -> %s", *astuple(each))
        return changed

    async def _reconcile(self, payment_id: PydanticObjectId) -> Reconciled | None:
        with isolated(f"payment {payment_id}"):
            stored = await Payment.load(payment_id)
            payment = await self.settlement.advance(stored)
            if payment.version != stored.version:
                return Reconciled(stored.key, stored.order_id, stored.status, payment.status)
        return None
