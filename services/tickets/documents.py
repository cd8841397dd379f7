"""Tickets as they are stored."""

from collections.abc import Callable
from typing import Any, ClassVar, Self

from beanie import Document
from pymongo import ASCENDING, DESCENDING, IndexModel

from contracts.events import TicketCreated, TicketEvent, TicketUpdated
from contracts.money import from_minor_units
from contracts.wire import Moment, now
from services.kit.aggregates import OUTBOX_INDEX, Aggregate
from services.kit.changes import Changes
from services.tickets.rules import TicketState


class Ticket(TicketState, Aggregate):
    """A ticket on sale, held, sold or withdrawn."""

    touched: Moment | None = None
    """When it was last written. None: by a version of this service that didn't say so."""

    offer: str | None = None
    """The key under which its seller offered it, if they gave one: an offer that comes again has the same."""
    offered_as: str | None = None
    """A hash of what was said then, to tell a repeat from another offer with the same key."""

    written: ClassVar[Callable[["Ticket"], None]] = staticmethod(lambda _: None)
    """Hears of each write that this process makes. Set by the catalogue of the process."""

    class Settings:
        name = "tickets"
        indexes = [
            OUTBOX_INDEX,
            IndexModel([("status", ASCENDING), ("_id", DESCENDING)], name="on_sale"),
            IndexModel([("user_id", ASCENDING), ("_id", DESCENDING)], name="of_seller"),
            IndexModel([("user_id", ASCENDING), ("status", ASCENDING)], name="sales"),
            IndexModel(
                [("user_id", ASCENDING), ("offer", ASCENDING)],
                name="one_ticket_an_offer",
                unique=True,
                partialFilterExpression={"offer": {"$gt": ""}},
            ),
            IndexModel([("touched", ASCENDING)], name="touched"),
            IndexModel([("picture", ASCENDING)], name="picture"),
        ]

    async def add(self, *, silently: bool = False) -> None:
        self.touched = now()
        await super().add(silently=silently)
        type(self).written(self)

    async def publish(self, changes: Changes, **unless_changed: Any) -> Self | None:
        changed = await super().publish({**changes, "touched": now()}, **unless_changed)
        if changed is not None:
            type(self).written(changed)
        return changed

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
            held_until=self.held_until,
            refunded=self.refunded,
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


class Picture(Document):
    """A picture in its sizes. Any number of tickets have it."""

    id: str  # type: ignore[assignment] # the hash of its content is its key
    small: bytes
    large: bytes
    loose: Moment | None = None
    """Since when it may be that no ticket has it. None: some ticket has it."""

    class Settings:
        name = "pictures"
        indexes = [IndexModel([("loose", ASCENDING)], name="loose", sparse=True)]
