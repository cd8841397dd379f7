"""Rules of tickets: editing, withdrawing, holding and selling."""

from datetime import datetime

from contracts import money
from contracts.events import LIVE_STATUSES, DisputeStatus, OrderEvent, TicketStatus
from contracts.money import MinimumCharge
from contracts.tickets import TicketDetails
from contracts.wire import Moment
from kit.changes import Changes
from kit.errors import Conflict, Forbidden, Invalid


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


class PriceTooLow(Invalid):
    """Stripe doesn't charge so little."""

    message = "The price is too low"


class IdempotencyKeyReused(Conflict):
    message = "Another ticket was listed with the same Idempotency-Key"


class TicketState(TicketDetails):
    """The fields of a ticket that rules need."""

    user_id: str
    """The seller's id."""
    title: str
    price_minor: int
    """The price that the seller asks, or the price of the order that holds or bought the ticket."""
    asked_minor: int | None = None
    """The price that the seller asks, while an order holds or has bought the ticket.

    It differs from the order's price only if an earlier version of tickets accepted the hold of an order with
    an outdated price.
    """
    face_value_minor: int | None = None
    notes: str | None = None
    picture: str | None = None
    """The name of the picture."""
    status: TicketStatus = "available"
    withdrawn: bool = False
    """Whether the seller withdrew the ticket.

    Its next hold is refused. It can be sold nevertheless, by a process of an earlier version of orders that
    completes an order whose hold wasn't confirmed.
    """
    order_id: str | None = None
    """The order that holds or bought the ticket. Only its buyer and the seller see it."""
    order_code: str | None = None
    """The number of that order. Only its buyer and the seller see it."""
    buyer_id: str | None = None
    """The buyer of that order. Nobody sees it."""
    held_until: Moment | None = None
    """The end of the time to pay, if the ticket is reserved."""
    refunded: bool = False
    """Whether the buyer of a sold ticket was refunded. The ticket stays sold."""
    refunded_minor: int = 0
    """How much of the price the buyer of a sold ticket got back. Only the seller sees it."""
    dispute: DisputeStatus | None = None
    """The state of the dispute, if the buyer disputed the payment. Only the seller sees it."""
    hold: int = 0
    """The hold number of the newest known order."""
    order_version: int = -1
    """The newest known version of that order. An event with a lower pair (hold, version) is ignored."""


def check_has_not_begun(starts_at: datetime | None, now: datetime) -> None:
    """Check that the event, if it has a date, hasn't begun.

    Raises:
        EventInThePast
    """
    if starts_at is not None and starts_at <= now:
        raise EventInThePast


def check_price(price_minor: int, minimum: MinimumCharge | None) -> None:
    """Check that the price can be charged.

    Raises:
        PriceTooLow
    """
    if minimum is not None and price_minor < minimum.amount:
        raise PriceTooLow(f"Price must be at least {minimum.text}", field="price")


def may_read_private_note(ticket: TicketState, by: str | None) -> bool:
    """Whether this user may read the seller's private note: the seller, and the buyer who paid."""
    if by is None:
        return False
    owns_ticket = ticket.status == "sold" and not ticket.refunded and ticket.buyer_id == by
    return ticket.user_id == by or owns_ticket


def check_is_seller(ticket: TicketState, by: str) -> None:
    """Check that this user listed the ticket.

    Raises:
        NotTheSeller
    """
    if ticket.user_id != by:
        raise NotTheSeller


def check_may_edit(ticket: TicketState, by: str) -> None:
    """Check that this user may edit the ticket.

    Raises:
        NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn
    """
    _check_seller_may_change(ticket, by)
    if ticket.withdrawn:
        raise TicketWithdrawn


def edit(
    ticket: TicketState, by: str, details: Changes, now: datetime, minimum: MinimumCharge | None = None
) -> Changes | None:
    """Change the seller's description of the ticket.

    Raises:
        NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn, EventInThePast, PriceTooLow
    """
    check_may_edit(ticket, by)
    check_has_not_begun(details.get("starts_at"), now)
    check_price(details.get("price_minor", ticket.price_minor), minimum)
    return details


def set_picture(ticket: TicketState, by: str, picture: str | None) -> Changes | None:
    """Set or remove the picture. Setting the same picture changes nothing.

    Raises:
        NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn
    """
    check_may_edit(ticket, by)
    return None if ticket.picture == picture else {"picture": picture}


def withdraw(ticket: TicketState, by: str) -> Changes | None:
    """Take the ticket off sale for good. A repeated call changes nothing.

    Raises:
        NotTheSeller, TicketReserved, TicketSold
    """
    _check_seller_may_change(ticket, by)
    return _withdrawn(ticket)


