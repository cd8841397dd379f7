"""Rules of delivery: when the buyer of a paid order has the ticket, and what follows if it takes too long."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from contracts.events import GRACE, LIVE_STATUSES, TicketEvent
from contracts.guarantees import DELIVERY_BEFORE_START, PROBLEM_HOURS, PROBLEM_WITHOUT_DATE
from kit.changes import Changes
from kit.errors import Conflict, Forbidden
from services.orders.rules import OrderState, ReservableTicket

LAST_RESERVATION = timedelta(hours=5)
"""A promised ticket can't be reserved later than this before the start. The hour between is for paying."""

AFTER_START = timedelta(hours=PROBLEM_HOURS)
"""How long after the start of the event, or after a later delivery, it is confirmed by itself."""

WITHOUT_DATE = PROBLEM_WITHOUT_DATE
"""The same after the delivery of a ticket for an event without a date."""


class TooLateToDeliver(Conflict):
    message = "The event starts too soon: the seller could no longer upload the ticket in time"


class NotTheSeller(Forbidden):
    message = "That sale isn't yours"


class NothingToHandOver(Conflict):
    message = "This order isn't waiting for a handover"


class UploadInstead(Conflict):
    message = "You promised to upload this ticket. Upload its files, and the buyer gets them at once"


class NotDelivered(Conflict):
    message = "The ticket hasn't been delivered yet"


def check_can_be_delivered(ticket: ReservableTicket, now: datetime) -> None:
    """Check that promised files would still have to arrive before the event, whenever the buyer pays.

    Raises:
        TooLateToDeliver
    """
    starts_at = ticket.starts_at
    if ticket.delivery == "promised" and starts_at is not None and starts_at - now < LAST_RESERVATION:
        raise TooLateToDeliver


def follow_status(order: OrderState, changes: Changes, now: datetime) -> Changes:
    """What the status that the changes give the order means for the delivery.

    A payment begins the delivery, or ends it if the files are stored already. Nothing is due any more after a
    cancellation or a refund.
    """
    status = changes.get("status", order.status)
    if status == order.status:
        return {}
    after = order.model_copy(update=dict(changes))
    if status == "complete":
        return _delivered(after, now) if after.delivery == "sealed" else _due(after, now)
    if status == "refunded":
        return acts_at(None)
    return {"delivery": None} if status == "cancelled" and after.delivery else {}


def follow_ticket(order: OrderState, ticket: TicketEvent, order_id: str, now: datetime) -> Changes | None:
    """Record that tickets has all files of the order's ticket. Repeated and old events change nothing.

    Before the payment the order is then sealed: the files of a held ticket are never removed. Files that
    arrive after the delivery has failed don't revive it, because the buyer is being refunded.
    """
    if ticket.order_id != order_id or ticket.delivery != "instant":
        return None
    if order.status in LIVE_STATUSES:
        return None if order.delivery == "sealed" else {"delivery": "sealed"}
    return files_arrived(order, ticket.files_ready_at, now)


def files_arrived(order: OrderState, ready_at: datetime | None, now: datetime) -> Changes | None:
    """Deliver the files of a paid order that is due.

    Args:
        ready_at: when the files became complete, if tickets says so.
    """
    if order.status != "complete" or order.delivery != "due":
        return None
    at = ready_at or now
    return _delivered(order, at if order.paid_at is None else max(at, order.paid_at))


def hand_over(order: OrderState, by: str, now: datetime) -> Changes | None:
    """Record that the seller has handed the ticket over. A repeated call changes nothing.

    Raises:
        NotTheSeller, UploadInstead, NothingToHandOver
    """
    if order.seller_id != by:
        raise NotTheSeller
    if order.status != "complete":
        raise NothingToHandOver
    if order.delivery in ("delivered", "confirmed"):
        return None
    if order.delivery != "due":
        raise NothingToHandOver
    if is_promised(order):
        raise UploadInstead
    return _delivered(order, now)


def confirm(order: OrderState, now: datetime) -> Changes | None:
    """Record that the buyer confirms to have the ticket. A repeated call changes nothing.

    A buyer may confirm a handover that the seller hasn't marked.

    Raises:
        NotDelivered
    """
    if order.status != "complete":
        raise NotDelivered
    if order.delivery == "confirmed":
        return None
    if order.delivery == "due" and not is_promised(order):
        return {**_delivered(order, now), **_confirmed(now), "confirmed_by_buyer": True}
    if order.delivery != "delivered":
        raise NotDelivered
    return {**_confirmed(now), "confirmed_by_buyer": True}


def pass_time(order: OrderState, now: datetime) -> Changes | None:
    """What happens because time has passed. Early, late and repeated timers change nothing.

    A promised delivery that is overdue fails, and payments then refunds the buyer. For any other the order
    only says that it is overdue. A delivery that nobody has complained about is confirmed. At half of the
    time until promised files are due, the order says that the seller has to be reminded.
    """
    if order.status != "complete":
        return None
    if order.delivery == "due" and order.overdue_at is None and order.deliver_by is not None:
        if now < order.deliver_by + GRACE:
            return _reminded(order, order.deliver_by, now)
        overdue = {"overdue_at": order.deliver_by, **acts_at(None)}
        return {**overdue, "delivery": "failed"} if is_promised(order) else overdue
    if order.delivery == "delivered" and order.delivery_acts_at is not None:
        return _confirmed(order.delivery_acts_at) if order.delivery_acts_at <= now else None
    return None


def _reminded(order: OrderState, deliver_by: datetime, now: datetime) -> Changes | None:
    """Remind the seller of promised files once. A process that wasn't there in time reminds later, but not
    after the deadline."""
    if not is_promised(order) or order.reminded_at is not None or order.delivery_acts_at is None:
        return None
    if not order.delivery_acts_at <= now < deliver_by:
        return None
    return {"reminded_at": now, **acts_at(deliver_by)}


def is_promised(order: OrderState) -> bool:
    """Whether the buyer was promised files by a deadline, and gets the money back without them.

    A seller who only has to hand the ticket over may upload files too. They are then delivered like any.
    """
    return order.details.delivery != "seller"


def _due(order: OrderState, paid_at: datetime) -> Changes:
    starts_at, by = order.details.starts_at, order.details.starts_at
    if is_promised(order):
        latest = paid_at + timedelta(hours=order.delivery_hours)
        by = latest if starts_at is None else min(latest, starts_at - DELIVERY_BEFORE_START)
    first = by
    if is_promised(order) and by is not None and by > paid_at:
        first = paid_at + (by - paid_at) / 2  # the seller is reminded
    return {"delivery": "due", "deliver_by": by, **acts_at(first)}


def _delivered(order: OrderState, at: datetime) -> Changes:
    # While a report is open, nothing is confirmed by itself. The decision lets the sweep do it.
    until = None if order.report_open else confirmation_time(order, at)
    return {"delivery": "delivered", "delivered_at": at, **acts_at(until)}


def _confirmed(at: datetime) -> Changes:
    return {"delivery": "confirmed", "confirmed_at": at, **acts_at(None)}


def confirmation_time(order: OrderState, delivered_at: datetime) -> datetime:
    """When a delivery is confirmed by itself: once the time to report a problem is over."""
    starts_at = order.latest_starts_at or order.details.starts_at
    return delivered_at + WITHOUT_DATE if starts_at is None else max(delivered_at, starts_at) + AFTER_START


def acts_at(at: datetime | None) -> Mapping[str, Any]:
    """When the delivery changes by itself, including the field that the index of the sweep filters by."""
    return {"delivery_acts_at": at, "delivery_acts": at is not None}
