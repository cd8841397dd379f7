"""List, edit and withdraw tickets; apply order events to them."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from pymongo.errors import DuplicateKeyError

from contracts.api import TicketBody
from contracts.events import OrderEvent
from contracts.money import to_minor_units
from contracts.wire import now
from kit import closed_users
from kit.aggregates import change
from kit.changes import Changes
from kit.errors import AccountClosed, NotFound, Unavailable
from kit.images.results import Rendered
from kit.mongo import object_id
from services.tickets import failures, leaving, pictures, rules
from services.tickets.documents import Ticket, is_second_seat
from services.tickets.files import retention
from services.tickets.rules import ANY_PRICE, Pricing
from services.tickets.shows import finding
from services.tickets.shows import rules as shows
from services.tickets.views import PROJECTION, WITH_PRIVATE_NOTE, StoredTicket, stored

REFUSALS = (
    *(rules.EventInThePast, rules.PriceTooLow, rules.PriceAboveCap, rules.FaceValueMissing),
    *(rules.SameSeat, rules.SeatListed),
)
"""Why a listing may be refused that was accepted before."""


async def offer(
    seller: str,
    body: TicketBody,
    key: str | None = None,
    pricing: Pricing = ANY_PRICE,
    *,
    confirmed: bool = False,
) -> Ticket:
    """Put a ticket on sale. Requests with the same idempotency key and content create one ticket.

    A repeated request returns the ticket in its current state, even if its event has begun meanwhile, or the
    price cap has changed. After failed sales of the seller, nobody finds the ticket without its files.

    Raises:
        EventInThePast, PriceTooLow, PriceAboveCap, FaceValueMissing, UnknownShow, IdempotencyKeyReused,
        AccountClosed, SeatListed
        SameSeat: somebody has listed or bought the seat, and the seller hasn't confirmed that it is another.
        Unavailable: no majority has the ticket or the show of an earlier request yet.
    """
    request_hash = _hash_of(body)
    try:
        details = _details(body)
        rules.check_has_not_begun(body.starts_at, now())
        rules.check_price(details["price_minor"], pricing.minimum)
        rules.check_face_value(details, pricing)
        placed = await finding.place(details, body.performers, _cap_of(details, pricing))
        needs_files = await failures.files_required_until(seller) is not None
        ticket = Ticket(
            user_id=seller,
            idempotency_key=key,
            request_hash=request_hash if key else None,
            needs_files=needs_files,
            awaits_files=needs_files,
            announce_at=now(),
            **_with_seat(placed),
        )
        await _check_seat(ticket.seat_key, seller, confirmed=confirmed)
        await ticket.add()
    except (*REFUSALS, DuplicateKeyError) as error:
        known = await Ticket.find_one({"user_id": seller, "idempotency_key": key}) if key else None
        if known is None:
            if isinstance(error, DuplicateKeyError):
                raise (rules.SeatListed if is_second_seat(error) else Unavailable) from None
            raise
        if known.request_hash != request_hash:
            raise rules.IdempotencyKeyReused from None
        return known
    if await closed_users.is_closed(seller):
        # If this process stops here, `leaving.follow_user` does it, unless the deletion is over already.
        await leaving.take_off_sale(object_id(ticket.key))
        raise AccountClosed
    return await finding.settled(ticket, placed.show)


async def show(ticket_id: str) -> StoredTicket:
    """The ticket with this id.

    Raises:
        NotFound: there is no such ticket.
    """
    raw = await Ticket.get_pymongo_collection().find_one({"_id": object_id(ticket_id)}, WITH_PRIVATE_NOTE)
    if raw is None:
        raise NotFound
    return stored(raw)


async def edit(
    ticket_id: str, seller: str, body: TicketBody, pricing: Pricing = ANY_PRICE, *, confirmed: bool = False
) -> Ticket:
    """Replace the seller's description of the ticket.

    Raises:
        NotFound, NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn, EventInThePast, PriceTooLow,
        PriceAboveCap, FaceValueMissing, UnknownShow, FilesExceedQuantity, SeatListed
        SameSeat: as in `offer`.
    """
    details = _details(body)
    known = await _load(ticket_id)
    rules.edit(known, seller, details, now(), pricing)  # a refused edit creates no show
    if details["show_id"] is None and shows.is_unchanged(details, known):
        details["show_id"] = known.show_id
    placed = await finding.place(details, body.performers, _cap_of(details, pricing))
    changes = _with_seat(placed)
    if known.seat_key != changes["seat_key"]:
        await _check_seat(changes["seat_key"], seller, confirmed=confirmed)
    try:
        ticket = await _change(ticket_id, lambda ticket: rules.edit(ticket, seller, changes, now(), pricing))
    except DuplicateKeyError as error:
        raise (rules.SeatListed if is_second_seat(error) else Unavailable) from None
    return await finding.settled(ticket, placed.show)


async def set_private_note(ticket_id: str, seller: str, note: str | None) -> Ticket:
    """Set or remove the private note, also of a reserved or sold ticket, until it is delivered.

    No event is published.

    Raises:
        NotFound, NotTheSeller, NoteFinal, AccountClosed
    """
    ticket = await _load(ticket_id)
    rules.check_may_write_note(ticket, seller)
    if await closed_users.is_closed(seller):
        raise AccountClosed
    # The seller never changes, and a delivery never ends, so this write needs no version.
    tickets = Ticket.get_pymongo_collection()
    open_ = {"_id": ticket.id, "order_delivery": {"$nin": list(rules.DELIVERED)}}
    written = await tickets.update_one(open_, {"$set": {"private_note": note}})
    if written.matched_count == 0:
        raise rules.NoteFinal
    if note is not None and await closed_users.is_closed(seller):  # closed meanwhile, and perhaps deleted
        await tickets.update_one({"_id": ticket.id, "private_note": note}, {"$set": {"private_note": None}})
        raise AccountClosed
    return ticket.model_copy(update={"private_note": note})


async def withdraw(ticket_id: str, seller: str) -> None:
    """Take the ticket off sale. A repeated call changes nothing.

    Raises:
        NotFound, NotTheSeller, TicketReserved, TicketSold
    """
    await retention.delete_files_of(await _change(ticket_id, lambda ticket: rules.withdraw(ticket, seller)))


async def withdraw_by_operator(ticket_id: str) -> Ticket:
    """Take any ticket off sale. A repeated call changes nothing.

    Raises:
        NotFound, TicketReserved, TicketSold
    """
    ticket = await _change(ticket_id, rules.withdraw_by_operator)
    await retention.delete_files_of(ticket)
    return ticket


async def remove(ticket_id: str, reason: str) -> Ticket:
    """Take a reported ticket off sale, or as soon as no order holds it. A repeated call changes nothing.

    Args:
        reason: what the seller reads.

    Raises:
        NotFound, TicketSold
    """
    ticket = await _change(ticket_id, lambda ticket: rules.remove(ticket, reason))
    await retention.delete_files_of(ticket)
    return ticket


async def check_may_edit(ticket_id: str, seller: str) -> None:
    """Check that this user may edit the ticket.

    Raises:
        NotFound, NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn
    """
    rules.check_may_edit(await _load(ticket_id), seller)


async def set_picture(ticket_id: str, seller: str, picture: Rendered) -> Ticket:
    """Set the ticket's picture.

    Raises:
        NotFound, NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn
    """
    await pictures.store(picture)
    return await _change_picture(ticket_id, seller, picture.name)


async def remove_picture(ticket_id: str, seller: str) -> Ticket:
    """Remove the ticket's picture. A repeated call changes nothing.

    Raises:
        NotFound, NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn
    """
    return await _change_picture(ticket_id, seller, None)


async def follow_order(order: OrderEvent) -> None:
    """Apply an order's state to its ticket. Repeated and old events change nothing.

    Raises:
        NotFound: there is no such ticket. A retry can't help, because this service stores a ticket before
            the orders service can learn of it.
    """
    ticket = await _change(order.ticket.id, lambda ticket: rules.follow_order(ticket, order))
    # If this process stops here, the event is delivered again.
    await failures.record(order, ticket.user_id)


async def _change_picture(ticket_id: str, seller: str, picture: str | None) -> Ticket:
    ticket = await _load(ticket_id)
    rules.check_may_edit(ticket, seller)
    former = ticket.picture
    if former is not None and former != picture:
        await pictures.mark_unreferenced(former)
    return await _change(ticket_id, lambda ticket: rules.set_picture(ticket, seller, picture))


async def _load(ticket_id: str) -> Ticket:
    ticket = await Ticket.find_one({"_id": object_id(ticket_id)})
    if ticket is None:
        raise NotFound
    return ticket


async def _change(ticket_id: str, decide: Callable[[Ticket], Changes | None]) -> Ticket:
    key = object_id(ticket_id)
    return await change(lambda: Ticket.find_one({"_id": key}), decide)


def _hash_of(body: TicketBody) -> str:
    # A body without fields that were added later has the hash that earlier versions stored.
    unset = {name for name in _ADDED if getattr(body, name) in (None, False)}
    return sha256(body.model_dump_json(by_alias=True, exclude=unset).encode()).hexdigest()


def _with_seat(placed: finding.Placed) -> dict[str, Any]:
    """The fields of a listing, with the key of its seat at the event."""
    details = placed.details
    title = details["title"] if placed.show is None else placed.show.title
    seat_key = rules.seat_key(title, details["venue"], details["starts_at"], details["seat"])
    return {**details, "seat_key": seat_key, "live_seat": seat_key}


async def _check_seat(seat_key: str | None, seller: str, *, confirmed: bool) -> None:
    if seat_key is None:
        return
    found = await Ticket.get_pymongo_collection().find({"seat_key": seat_key}, PROJECTION).to_list()
    listings = [stored(raw) for raw in found]
    if rules.is_listed_by(listings, seller):
        raise rules.SeatListed
    if not confirmed and rules.questioned_seat(listings, seller) is not None:
        raise rules.SameSeat


def _cap_of(details: Changes, pricing: Pricing) -> finding.Check:
    """Refuses the price of this listing if one of the countries doesn't allow it."""

    def check(*countries: str | None) -> None:
        country = None if pricing.caps is None else pricing.caps.strictest(countries)
        rules.check_price_cap(details, country, pricing)

    return check


_ADDED = ("private_note", "country", "show_id", "performers", "promised")


def _details(body: TicketBody) -> dict[str, Any]:
    """The fields of a `Ticket` that follow from its description, with amounts in minor units."""
    return {
        **body.model_dump(exclude={"price", "face_value", "performers"}),
        "price_minor": to_minor_units(body.price),
        "face_value_minor": None if body.face_value is None else to_minor_units(body.face_value),
    }
