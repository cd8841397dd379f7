"""Rules of reservations and orders."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from contracts.api import MAX_HOLD
from contracts.events import (
    GRACE,
    LIVE_STATUSES,
    CancelReason,
    DeliveryState,
    DisputeStatus,
    OrderStatus,
    PaymentEvent,
    PaymentStatus,
    TicketEvent,
    TicketStatus,
)
from contracts.money import to_minor_units
from contracts.tickets import Delivery, TicketDetails
from contracts.wire import Moment
from kit.changes import Changes
from kit.errors import Conflict, Forbidden, Invalid, TooManyRequests
from services.orders.evidence.entries import PhotoEntry
from services.orders.reports import ProblemReport


class TicketReserved(Conflict):
    message = "Ticket is already reserved"


class TicketNotForSale(Conflict):
    message = "Ticket is no longer for sale"


class TicketAwaitsFiles(Conflict):
    message = "The seller has to upload this ticket before it can be bought"


class OwnTicket(Forbidden):
    message = "You can't buy your own ticket"


class TooManyReservations(TooManyRequests):
    pass


class OrderComplete(Conflict):
    message = "A completed order can't be cancelled"


class NoMoreTime(Conflict):
    message = "The time to pay can no longer be extended"


class DeadlineNotAllowed(Invalid):
    """An operator asked for a deadline in the past, or for one that is too late."""

    message = "The new deadline must be in the future"


class NotTheBuyer(Forbidden):
    message = "That order isn't yours"


class Details(TicketDetails):
    """The details of a ticket that the orders service stores."""

    picture: str | None = None
    delivery: Delivery = "seller"
    """How the buyer was told to get the ticket."""


class ReservableTicket(Details):
    """The fields of a ticket that a reservation needs."""

    version: int
    title: str
    price_minor: int
    user_id: str
    """The seller's id."""
    status: TicketStatus
    awaits_files: bool = False
    """Whether it can't be reserved until its seller has uploaded the files."""
    date_changes: int = 0
    """How often the date has changed for those who had it already."""


class OrderState(BaseModel):
    """The fields of an order that rules need."""

    user_id: str
    """The buyer's id."""
    seller_id: str | None = None
    """The seller's id. None for an order from before orders kept it."""
    ticket_id: str
    ticket_version: int
    ticket_title: str
    price_minor: int
    details: Details = Details()
    """Details of the ticket at the time of the reservation."""
    hold: int
    code: str | None = None
    """The order number, a random text of `CODE_LETTERS`. Only the buyer and the seller see it."""
    status: OrderStatus = "created"
    expires_at: Moment
    extended: bool = False
    """Whether the deadline was extended for a bank check, which happens at most once."""
    extensions: int = 0
    """How many times the deadline was extended at the buyer's request."""
    cancel_reason: CancelReason | None = None
    """Why the order was cancelled. None if it wasn't, or if tickets or an operator ended it: see below."""
    hold_refused: bool = False
    """Whether the order was cancelled because tickets refused its hold."""
    cancelled_by_operator: bool = False
    """Whether an operator cancelled the order."""
    relisted: bool = False
    """Whether the ticket of a refunded order is on sale again."""
    refunded_minor: int = 0
    """How much of the price the buyer got back."""
    dispute: DisputeStatus | None = None
    """The state of the dispute, if the buyer disputed the payment."""
    money_back_version: int = -1
    """The version of the payment from which the last two fields are."""
    held: bool | None = None
    """Whether tickets has confirmed the hold. None for an order from before tickets confirmed holds."""
    payment_version: int | None = None
    """The version of the newest event of the payment that arrived while the order was live. None before."""
    payment_status: PaymentStatus | None = None
    """The payment's status in that event."""
    authorized_at: Moment | None = None
    """When the payment was authorized, if that event says so."""
    kept_until: Moment | None = None
    """Until when the order is kept without a payment if that is later than usual. None for the usual time,
    which is `GRACE` after the deadline."""
    ended_at: Moment | None = None
    """When the hold of a cancelled order ended. It isn't published."""
    paid_at: Moment | None = None
    """When the order became complete. None before, and for an order from before orders kept it."""
    refunded_at: Moment | None = None
    """When the order became refunded. None before, and for an order from before orders kept it."""
    delivery: DeliveryState | None = None
    """How far the delivery is. Also None for an order that was paid before orders kept it."""
    delivery_hours: float = 24
    """How many hours after the payment promised files have to arrive, as agreed at the reservation."""
    deliver_by: Moment | None = None
    """When the delivery has to be done."""
    delivered_at: Moment | None = None
    confirmed_at: Moment | None = None
    confirmed_by_buyer: bool = False
    """Whether the buyer confirmed it, as far as known, rather than time. It isn't published."""
    overdue_at: Moment | None = None
    """The deadline that passed without a delivery, if it did."""
    reminded_at: Moment | None = None
    """When the seller was to be reminded of promised files, if ever."""
    delivery_acts_at: Moment | None = None
    """When the seller is reminded, or the delivery becomes overdue or confirmed by itself. Not published."""
    delivery_acts: bool = False
    """Whether the time above is set."""
    report: ProblemReport | None = None
    """The problem that the buyer reported. An order has at most one report. Its texts aren't published."""
    report_open: bool = False
    """Whether nobody has decided on it yet. The index of the operators' queue filters by it."""
    reported_at: Moment | None = None
    """When it was reported. The same index sorts by it."""
    refund_due_minor: int = 0
    """How much of the price the buyer gets back altogether by an operator's decision."""
    photos: Sequence[PhotoEntry] = ()
    """The photos of the problem, also those that weren't sent yet. They aren't published."""
    date_changes: int = 0
    """The number of the newest known change of the ticket's date."""
    date_changed_at: Moment | None = None
    """When the order took over another date. None if it never did."""
    former_starts_at: Moment | None = None
    """The start at the time of the reservation, if it has changed since."""
    latest_starts_at: Moment | None = None
    """The latest start that the buyer was ever told, if it has changed."""


