"""Look at sales when something is due. All replicas share this work."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from beanie import PydanticObjectId

from contracts.wire import now
from kit.stripe.batch import CLAIM, for_each, isolated, within_claim
from kit.tracing import span
from services.payouts import schedule
from services.payouts.documents import Sale
from services.payouts.transfers import SellerOwes, Transfers

log = logging.getLogger(__name__)

BATCH = 100
"""Maximum number of due sales that are found at once."""


@dataclass(frozen=True)
class Reconciler:
    transfers: Transfers

    async def reconcile(self) -> Sequence[str]:
        """Look at every sale that is due for a look and that no other process has claimed.

        Return the orders whose sales changed. While Stripe limits our requests, nothing is claimed.
        """
        changed: list[str] = []
        for sale_id in await Sale.unbooked_ones(BATCH):
            with isolated(f"sale {sale_id}"):
                await (await _stored(sale_id)).book()
        while True:
            due = await Sale.to_look_at(now(), BATCH)
            changed += filter(None, await for_each(due, self._reconcile))
            if len(due) < BATCH or self.transfers.gateway.is_paused:
                return changed

    async def _reconcile(self, sale_id: PydanticObjectId) -> str | None:
        if self.transfers.gateway.is_paused:
            return None
        moment = now()
        if not await Sale.claim(sale_id, moment, moment + CLAIM):
            return None
        with isolated(f"sale {sale_id}"):
            stored = await _stored(sale_id)
            about = stored.span_attributes
            with span("internal", "look at sale", None, about), isolated(f"sale {sale_id}"):
                return await self._look(stored)
        return None

    async def _look(self, stored: Sale) -> str | None:
        """Settle a sale that this process has claimed, and schedule the next look at it."""
        try:
            sale = await within_claim(self.transfers.settle(stored))
        except SellerOwes:
            await _schedule(stored, now() + schedule.DEBT_INTERVAL)
            return stored.key
        except Exception:
            await _schedule(stored, schedule.after_failure(stored, now()))
            raise
        if sale.next_look_at == stored.next_look_at:  # no step has changed the sale
            await sale.schedule(schedule.after_look(sale, now()))
        if sale.version == stored.version:
            return None
        log.info("sale of order %s: %s -> %s", sale.key, stored.state, sale.state)
        return sale.key


async def _schedule(before: Sale, look_at: datetime) -> None:
    """Set the time of the next look after a failed one.

    An event that arrived meanwhile, or the failed look itself, may have set another time. That one counts,
    but isn't sooner than after any failure, so that a look that always fails isn't repeated at once.
    """
    await before.schedule(look_at)
    await Sale.not_before(before.id, now() + schedule.FIRST_DELAY)


async def _stored(sale_id: PydanticObjectId) -> Sale:
    sale = await Sale.load(str(sale_id))
    assert sale is not None, "sales are never deleted"
    return sale
