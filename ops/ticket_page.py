"""Everything about one ticket: its state, its orders, and the events that it published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId
from nats.js import JetStreamContext

from contracts.money import from_minor_units
from kit.nats import EVENTS, read_message
from ops.lookup import NotFound, of_ticket
from ops.order_events import StoredEvent
from ops.sources import Sources


@dataclass(frozen=True)
class TicketPage:
    """What is known about a ticket."""

    ticket_id: str
    title: str
    status: str
    order_id: str | None
    """The order that holds or bought the ticket."""
    facts: Sequence[str]
    orders: Sequence[tuple[str, str]]
    """The id of each of the newest orders, newest first, and a line about it."""
    events: Sequence[str]
    """Its last events that the stream still has, oldest first."""


async def ticket_page(sources: Sources, ticket_id: str) -> TicketPage:
    """Read what is known about a ticket.

    Raises:
        NotFound: tickets has no such ticket.
        nats.errors.Error, TimeoutError, pymongo.errors.PyMongoError
    """
    database = sources.database("tickets")
    ticket = await database["tickets"].find_one({"_id": ObjectId(ticket_id)})
    if ticket is None:
        raise NotFound(f"Tickets has no ticket {ticket_id}.")
    found = await of_ticket(sources, ticket_id)
    reads = await database["file_accesses"].count_documents({"ticket_id": ObjectId(ticket_id)})
    return TicketPage(
        ticket_id,
        ticket["title"],
        ticket["status"],
        ticket.get("order_id"),
        [*_facts(ticket), *_files(ticket, reads)],
        list(zip(found.orders, found.lines, strict=True)),
        await _events(sources.js, ticket_id, ticket.get("sequences", ())),
    )


def _facts(ticket: Mapping[str, Any]) -> list[str]:
    order, until = ticket.get("order_id"), ticket.get("held_until")
    return [
        f"{ticket['title']}, {from_minor_units(ticket['price_minor'])}",
        f"{ticket['status']}, version {ticket['version']}, of seller {ticket['user_id']}",
        f"hold {ticket.get('hold', 0)}"
        + (f" of order {order}" if order else ", no order has the ticket")
        + (f", until {until:%Y-%m-%d %H:%M:%S}" if until else ""),
        *(["withdrawn: its next hold is refused"] if ticket.get("withdrawn") else []),
        *(f"{each['subject']} waits in the outbox" for each in ticket.get("outbox", ())),
    ]


def _files(ticket: Mapping[str, Any], reads: int) -> list[str]:
    """A line about each file, and how often they were received."""
    files = [
        f"file {file['id']}: {file['kind']} for {file['seats']}, "
        f"uploaded {file['uploaded_at']:%Y-%m-%d %H:%M:%S}"
        + ("" if file["has_code"] else ", no code found")
        + (", void: a former buyer could read it" if file.get("is_void") else "")
        for file in ticket.get("files", ())
    ]
    return [*files, f"files received {reads} times"] if files else []


async def _events(js: JetStreamContext, ticket_id: str, sequences: Sequence[int]) -> list[str]:
    found = []
    for sequence in sorted(set(sequences)):
        message = await read_message(js, EVENTS, sequence)
        if message is None:
            continue
        event = StoredEvent.of(message)
        if event.is_of("ticket", ticket_id):  # after a restore, a number may be that of another message
            body = event.body
            version, order = body.get("version"), body.get("orderId")
            found.append(
                f"{message.stored_at:%Y-%m-%d %H:%M:%S}  {message.subject:15} version {version!s:3}"
                f"  {body.get('status')}{f'  order {order}' if order else ''}"
            )
    return found