PRIVATE = frozenset({"held", "payment_version", "payment_status", "authorized_at", "kept_until"})
"""The fields of an order that aren't published. What is decided from them is guarded by them."""

PAID: Collection[PaymentStatus] = ("authorized", "captured")
"""Statuses of a payment that completes its order."""

MAX_PENDING = timedelta(seconds=60)
"""How long after its deadline an order is kept whose payment has no known outcome."""

MAX_CONFIRMATION = timedelta(days=1)
"""How long after its deadline an order that is paid for waits for tickets. Authorizations last for days."""

MAX_EXTENSIONS = 2

MAX_OPERATOR_HOLD = timedelta(hours=24)
"""Maximum time from the reservation to a deadline that an operator sets. Buyers themselves get `MAX_HOLD`.

It is time for a bank or a buyer in trouble. The seller's ticket isn't blocked for longer."""

CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Digits and letters that nobody confuses when reading them aloud or writing them down."""

CODE_LENGTH = 10
"""Enough that a code can't be guessed: there are 8 * 10^14 of them."""


def check_may_reserve(ticket: ReservableTicket, buyer: str) -> None:
    """Check that this buyer may reserve this ticket, provided that no active order has it.

    A replica with the status reserved or sold passes the check, because the replica may be outdated. Only the
    stored orders decide whether the ticket is free.

    Raises:
        OwnTicket, TicketNotForSale, TicketAwaitsFiles
    """
    if ticket.user_id == buyer:
        raise OwnTicket
    if ticket.status == "withdrawn":
        raise TicketNotForSale
    if ticket.awaits_files:
        raise TicketAwaitsFiles


def check_has_not_begun(ticket: ReservableTicket, now: datetime) -> None:
    """Check that the ticket's event hasn't begun.

    Raises:
        TicketNotForSale
    """
    if ticket.starts_at is not None and ticket.starts_at <= now:
        raise TicketNotForSale("The event has begun")


def free_slots(taken: Collection[int], allowed: int) -> list[int]:
    """The slots that a user may still take. Each live reservation occupies one.

    Raises:
        TooManyReservations: no slot is free.
    """
    free = [slot for slot in range(1, allowed + 1) if slot not in taken]
    if not free:
        raise TooManyReservations(f"You already hold {allowed} tickets. Pay for one or release one first")
    return free


def cancel(order: OrderState, by: str, now: datetime) -> Changes | None:
    """Cancel the order for its buyer. A repeated call changes nothing.

    Raises:
        NotTheBuyer, OrderComplete
    """
    if order.user_id != by:
        raise NotTheBuyer
    if order.status == "complete":
        raise OrderComplete
    return _cancelled("buyer", now) if order.status in LIVE_STATUSES else None


