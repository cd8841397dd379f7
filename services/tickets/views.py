"""Tickets in HTTP responses, and reading what they need from the database."""

from collections.abc import Mapping
from typing import Any

from beanie import PydanticObjectId
from pydantic import Field, TypeAdapter

from contracts.api import Ticket as TicketView
from contracts.money import from_minor_units
from services.tickets import rules
from services.tickets.documents import Ticket
from services.tickets.rules import TicketState


class StoredTicket(TicketState):
    """The fields of a stored ticket that a response needs. Reading them costs a third of reading a Ticket."""

    id: PydanticObjectId = Field(alias="_id")
    version: int
    private_note: str | None = None
    """None unless it was read with `WITH_PRIVATE_NOTE`."""


_STORED = TypeAdapter(StoredTicket)

_NOT_SHOWN = {"files", "withdrawn", "hold", "order_version", "asked_minor", "needs_files"}
PROJECTION: Mapping[str, int] = dict.fromkeys(
    sorted({*TicketState.model_fields, "_id", "version"} - _NOT_SHOWN), 1
)
"""The fields of a StoredTicket in the database that lists and the search may read."""
WITH_PRIVATE_NOTE: Mapping[str, int] = {**PROJECTION, "private_note": 1}


def stored(raw: Mapping[str, Any]) -> StoredTicket:
    """A ticket as the database returns it with `PROJECTION`.

    Raises:
        ValidationError: another version of this service stored it.
    """
    return _STORED.validate_python(raw)


def view_of(ticket: Ticket | StoredTicket, viewer: str | None) -> TicketView:
    """The public state of the ticket. Only its seller and its buyer see the order, and only its seller what
    the buyer got back.

    `for_viewer` adds the private note.
    """
    fields = {name: getattr(ticket, name) for name in _SAME}
    sees_order = viewer is not None and viewer in (ticket.user_id, ticket.buyer_id)
    is_seller = viewer == ticket.user_id
    face_value = ticket.face_value_minor
    return TicketView.model_validate(
        {
            **fields,
            "id": str(ticket.id),
            "order_id": ticket.order_id if sees_order else None,
            "order_code": ticket.order_code if sees_order else None,
            "refunded_amount": (ticket.refunded_minor or None) if is_seller else None,
            "dispute": ticket.dispute if is_seller else None,
            "removed_reason": ticket.removal_reason if is_seller and ticket.status == "withdrawn" else None,
            "price": from_minor_units(ticket.price_minor),
            "face_value": None if face_value is None else from_minor_units(face_value),
        }
    )


def for_viewer(ticket: Ticket | StoredTicket, viewer: str | None) -> TicketView:
    """The state of the ticket as its seller or its buyer sees it, with the private note."""
    shown = view_of(ticket, viewer)
    if not rules.may_read_private_note(ticket, viewer):
        return shown
    return shown.model_copy(update={"private_note": ticket.private_note})


_PERSONAL = {"order_id", "order_code", "private_note", "refunded_amount", "dispute", "removed_reason"}
_SAME = TicketView.model_fields.keys() - {"id", "price", "face_value", *_PERSONAL}
"""Fields that have the same name and value in the database and in responses."""
