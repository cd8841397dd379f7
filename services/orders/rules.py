"""When a ticket may be reserved, and when an order completes or ends."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from contracts.api import LONGEST_HOLD
from contracts.events import CancelReason, OrderStatus, PaymentEvent, TicketStatus
from contracts.wire import Moment
from services.kit.changes import Changes
from services.kit.errors import Conflict, Forbidden, TooManyRequests


class TicketReserved(Conflict):
    message = "Ticket is already reserved"


class TicketNotForSale(Conflict):
    message = "Ticket is no longer for sale"


class OwnTicket(Forbidden):
    message = "You can't buy your own ticket"


class TooManyReservations(TooManyRequests):
    pass


class OrderComplete(Conflict):
    message = "A completed order can't be cancelled"


class NoMoreTime(Conflict):
    message = "There is no more time to be had for this order"


class NotTheBuyer(Forbidden):
    message = "That order isn't yours"


class Details(BaseModel):
    """What a ticket is for. Of tickets and orders from before it was known here, nothing is."""

    starts_at: Moment | None = None
    venue: str | None = None
    city: str | None = None
    time_zone: str | None = None
    category: str | None = None
    seat: str | None = None
    quantity: int = 1
    picture: str | None = None


class OfferedTicket(Details):
    """What orders knows of a ticket."""

    version: int
    title: str
    price_minor: int
    user_id: str
    """The seller."""
    status: TicketStatus


class OrderState(BaseModel):
    """An order, as rules see it."""

    user_id: str
    """The buyer."""
    ticket_id: str
    ticket_version: int
    ticket_title: str
    price_minor: int
    details: Details = Details()
    """Of the ticket, as it was when it was reserved."""
    hold: int
    status: OrderStatus = "created"
    expires_at: Moment
    extended: bool = False
    """It got more time once, since the buyer's bank asked for a check."""
    extensions: int = 0
    """How often the buyer asked for more time, and got it."""
    cancel_reason: CancelReason | None = None
    relisted: bool = False
    """Of a refunded order: its ticket is on sale again."""


MOST_EXTENSIONS = 2


def check_may_reserve(ticket: OfferedTicket, buyer: str) -> None:
    """Whether this buyer may have this ticket, if nobody else has it.

    A sold or reserved copy isn't asked: who holds a ticket is known here and nowhere else.

    Raises:
        OwnTicket, TicketNotForSale
    """
    if ticket.user_id == buyer:
        raise OwnTicket
    if ticket.status == "withdrawn":
        raise TicketNotForSale


def check_is_ahead(ticket: OfferedTicket, now: datetime) -> None:
    """An event that has begun can't be gone to.

    Raises:
        TicketNotForSale
    """
    if ticket.starts_at is not None and ticket.starts_at <= now:
        raise TicketNotForSale("The event has begun")


def free_slots(taken: Collection[int], allowed: int) -> list[int]:
    """The numbers of the reservations that a user may still make: each live one has a number of its own.

    Raises:
        TooManyReservations: there is none left.
    """
    free = [slot for slot in range(1, allowed + 1) if slot not in taken]
    if not free:
        raise TooManyReservations(f"You already hold {allowed} tickets. Pay for one or let one go first")
    return free


def cancel(order: OrderState, by: str) -> Changes | None:
    """The buyer lets go of the ticket. Doing so twice changes nothing.

    Raises:
        NotTheBuyer, OrderComplete
    """
    if order.user_id != by:
        raise NotTheBuyer
    if order.status == "complete":
        raise OrderComplete
    return _cancelled("buyer") if is_live(order.status) else None


def expire(order: OrderState, deadline: datetime) -> Changes | None:
    """The time to pay, which ended at `deadline`, is over. A later deadline of the order stands."""
    due = is_live(order.status) and order.expires_at <= deadline
    return _cancelled("expired") if due else None


def follow_payment(order: OrderState, payment: PaymentEvent, longer: datetime) -> Changes | None:
    """Complete a live order once its price is authorized; note that a complete one was refunded.

    An order only ever moves on, from created over awaiting:payment to complete or cancelled, and from
    complete to refunded, so repeats and old news change nothing. A cancelled order stays cancelled:
    payments learns so from it and gives the money back.

    Args:
        longer: the deadline that a buyer gets whose bank asks for a check.
    """
    match payment.status:
        case "authorized" | "captured" if is_live(order.status) and pays(payment, order):
            return move_to("complete")
        case "pending" if is_live(order.status):
            return _await_payment(order, payment, longer)
        case "refunded" if order.status == "complete" or (order.status == "refunded" and not order.relisted):
            return _refund(order, relist=payment.relist)
        case _:
            return None


def _await_payment(order: OrderState, payment: PaymentEvent, longer: datetime) -> Changes | None:
    changes: dict[str, Any] = {}
    if order.status == "created":
        changes |= move_to("awaiting:payment")
    if payment.bank_check and not order.extended and longer > order.expires_at:
        changes |= {"expires_at": longer, "extended": True}
    return changes or None


def _refund(order: OrderState, *, relist: bool) -> Changes | None:
    """The ticket stays sold, unless it is to go on sale again, which may also be asked for later."""
    if order.status == "refunded" and not relist:
        return None
    return {**move_to("refunded"), "active": not relist, "relisted": relist}


def may_extend(order: OrderState, longer: datetime, window: timedelta, now: datetime) -> bool:
    """Whether the buyer may have more time: twice at most, when a third of the time to pay is left or less.

    People who need longer get it (WCAG 2.2.1), and nobody keeps a ticket from others for nothing.
    """
    is_late = order.expires_at - window / 3 <= now < order.expires_at
    return (
        is_live(order.status) and is_late and order.extensions < MOST_EXTENSIONS and longer > order.expires_at
    )


def extend(order: OrderState, by: str, longer: datetime, window: timedelta, now: datetime) -> Changes | None:
    """Give the buyer until `longer`.

    Raises:
        NotTheBuyer, NoMoreTime
    """
    if order.user_id != by:
        raise NotTheBuyer
    if not may_extend(order, longer, window, now):
        raise NoMoreTime
    return {"expires_at": longer, "extensions": order.extensions + 1}


def extended_deadline(reserved_at: datetime, window: timedelta, now: datetime) -> datetime:
    """The time to pay once more, from now on, but no longer than LONGEST_HOLD in all."""
    return min(now + window, reserved_at + LONGEST_HOLD)


def pays(payment: PaymentEvent, order: OrderState) -> bool:
    """Whether the payment is of the order's price."""
    return payment.amount == order.price_minor


def is_live(status: OrderStatus) -> bool:
    """Whether the ticket is held but not yet paid for."""
    return status in ("created", "awaiting:payment")


def move_to(status: OrderStatus) -> Mapping[str, Any]:
    """A status, with what the unique indexes read of it.

    `active`: nobody else can have the ticket. `live`: counts among the buyer's reservations.
    """
    return {"status": status, "active": status != "cancelled", "live": is_live(status)}


def _cancelled(reason: CancelReason) -> Changes:
    return {**move_to("cancelled"), "cancel_reason": reason}
