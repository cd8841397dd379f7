"""When a ticket may be edited, withdrawn, held and sold."""

from datetime import datetime

from pydantic import BaseModel

from contracts.events import OrderEvent, TicketStatus
from contracts.tickets import Category
from contracts.wire import Moment
from services.kit.changes import Changes
from services.kit.errors import Conflict, Forbidden, Invalid


class TicketReserved(Conflict):
    message = "Cannot edit a reserved ticket"


class TicketSold(Conflict):
    message = "Cannot edit a sold ticket"


class TicketWithdrawn(Conflict):
    message = "Cannot edit a withdrawn ticket"


class NotTheSeller(Forbidden):
    message = "Only its seller can change a ticket"


class EventInThePast(Invalid):
    message = "The event must be in the future"


class IdempotencyKeyReused(Conflict):
    message = "Another ticket was offered with the same Idempotency-Key"


class TicketState(BaseModel):
    """A ticket, as rules see it."""

    user_id: str
    """The seller."""
    title: str
    price_minor: int
    starts_at: Moment | None = None
    venue: str | None = None
    city: str | None = None
    time_zone: str | None = None
    category: Category | None = None
    seat: str | None = None
    quantity: int = 1
    face_value_minor: int | None = None
    notes: str | None = None
    picture: str | None = None
    """The name of its picture."""
    status: TicketStatus = "available"
    withdrawn: bool = False
    """Its seller took it off sale. A hold from before that was known still wins."""
    order_id: str | None = None
    held_until: Moment | None = None
    """Of a reserved ticket: when its order's time to pay ends."""
    refunded: bool = False
    """Of a sold ticket: the buyer got the money back, and it stays sold."""
    hold: int = 0
    """The newest hold that is known of. With `order_version` it says which order events are news."""
    order_version: int = -1


def check_is_ahead(starts_at: datetime | None, now: datetime) -> None:
    """An event without a date may be at any time.

    Raises:
        EventInThePast
    """
    if starts_at is not None and starts_at <= now:
        raise EventInThePast


def check_may_edit(ticket: TicketState, by: str) -> None:
    """Whether this user may change what is said of the ticket.

    Raises:
        NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn
    """
    _check_seller_may_change(ticket, by)
    if ticket.withdrawn:
        raise TicketWithdrawn


def edit(ticket: TicketState, by: str, details: Changes, now: datetime) -> Changes | None:
    """Change what the seller says of the ticket.

    Raises:
        NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn, EventInThePast
    """
    check_may_edit(ticket, by)
    check_is_ahead(details.get("starts_at"), now)
    return details


def show(ticket: TicketState, by: str, picture: str | None) -> Changes | None:
    """Give it this picture, or none. It may have it already.

    Raises:
        NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn
    """
    check_may_edit(ticket, by)
    return None if ticket.picture == picture else {"picture": picture}


def withdraw(ticket: TicketState, by: str) -> Changes | None:
    """Take it off sale for good. Doing so twice changes nothing.

    Raises:
        NotTheSeller, TicketReserved, TicketSold
    """
    _check_seller_may_change(ticket, by)
    return None if ticket.withdrawn else {"withdrawn": True, "status": "withdrawn"}


def follow_order(ticket: TicketState, order: OrderEvent) -> Changes | None:
    """Hold, sell or free the ticket as its newest order says; what is older changes nothing.

    (hold, order version) orders everything that ever happened to the ticket's orders, so a
    cancellation that comes late can't free the ticket of a later buyer.
    """
    if (order.hold, order.version) <= (ticket.hold, ticket.order_version):
        return None
    status = _status(order, withdrawn=ticket.withdrawn)
    return {
        "hold": order.hold,
        "order_version": order.version,
        "status": status,
        "order_id": None if _lets_go(order) else order.id,
        "held_until": order.expires_at if status == "reserved" else None,
        "refunded": status == "sold" and order.status == "refunded",
    }


def _status(order: OrderEvent, *, withdrawn: bool) -> TicketStatus:
    if _lets_go(order):
        return "withdrawn" if withdrawn else "available"
    return "reserved" if order.status in ("created", "awaiting:payment") else "sold"


def _lets_go(order: OrderEvent) -> bool:
    """A refund alone doesn't bring the ticket back: whoever has it may have used it."""
    return order.status == "cancelled" or (order.status == "refunded" and order.relisted)


def _check_seller_may_change(ticket: TicketState, by: str) -> None:
    if ticket.user_id != by:
        raise NotTheSeller
    if ticket.status == "reserved":
        raise TicketReserved
    if ticket.status == "sold":
        raise TicketSold