def withdraw_by_operator(ticket: TicketState) -> Changes | None:
    """Take any ticket off sale for good, like its seller could. A repeated call changes nothing.

    Raises:
        TicketReserved, TicketSold
    """
    if ticket.status == "reserved":
        raise TicketReserved(f"Order {ticket.order_id} holds the ticket. Cancel the order first")
    if ticket.status == "sold":
        raise TicketSold(f"The ticket is sold to order {ticket.order_id}, and can't be withdrawn")
    return _withdrawn(ticket)


def leave(ticket: TicketState) -> Changes | None:
    """Forget the notes of a seller who leaves, and take the ticket off sale for good, unless somebody has it.

    Title and price stay, because the orders of buyers refer to them. If the buyer of a sold ticket is
    refunded later, the ticket doesn't return on sale.
    """
    changes: Changes = {"withdrawn": True, "notes": None}
    if ticket.status == "available":
        changes = {**changes, "status": "withdrawn"}
    is_done = all(getattr(ticket, name) == value for name, value in changes.items())
    return None if is_done else changes


def follow_order(ticket: TicketState, order: OrderEvent) -> Changes | None:
    """Hold, sell or free the ticket, depending on its newest order. Older events change nothing.

    The pair (hold, order version) orders all events of all orders of the ticket, so that a late cancellation
    can't free the ticket of a later buyer.

    A new hold is refused if the seller has changed the price or the title since the orders service made the
    order, or has withdrawn the ticket. The ticket then has the hold number, but not the order. A refusal is
    final: later events of the order don't hold the ticket, even if the seller has restored it. A complete
    order always has the ticket, because its buyer is charged.
    """
    if (order.hold, order.version) <= (ticket.hold, ticket.order_version):
        return None
    asked = ticket.price_minor if ticket.asked_minor is None else ticket.asked_minor
    is_free = _frees_ticket(order)
    if order.status in LIVE_STATUSES:
        if order.hold > ticket.hold:
            is_free = not _may_hold(ticket, order, asked)
        elif ticket.order_id != order.id:
            return None
    status = _status(order, is_free=is_free, withdrawn=ticket.withdrawn)
    return {
        "hold": order.hold,
        "order_version": order.version,
        "status": status,
        # A sale is of the amount that the buyer pays, whatever the seller asks meanwhile.
        "price_minor": asked if is_free else money.to_minor_units(order.ticket.price),
        "asked_minor": None if is_free else asked,
        "order_id": None if is_free else order.id,
        "order_code": None if is_free else order.code,
        "buyer_id": None if is_free else order.user_id,
        "held_until": order.expires_at if status == "reserved" else None,
        "refunded": status == "sold" and order.status == "refunded",
        "refunded_minor": _refunded(order) if status == "sold" else 0,
        "dispute": order.dispute if status == "sold" else None,
    }


def changes_at(ticket: TicketState, now: datetime) -> datetime | None:
    """When what is said about the ticket changes because time passes: its event begins, or its hold ends."""
    ahead = [
        moment for moment in (ticket.starts_at, ticket.held_until) if moment is not None and moment > now
    ]
    return min(ahead, default=None)


def _may_hold(ticket: TicketState, order: OrderEvent, asked: int) -> bool:
    """Whether the seller still offers what the buyer agreed to."""
    offered, agreed = (asked, ticket.title), (money.to_minor_units(order.ticket.price), order.ticket.title)
    return not ticket.withdrawn and offered == agreed


def _status(order: OrderEvent, *, is_free: bool, withdrawn: bool) -> TicketStatus:
    if is_free:
        return "withdrawn" if withdrawn else "available"
    return "reserved" if order.status in LIVE_STATUSES else "sold"


def _refunded(order: OrderEvent) -> int:
    """How much the buyer got back, in minor units."""
    return money.to_minor_units(order.ticket.price) if order.status == "refunded" else order.refunded_amount


def _frees_ticket(order: OrderEvent) -> bool:
    """Whether the order no longer holds its ticket.

    A refund without a relisting doesn't free the ticket, because the buyer may have used it.
    """
    return order.status == "cancelled" or (order.status == "refunded" and order.relisted)


def _withdrawn(ticket: TicketState) -> Changes | None:
    return None if ticket.withdrawn else {"withdrawn": True, "status": "withdrawn"}


def _check_seller_may_change(ticket: TicketState, by: str) -> None:
    check_is_seller(ticket, by)
    if ticket.status == "reserved":
        raise TicketReserved
    if ticket.status == "sold":
        raise TicketSold
