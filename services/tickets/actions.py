"""List, edit and withdraw tickets; apply order events to them."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from pymongo.errors import DuplicateKeyError

from contracts.api import TicketBody
from contracts.events import OrderEvent
from contracts.money import MinimumCharge, to_minor_units
from contracts.wire import now
from kit import closed_users
from kit.aggregates import change
from kit.changes import Changes
from kit.errors import AccountClosed, NotFound, Unavailable
from kit.mongo import object_id
from services.tickets import leaving, pictures, rules
from services.tickets.documents import Ticket
from services.tickets.images.results import Rendered
from services.tickets.views import WITH_PRIVATE_NOTE, StoredTicket, stored


async def offer(
    seller: str, body: TicketBody, key: str | None = None, minimum: MinimumCharge | None = None
) -> Ticket:
    """Put a ticket on sale. Requests with the same idempotency key and content create one ticket.

    A repeated request returns the ticket in its current state, even if its event has begun meanwhile.

    Raises:
        EventInThePast, PriceTooLow, IdempotencyKeyReused, AccountClosed
        Unavailable: no majority has the ticket of an earlier request yet.
    """
    request_hash = _hash_of(body)
    try:
        rules.check_has_not_begun(body.starts_at, now())
        rules.check_price(to_minor_units(body.price), minimum)
        ticket = Ticket(
            user_id=seller, idempotency_key=key, request_hash=request_hash if key else None, **_details(body)
        )
        await ticket.add()
    except (rules.EventInThePast, rules.PriceTooLow, DuplicateKeyError) as error:
        known = await Ticket.find_one({"user_id": seller, "idempotency_key": key}) if key else None
        if known is None:
            if isinstance(error, DuplicateKeyError):
                raise Unavailable from None
            raise
        if known.request_hash != request_hash:
            raise rules.IdempotencyKeyReused from None
        return known
    if await closed_users.is_closed(seller):
        # If this process stops here, `leaving.follow_user` does it, unless the deletion is over already.
        await leaving.take_off_sale(object_id(ticket.key))
        raise AccountClosed
    return ticket


async def show(ticket_id: str) -> StoredTicket:
    """The ticket with this id.

    Raises:
        NotFound: there is no such ticket.
    """
    raw = await Ticket.get_pymongo_collection().find_one({"_id": object_id(ticket_id)}, WITH_PRIVATE_NOTE)
    if raw is None:
        raise NotFound
    return stored(raw)


async def edit(ticket_id: str, seller: str, body: TicketBody, minimum: MinimumCharge | None = None) -> Ticket:
    """Replace the seller's description of the ticket.

    Raises:
        NotFound, NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn, EventInThePast, PriceTooLow
    """
    return await _change(ticket_id, lambda ticket: rules.edit(ticket, seller, _details(body), now(), minimum))


async def set_private_note(ticket_id: str, seller: str, note: str | None) -> Ticket:
    """Set or remove the private note, also of a reserved or sold ticket. No event is published.

    Raises:
        NotFound, NotTheSeller, AccountClosed
    """
    ticket = await _load(ticket_id)
    rules.check_is_seller(ticket, seller)
    if await closed_users.is_closed(seller):
        raise AccountClosed
    # The seller never changes, and nothing else depends on the note, so this write needs no version.
    tickets = Ticket.get_pymongo_collection()
    await tickets.update_one({"_id": ticket.id}, {"$set": {"private_note": note}})
    if note is not None and await closed_users.is_closed(seller):  # closed meanwhile, and perhaps deleted
        await tickets.update_one({"_id": ticket.id, "private_note": note}, {"$set": {"private_note": None}})
        raise AccountClosed
    return ticket.model_copy(update={"private_note": note})


async def withdraw(ticket_id: str, seller: str) -> None:
    """Take the ticket off sale. A repeated call changes nothing.

    Raises:
        NotFound, NotTheSeller, TicketReserved, TicketSold
    """
    await _change(ticket_id, lambda ticket: rules.withdraw(ticket, seller))


async def withdraw_by_operator(ticket_id: str) -> Ticket:
    """Take any ticket off sale. A repeated call changes nothing.

    Raises:
        NotFound, TicketReserved, TicketSold
    """
    return await _change(ticket_id, rules.withdraw_by_operator)


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
    await _change(order.ticket.id, lambda ticket: rules.follow_order(ticket, order))


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
    # A body without a private note has the hash that earlier versions stored.
    unset = {"private_note"} if body.private_note is None else None
    return sha256(body.model_dump_json(by_alias=True, exclude=unset).encode()).hexdigest()


def _details(body: TicketBody) -> dict[str, Any]:
    """The fields of a `TicketState` that the seller sets, with amounts in minor units."""
    return {
        **body.model_dump(exclude={"price", "face_value"}),
        "price_minor": to_minor_units(body.price),
        "face_value_minor": None if body.face_value is None else to_minor_units(body.face_value),
    }