def cancel_by_operator(order: OrderState, now: datetime) -> Changes | None:
    """Cancel an unpaid order for an operator, like its buyer could. A repeated call changes nothing.

    If the payment is authorized already, payments releases it, as after every cancellation.

    Raises:
        OrderComplete: the buyer has paid and has to be refunded instead.
    """
    if order.status == "refunded":
        raise OrderComplete("A refunded order can't be cancelled")
    if order.status == "complete":
        raise OrderComplete("A completed order can't be cancelled. Refund it instead")
    if order.status not in LIVE_STATUSES:
        return None
    return {**move_to("cancelled"), "cancelled_by_operator": True, "ended_at": now}


def expire(order: OrderState, now: datetime) -> Changes | None:
    """Cancel the order if its time is over: `GRACE` after the deadline, or later for some states of payments.

    A timer that fires early, or for the deadline before an extension, has no effect.
    """
    ends_at = order.kept_until or order.expires_at + GRACE
    due = order.status in LIVE_STATUSES and ends_at <= now
    return _cancelled("expired", order.expires_at) if due else None


def follow_payment(order: OrderState, payment: PaymentEvent, longer: datetime) -> Changes | None:
    """Complete a live order when its price is authorized, and mark a complete order refunded after a refund.

    An order only moves forward: from created to awaiting:payment, then to complete or cancelled, and from
    complete to refunded. Repeated and old events change nothing. A cancelled order stays cancelled, and the
    payments service then voids or refunds its payment. An order whose hold isn't confirmed yet remembers that
    it is paid for, and `follow_ticket` completes it. An authorization after the deadline completes nothing,
    unless the deadline turns out to have been extended before.

    Args:
        longer: the new deadline if the buyer's bank asks for confirmation.
    """
    if order.status not in LIVE_STATUSES:
        refundable = order.status == "complete" or (order.status == "refunded" and not order.relisted)
        return _refund(order, relist=payment.relist) if payment.status == "refunded" and refundable else None
    changes: dict[str, Any] = {}
    # The first event only says that Stripe is about to be asked. Most often, the outcome follows at once.
    if payment.status == "pending" and (payment.version > 0 or payment.bank_check):
        changes |= _await_payment(order, payment, longer)
    is_newer = order.payment_version is None or payment.version > order.payment_version
    if is_newer and (payment.status not in PAID or pays(payment, order)):
        changes |= {
            "payment_version": payment.version,
            "payment_status": payment.status,
            "authorized_at": payment.authorized_at,
        }
    return _with_consequences(order, changes)


def follow_money_back(order: OrderState, payment: PaymentEvent) -> Changes | None:
    """Record what the buyer of a paid order got back, and a dispute. Old events change nothing."""
    if order.status not in ("complete", "refunded") or payment.version <= order.money_back_version:
        return None
    known = {"refunded_minor": order.refunded_minor, "dispute": order.dispute}
    refunded = order.price_minor if payment.status == "refunded" else payment.refunded_amount
    found = {"refunded_minor": refunded, "dispute": payment.dispute}
    return None if found == known else {**found, "money_back_version": payment.version}


def follow_ticket(order: OrderState, ticket: TicketEvent, order_id: str) -> Changes | None:
    """Record that tickets has confirmed the order's hold, or cancel the order because tickets refused it.

    A ticket that is held at another price or title, or that is no longer delivered as well as agreed, counts
    as refused. The first answer is final: a ticket that tickets has confirmed changes only after its order
    has ended.
    """
    if order.status not in LIVE_STATUSES or order.held is not False:
        return None
    offered, agreed = (to_minor_units(ticket.price), ticket.title), (order.price_minor, order.ticket_title)
    is_as_good = _QUALITY[ticket.delivery] >= _QUALITY[order.details.delivery]
    if ticket.order_id == order_id and offered == agreed and is_as_good:
        return _with_consequences(order, {"held": True})
    if ticket.order_id == order_id or (ticket.hold or 0) >= order.hold:
        return {**move_to("cancelled"), "hold_refused": True}
    return None


_QUALITY: Mapping[Delivery, int] = {"seller": 0, "promised": 1, "instant": 2}
"""The higher, the surer the buyer is to get the ticket."""


def _with_consequences(order: OrderState, changes: Changes) -> Changes | None:
    """The changes of a live order, and what follows from them: it is complete, or kept for some time."""
    changed = order.model_copy(update=dict(changes))
    if _is_paid_for(changed) and changed.held is not False:
        return {**changes, **move_to("complete")}
    kept_until = _kept_until(changed)
    return (changes if kept_until == order.kept_until else {**changes, "kept_until": kept_until}) or None


