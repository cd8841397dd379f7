"""Rules of tickets: editing, withdrawing, holding and selling."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

from typing_extensions import TypeAliasType

from contracts import money
from contracts.events import LIVE_STATUSES, DeliveryState, DisputeStatus, OrderEvent, TicketStatus
from contracts.money import MinimumCharge
from contracts.price_caps import PriceCaps
from contracts.tickets import Delivery, TicketDetails
from contracts.wire import Moment
from kit.changes import Changes
from kit.errors import Conflict, Forbidden, Invalid
from services.tickets.files.entries import FileEntry, seats_of
from services.tickets.folding import slug
from services.tickets.texts import amount, country_name, percentage


class TicketReserved(Conflict):
    message = "Cannot edit a reserved ticket"


class TicketSold(Conflict):
    message = "Cannot edit a sold ticket"


class TicketWithdrawn(Conflict):
    message = "Cannot edit a withdrawn ticket"


LetDown = TypeAliasType("LetDown", Literal["problem", "delivery"])


class NotTheSeller(Forbidden):
    message = "Only its seller can change a ticket"


class EventInThePast(Invalid):
    message = "The event must be in the future"


class PriceTooLow(Invalid):
    """Stripe doesn't charge so little."""

    message = "The price is too low"


class FilesExceedQuantity(Conflict):
    message = "The uploaded files are for more tickets. Remove files first"


class SameSeat(Conflict):
    message = (
        "This seat is listed or was sold here already. Check the seat, and confirm that it is another one"
    )


class SeatListed(Conflict):
    message = "You have listed this seat already. Edit or withdraw that listing first"


class NoteFinal(Conflict):
    message = "The ticket is delivered, so its private note can't change any more"


class PriceAboveCap(Invalid):
    """The price exceeds the face value by more than is allowed in the event's country."""

    message = "The price is too far above the face value"


class FaceValueMissing(Invalid):
    """The marketplace requires a face value."""

    message = "Face value is required: the price that was paid for the tickets when they were first sold"


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
    """Whether the seller withdrew the ticket, or left, or operators removed the listing.

    Its next hold is refused, and an order that ends doesn't put it back on sale. It can be sold nevertheless:
    by the order that holds it, or by a process of an earlier version of orders that completes an order whose
    hold wasn't confirmed.
    """
    removal_reason: str | None = None
    """Why operators have removed the listing, if they have. Only the seller sees it."""
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
    order_delivery: DeliveryState | None = None
    """How far the delivery of the sold ticket is. None if the ticket isn't sold."""
    upload_by: Moment | None = None
    """Until when the promised files of the sold ticket can be uploaded. None if there is no such deadline."""
    promised: bool = False
    """Whether the seller promised to upload the files."""
    files_ready_at: Moment | None = None
    """When the files of all seats were complete. None while a file is missing."""
    needs_files: bool = False
    """Whether it can be bought only with sealed files, because sales of its seller have failed."""
    awaits_files: bool = False
    """Whether it needs files that aren't complete."""

    date_changes: int = 0
    """How often a correction or a merge of the event has changed the date."""

    files: Sequence[FileEntry] = ()
    """The sealed files. Only the seller and the buyer know of them."""

    @property
    def delivery(self) -> Delivery:
        """How the buyer gets the ticket."""
        if self.files_ready_at is not None:
            return "instant"
        return "promised" if self.promised else "seller"


_DELIVERIES: Sequence[Delivery] = ("instant", "promised", "seller")
"""The best for the buyer first."""

_NUMBER = re.compile("[0-9]")


def seat_key(title: str, venue: str | None, starts_at: datetime | None, seat: str | None) -> str | None:
    """Equal for the same seat at the same event. None unless the listing names both: areas have no number."""
    if venue is None or starts_at is None or seat is None or _NUMBER.search(seat) is None:
        return None
    named = "/".join((slug(title), slug(venue), slug(seat)))
    return sha256(f"{named}/{starts_at.isoformat()}".encode()).hexdigest()


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


@dataclass(frozen=True)
class Pricing:
    """What the marketplace demands of the price of a listing."""

    currency: str = "usd"
    minimum: MinimumCharge | None = None
    caps: PriceCaps | None = None
    """None if prices aren't compared with face values."""
    requires_face_value: bool = False


ANY_PRICE = Pricing()


def check_face_value(details: Mapping[str, Any], pricing: Pricing) -> None:
    """Check that a listing states its face value, if the marketplace requires that.

    Raises:
        FaceValueMissing
    """
    if pricing.requires_face_value and details.get("face_value_minor") is None:
        raise FaceValueMissing(field="faceValue")


def check_price_cap(details: Mapping[str, Any], country: str | None, pricing: Pricing) -> None:
    """Check that the price doesn't exceed the face value by more than is allowed in the event's country.

    Both are for all tickets of the listing together. Without a face value, there is nothing to compare.

    Raises:
        PriceAboveCap
    """
    face_value = details.get("face_value_minor")
    if pricing.caps is None or face_value is None:
        return
    cap = pricing.caps.of(country)
    highest = cap.highest(face_value)
    if details["price_minor"] > highest:
        where = "for events without a known country"
        if country is not None:
            where = f"in the event's country, {country_name(country)},"
        raise PriceAboveCap(
            f"Price must be at most {amount(highest, pricing.currency)}: "
            f"the limit {where} is {percentage(cap.percent)} above the face value",
            field="price",
        )


