"""What tickets knows of users who leave: what is open, what is stored, and what to forget."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from bson import ObjectId
from pymongo import DESCENDING

from contracts.api import MatterKind, OpenMatter
from contracts.events import UserEvent
from contracts.export import ExportedTicket
from contracts.internal import Part
from kit.aggregates import change
from kit.paging import newest_first
from services.tickets import failures, rules
from services.tickets.alerts import actions as alerts
from services.tickets.documents import Ticket
from services.tickets.files import retention
from services.tickets.reports import leaving as reports
from services.tickets.views import for_viewer

MAX_MATTERS = 20
"""The most open matters of a kind that are listed."""

WITHOUT_DATE = timedelta(days=30)
"""How long after its sale a ticket without a date counts as not used yet."""

MAX_PAGE = 200


async def open_matters(seller: str, now: datetime) -> list[OpenMatter]:
    """The seller's tickets that are reserved or can be, and sold ones that their buyers may still need."""
    needed = [
        {"dispute": "open"},
        {"refunded": False, "starts_at": {"$gt": now}},
        {"refunded": False, "starts_at": None, "updated_at": {"$gt": now - WITHOUT_DATE}},
    ]
    on_sale = {"user_id": seller, "status": "available"}
    return [
        *await _matters("listing", {"user_id": seller, "status": "reserved"}),
        *await _matters("listing", {**on_sale, "starts_at": {"$gt": now}}),
        *await _matters("listing", {**on_sale, "starts_at": None}),
        *await _matters("sale", {"user_id": seller, "status": "sold", "$or": needed}),
    ]


async def page_of_data(seller: str, after: str | None) -> Part[ExportedTicket]:
    """A part of what is stored about a seller.

    Raises:
        BadCursor: `after` isn't a cursor.
    """
    found, following = await newest_first(Ticket, {"user_id": seller}, {}, after, MAX_PAGE)
    entries = [_exported(Ticket.model_validate(raw)) for raw in found]
    return Part[ExportedTicket](entries=entries, after=following)


async def follow_user(user: UserEvent) -> None:
    """Take the tickets of a deleted user off sale, and forget notes, keys of listings, failed sales, alerts
    and who has made the user's reports."""
    if not user.deleted:
        return
    await failures.forget(user.id)
    await reports.forget(user.id)
    await alerts.forget(user.id)
    async for found in Ticket.get_pymongo_collection().find({"user_id": user.id}, {"_id": 1}):
        await take_off_sale(found["_id"])


async def take_off_sale(ticket_id: ObjectId) -> None:
    """Take the ticket of a seller who leaves off sale, and forget its notes and the key of its listing."""
    private = {"private_note": None, "idempotency_key": None, "request_hash": None}
    await Ticket.get_pymongo_collection().update_one({"_id": ticket_id}, {"$set": private})
    ticket = await change(partial(Ticket.first, {"_id": ticket_id}), rules.leave)
    await retention.delete_files_of(ticket)


async def _matters(kind: MatterKind, which: Mapping[str, Any]) -> list[OpenMatter]:
    tickets = Ticket.get_pymongo_collection()
    fields = dict.fromkeys(("title", "starts_at", "held_until"), 1)
    found = tickets.find(which, fields, sort=[("_id", DESCENDING)], limit=MAX_MATTERS)
    return [
        OpenMatter(
            kind=kind,
            ticket_id=str(ticket["_id"]),
            title=ticket["title"],
            starts_at=ticket.get("starts_at"),
            until=ticket.get("held_until"),
        )
        for ticket in await found.to_list()
    ]


def _exported(ticket: Ticket) -> ExportedTicket:
    assert ticket.id is not None, "a stored ticket has an id"
    return ExportedTicket(
        **dict(for_viewer(ticket, ticket.user_id)),
        listed_at=ticket.id.generation_time,
        updated_at=ticket.updated_at,
        idempotency_key=ticket.idempotency_key,
    )