def _kept_until(order: OrderState) -> datetime | None:
    if _is_paid_for(order):
        return order.expires_at + MAX_CONFIRMATION
    return order.expires_at + MAX_PENDING if order.payment_status == "pending" else None


def _is_paid_for(order: OrderState) -> bool:
    """Whether the price was authorized in time. A payment without the time counts as in time: an earlier
    version of payments published it."""
    in_time = order.authorized_at is None or order.authorized_at <= order.expires_at
    return order.payment_status in PAID and in_time


def _await_payment(order: OrderState, payment: PaymentEvent, longer: datetime) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if order.status == "created":
        changes |= move_to("awaiting:payment")
    if payment.bank_check and not order.extended and longer > order.expires_at:
        changes |= {"expires_at": longer, "extended": True}
    return changes


def _refund(order: OrderState, *, relist: bool) -> Changes | None:
    """Mark the order refunded. Its ticket stays sold, unless this or a later refund request sets `relist`."""
    if order.status == "refunded" and not relist:
        return None
    return {**move_to("refunded"), "active": not relist, "relisted": relist}


def may_extend(order: OrderState, longer: datetime, window: timedelta, now: datetime) -> bool:
    """Whether the buyer may get more time: at most twice, when a third or less of the time to pay is left.

    People who need more time can get it (WCAG 2.2.1), but can't block a ticket for long.
    """
    is_late = order.expires_at - window / 3 <= now < order.expires_at
    return (
        order.status in LIVE_STATUSES
        and is_late
        and order.extensions < MAX_EXTENSIONS
        and longer > order.expires_at
    )


def extend(order: OrderState, by: str, longer: datetime, window: timedelta, now: datetime) -> Changes | None:
    """Extend the buyer's deadline to `longer`.

    Raises:
        NotTheBuyer, NoMoreTime
    """
    if order.user_id != by:
        raise NotTheBuyer
    if not may_extend(order, longer, window, now):
        raise NoMoreTime
    return _with_consequences(order, {"expires_at": longer, "extensions": order.extensions + 1})


def extend_by_operator(
    order: OrderState, until: datetime, reserved_at: datetime, now: datetime
) -> Changes | None:
    """Move the deadline to `until` for an operator. It isn't one of the buyer's own extensions.

    The deadline never becomes earlier: if the present one is as late or later, nothing changes. So a
    request that is repeated or overtaken has no effect. An order whose deadline has passed gets no more time,
    because payments may have begun to release its payment.

    Raises:
        NoMoreTime, DeadlineNotAllowed
    """
    if order.status not in LIVE_STATUSES:
        raise NoMoreTime("Only an unpaid order can get more time to pay")
    if order.expires_at <= now:
        raise NoMoreTime("The time to pay is over")
    if until <= now:
        raise DeadlineNotAllowed(field="expiresAt")
    if until <= order.expires_at:
        return None
    if until > reserved_at + MAX_OPERATOR_HOLD:
        hours = MAX_OPERATOR_HOLD // timedelta(hours=1)
        raise DeadlineNotAllowed(
            f"The new deadline must be at most {hours} hours after the reservation", field="expiresAt"
        )
    return _with_consequences(order, {"expires_at": until})


def extended_deadline(reserved_at: datetime, window: timedelta, now: datetime) -> datetime:
    """The deadline after an extension: a `window` from now, but at most MAX_HOLD after the reservation."""
    return min(now + window, reserved_at + MAX_HOLD)


def times_of(order: OrderState, changes: Changes, now: datetime) -> Changes:
    """The times that the order keeps of the status that the changes give it."""
    status = changes.get("status", order.status)
    if status == order.status:
        return {}
    kept: Mapping[OrderStatus, str] = {"complete": "paid_at", "refunded": "refunded_at"}
    return {kept[status]: now} if status in kept else {}


def pays(payment: PaymentEvent, order: OrderState) -> bool:
    """Whether the payment's amount is the order's price."""
    return payment.amount == order.price_minor


def move_to(status: OrderStatus) -> Mapping[str, Any]:
    """The changes that set a status, including the fields that the unique indexes filter by.

    `active` means that no other order can have the ticket. `live` means that the order counts as one of the
    buyer's unpaid reservations.
    """
    return {"status": status, "active": status != "cancelled", "live": status in LIVE_STATUSES}


def _cancelled(reason: CancelReason, ended_at: datetime) -> Changes:
    return {**move_to("cancelled"), "cancel_reason": reason, "ended_at": ended_at}
