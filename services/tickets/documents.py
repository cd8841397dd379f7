"""Tickets as they are stored."""

from pymongo import ASCENDING, DESCENDING, IndexModel

from contracts.events import TicketCreated, TicketEvent, TicketUpdated
from contracts.money import from_minor_units
from services.kit.aggregates import OUTBOX_INDEX, Aggregate
from services.tickets.rules import TicketState


class Ticket(TicketState, Aggregate):
    """A ticket on sale, held, sold or withdrawn."""

    words: list[str] = []
    """What it is found by: the words of title, venue and city, without case and accents."""

    class Settings:
        name = "tickets"
        indexes = [
            OUTBOX_INDEX,
            IndexModel([("status", ASCENDING), ("_id", DESCENDING)], name="on_sale"),
            IndexModel([("user_id", ASCENDING), ("_id", DESCENDING)], name="of_seller"),
            IndexModel([("words", ASCENDING)], name="words"),
        ]

    def event(self) -> TicketEvent:
        kind = TicketCreated if self.version == 0 else TicketUpdated
        return kind(
            id=self.key,
            version=self.version,
            title=self.title,
            price=from_minor_units(self.price_minor),
            user_id=self.user_id,
            order_id=self.order_id,
            status=self.status,
            starts_at=self.starts_at,
            venue=self.venue,
            city=self.city,
            time_zone=self.time_zone,
            category=self.category,
            seat=self.seat,
            quantity=self.quantity,
            face_value=None if self.face_value_minor is None else from_minor_units(self.face_value_minor),
            notes=self.notes,
            picture=self.picture,
        )
