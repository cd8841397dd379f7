"""Offer, edit, withdraw; hold, sell and free as orders decide."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from pymongo.errors import DuplicateKeyError

from contracts.api import TicketBody
from contracts.events import OrderEvent
from contracts.money import to_minor_units
from contracts.wire import now
from services.kit.aggregates import change
from services.kit.changes import Changes
from services.kit.errors import NotFound
from services.kit.mongo import object_id
from services.tickets import pictures, rules
from services.tickets.documents import Ticket
from services.tickets.images import rendered


async def offer(seller: str, body: TicketBody, key: str | None = None) -> Ticket:
    """Put a ticket on sale: once, however often the same is offered with the same key.

    A repeat gives the ticket as it is now, also if it couldn't be offered any more.

    Raises:
        EventInThePast, IdempotencyKeyReused
    """
    said = _hash_of(body)
    try:
        rules.check_is_ahead(body.starts_at, now())
        ticket = Ticket(user_id=seller, offer=key, offered_as=said if key else None, **_details(body))
        await ticket.add()
    except (rules.EventInThePast, DuplicateKeyError):
        known = await Ticket.find_one({"user_id": seller, "offer": key}) if key else None
        if known is None:
            raise
        if known.offered_as != said:
            raise rules.IdempotencyKeyReused from None
        return known
    return ticket


async def show(ticket_id: str) -> Ticket:
    """The ticket.

    Raises:
        NotFound: there is none.
    """
    ticket = await Ticket.find_one({"_id": object_id(ticket_id)})
    if ticket is None:
        raise NotFound
    return ticket


async def edit(ticket_id: str, seller: str, body: TicketBody) -> Ticket:
    """Replace what the seller says of the ticket.

    Raises:
        NotFound, NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn, EventInThePast
    """
    return await _change(ticket_id, lambda ticket: rules.edit(ticket, seller, _details(body), now()))


async def withdraw(ticket_id: str, seller: str) -> None:
    """Take the ticket off sale. Repeating it changes nothing.

    Raises:
        NotFound, NotTheSeller, TicketReserved, TicketSold
    """
    await _change(ticket_id, lambda ticket: rules.withdraw(ticket, seller))


async def check_may_edit(ticket_id: str, seller: str) -> None:
    """Whether this user may change what is said of the ticket.

    Raises:
        NotFound, NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn
    """
    rules.check_may_edit(await show(ticket_id), seller)


async def give_picture(ticket_id: str, seller: str, upload: bytes) -> Ticket:
    """Show the ticket with this picture.

    Raises:
        NotFound, NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn
        NotAPicture, UnreadablePicture, PictureTooLarge, PictureTooSmall
    """
    picture = await rendered(upload)
    await pictures.keep(picture)
    return await _show_with(ticket_id, seller, picture.name)


async def take_picture(ticket_id: str, seller: str) -> Ticket:
    """Show the ticket without a picture. Repeating it changes nothing.

    Raises:
        NotFound, NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn
    """
    return await _show_with(ticket_id, seller, None)


async def follow_order(order: OrderEvent) -> None:
    """Hold, sell or free the ticket of an order. Repeats and old news change nothing.

    Raises:
        NotFound: the ticket isn't known, which a retry can't mend: orders learn of tickets from here.
    """
    await _change(order.ticket.id, lambda ticket: rules.follow_order(ticket, order))


async def _show_with(ticket_id: str, seller: str, picture: str | None) -> Ticket:
    ticket = await show(ticket_id)
    rules.check_may_edit(ticket, seller)
    former = ticket.picture
    if former is not None and former != picture:
        await pictures.loosen(former)
    return await _change(ticket_id, lambda ticket: rules.show(ticket, seller, picture))


async def _change(ticket_id: str, decide: Callable[[Ticket], Changes | None]) -> Ticket:
    key = object_id(ticket_id)
    return await change(lambda: Ticket.find_one({"_id": key}), decide)


def _hash_of(body: TicketBody) -> str:
    # What a newer version of this service may ask besides, and isn't told, changes nothing.
    return sha256(body.model_dump_json(exclude_defaults=True).encode()).hexdigest()


def _details(body: TicketBody) -> dict[str, Any]:
    return {
        "title": body.title,
        "price_minor": to_minor_units(body.price),
        "starts_at": body.starts_at,
        "venue": body.venue,
        "city": body.city,
        "time_zone": body.time_zone,
        "category": body.category,
        "seat": body.seat,
        "quantity": body.quantity,
        "face_value_minor": None if body.face_value is None else to_minor_units(body.face_value),
        "notes": body.notes,
    }
