"""Rules of changed dates: what an order takes over when the event is postponed, or its date was wrong.

The buyer never loses by it. Problems can be reported as long as the buyer was ever told, and promised files
aren't due later than before.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from contracts.events import LIVE_STATUSES, TicketEvent
from contracts.guarantees import DELIVERY_BEFORE_START
from kit.changes import Changes
from services.orders import delivery
from services.orders.rules import OrderState

LEAST_NOTICE = timedelta(hours=1)
"""How long a seller has at least for promised files after an event was made earlier, unless less was left. A
mistake of an operator must not refund orders at once."""


def follow_ticket(order: OrderState, ticket: TicketEvent, order_id: str, now: datetime) -> Changes | None:
    """Take over the date of the order's ticket. Repeated and old events change nothing.

    Tickets counts the changes of a date, so events may arrive in any order, and an older event doesn't change
    a date again that was changed back.
    """
    if ticket.order_id != order_id or ticket.date_changes <= order.date_changes:
        return None
    before, after = order.details.starts_at, ticket.starts_at
    if order.status not in {*LIVE_STATUSES, "complete"} or before is None or after is None:
        return None
    changes: dict[str, Any] = {
        "date_changes": ticket.date_changes,
        "details": order.details.model_copy(update={"starts_at": after, "time_zone": ticket.time_zone}),
    }
    if after == before:
        return changes
    told = [moment for moment in (order.latest_starts_at, before, after) if moment is not None]
    changes |= {
        "date_changed_at": now,
        "former_starts_at": order.former_starts_at or before,
        "latest_starts_at": max(told),
    }
    return {**changes, **_delivery(order.model_copy(update=changes), now)}


def _delivery(order: OrderState, now: datetime) -> Mapping[str, Any]:
    """What the new date means for a delivery that isn't over."""
    if order.status != "complete":
        return {}
    if order.delivery == "due":
        return _deadline(order, now)
    if order.delivery == "delivered" and order.delivery_acts_at is not None:
        confirmed_at = delivery.confirmation_time(order, order.delivered_at or now)
        return delivery.acts_at(max(order.delivery_acts_at, confirmed_at))
    return {}


def _deadline(order: OrderState, now: datetime) -> Mapping[str, Any]:
    starts_at, known = order.details.starts_at, order.deliver_by
    if starts_at is None:
        return {}
    if not delivery.is_promised(order):
        # A handover that was overdue at the former start isn't any more if the event is still to come.
        overdue_at = order.overdue_at if starts_at <= now else None
        acts_at = starts_at if overdue_at is None else None
        return {"deliver_by": starts_at, "overdue_at": overdue_at, **delivery.acts_at(acts_at)}
    if known is None:
        return {}
    by = min(known, max(starts_at - DELIVERY_BEFORE_START, now + LEAST_NOTICE))
    reminder = order.delivery_acts_at if order.reminded_at is None else None
    return {"deliver_by": by, **delivery.acts_at(min(by, reminder or by))}