def may_read_private_note(ticket: TicketState, by: str | None) -> bool:
    """Whether this user may read the seller's private note: the seller, and the buyer who paid."""
    if by is None:
        return False
    owns_ticket = ticket.status == "sold" and not ticket.refunded and ticket.buyer_id == by
    return ticket.user_id == by or owns_ticket


DELIVERED: Sequence[DeliveryState] = ("delivered", "confirmed", "failed")
"""After these, the seller can't change any more what the buyer gets."""


def check_may_write_note(ticket: TicketState, by: str) -> None:
    """Check that this user may change the private note: the seller, until the ticket is delivered.

    Raises:
        NotTheSeller, NoteFinal
    """
    check_is_seller(ticket, by)
    if ticket.status == "sold" and ticket.order_delivery in DELIVERED:
        raise NoteFinal


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
    ticket: TicketState, by: str, details: Changes, now: datetime, pricing: Pricing = ANY_PRICE
) -> Changes | None:
    """Change the seller's description of the ticket. `check_price_cap` needs the event's country besides.

    Raises:
        NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn, EventInThePast, PriceTooLow,
        FaceValueMissing, FilesExceedQuantity
    """
    check_may_edit(ticket, by)
    check_has_not_begun(details.get("starts_at"), now)
    check_price(details.get("price_minor", ticket.price_minor), pricing.minimum)
    check_face_value(details, pricing)
    if not ticket.files:
        return details
    quantity = details.get("quantity", ticket.quantity)
    if seats_of(ticket.files) > quantity:
        raise FilesExceedQuantity
    return {**details, "files_ready_at": files_ready(ticket, ticket.files, quantity, now)}


def files_ready(
    ticket: TicketState, files: Sequence[FileEntry], quantity: int, now: datetime
) -> datetime | None:
    """When the files were complete, if these are: there is one for each seat."""
    if seats_of(files) != quantity:
        return None
    return ticket.files_ready_at or now


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


def remove(ticket: TicketState, reason: str) -> Changes | None:
    """Take a reported ticket off sale for good. A repeated call changes nothing.

    An order that holds the ticket keeps it until it ends. Then `follow_order` withdraws the ticket in the
    write that frees it, so nobody can reserve it again.

    Args:
        reason: what the seller reads.

    Raises:
        TicketSold
    """
    if ticket.status == "sold":
        raise TicketSold(f"The ticket is sold to order {ticket.order_id}, and can't be removed")
    if ticket.withdrawn:
        return None
    changes: Changes = {"withdrawn": True, "removal_reason": reason}
    return {**changes, "status": "withdrawn"} if ticket.status == "available" else changes


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
    # Another hold begins only after the sale has ended, even if the event about its end is still to come.
    is_sale_over = ticket.status == "sold" and (is_free or order.hold > ticket.hold)
    files = _without_files(ticket) if is_sale_over else {}
    if order.status in LIVE_STATUSES:
        if order.hold > ticket.hold:
            is_free = not _may_hold(ticket.model_copy(update=dict(files)), order, asked)
        elif ticket.order_id != order.id:
            return None
    status = _status(order, is_free=is_free, withdrawn=ticket.withdrawn)
    return {
        **files,
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
        "order_delivery": order.delivery if status == "sold" else None,
        "upload_by": order.deliver_by if status == "sold" and order.ticket.delivery != "seller" else None,
    }


def is_listed_by(known: Sequence[TicketState], seller: str) -> bool:
    """Whether one of these listings of a seat is a live one of this seller.

    An index guarantees that for concurrent requests, but not for a ticket that was sold and is on sale again.
    """
    return any(ticket.user_id == seller and ticket.status in ("available", "reserved") for ticket in known)


def questioned_seat(known: Sequence[TicketState], by: str) -> TicketState | None:
    """A listing of the same seat that makes a new one questionable: somebody else may have the seat.

    Args:
        known: the other listings of the seat.
        by: who wants to list it.
    """
    return next((ticket for ticket in known if _is_questionable(ticket, by)), None)


def _is_questionable(ticket: TicketState, by: str) -> bool:
    if ticket.status == "sold":
        owner = ticket.user_id if ticket.refunded else ticket.buyer_id
        return owner != by
    # A second live listing of the same seller is refused.
    return ticket.status != "withdrawn" and ticket.user_id != by


def changes_at(ticket: TicketState, now: datetime) -> datetime | None:
    """When what is said about the ticket changes because time passes: its event begins, or its hold ends."""
    ahead = [
        moment for moment in (ticket.starts_at, ticket.held_until) if moment is not None and moment > now
    ]
    return min(ahead, default=None)


def _without_files(ticket: TicketState) -> Changes:
    """The files don't count any more, because the former buyer could read them."""
    if not ticket.files:
        return {}
    return {
        "files": [file.model_copy(update={"is_void": True}) for file in ticket.files],
        "files_ready_at": None,
    }


def _may_hold(ticket: TicketState, order: OrderEvent, asked: int) -> bool:
    """Whether the seller still offers what the buyer agreed to."""
    offered, agreed = (asked, ticket.title), (money.to_minor_units(order.ticket.price), order.ticket.title)
    keeps_delivery = _DELIVERIES.index(ticket.delivery) <= _DELIVERIES.index(order.ticket.delivery)
    lacks_files = ticket.needs_files and ticket.files_ready_at is None
    return not ticket.withdrawn and not lacks_files and offered == agreed and keeps_delivery


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
