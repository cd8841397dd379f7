"""Stored requests to be told of tickets, and who was told of which ticket."""

from typing import Any, Self

from beanie import Document, PydanticObjectId
from pydantic import Field
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from contracts.events import AlertedTicket, AlertMatched
from contracts.money import from_minor_units
from contracts.tickets import Delivery, TicketDetails
from contracts.wire import Moment
from kit.aggregates import OUTBOX_INDEX, Aggregate
from services.tickets.alerts.rules import AlertState
from services.tickets.documents import Ticket

_DETAILS = tuple(TicketDetails.model_fields)


class Alert(AlertState, Document):
    """A request to be told of tickets. The id orders requests by their age."""

    id: PydanticObjectId = Field(default_factory=PydanticObjectId)
    slot: int
    """A number below `rules.MAX_ALERTS` that no other request of the user has."""
    performer: str | None = None
    """The name as the user wrote it."""
    show_id: str | None = None
    created_at: Moment
    ends_at: Moment | None = None
    """When the event begins. The request is deleted after it. None for a performer."""

    class Settings:
        name = "alerts"
        indexes = [
            IndexModel(
                [("user_id", ASCENDING), ("kind", ASCENDING), ("target", ASCENDING)],
                name="one_alert_a_target",
                unique=True,
            ),
            IndexModel([("user_id", ASCENDING), ("slot", ASCENDING)], name="one_alert_a_slot", unique=True),
            IndexModel([("target", ASCENDING), ("_id", ASCENDING)], name="waiting"),
            IndexModel([("ends_at", ASCENDING)], name="alert_ends"),
        ]


class Match(TicketDetails, Aggregate):
    """A user was told of a ticket. There is one of each user and ticket, so nobody is told twice."""

    user_id: str
    ticket_id: PydanticObjectId
    title: str
    price_minor: int
    face_value_minor: int | None = None
    picture: str | None = None
    delivery: Delivery = "seller"
    matched_at: Moment
    seen_at: Moment | None = None
    """When an open page showed it."""
    ends_at: Moment
    """When the event begins. The match is deleted after it."""

    class Settings:
        name = "matches"
        indexes = [
            OUTBOX_INDEX,
            IndexModel(
                [("ticket_id", ASCENDING), ("user_id", ASCENDING)], name="one_match_a_ticket", unique=True
            ),
            IndexModel([("user_id", ASCENDING), ("_id", DESCENDING)], name="matches_of_user"),
            IndexModel([("ends_at", ASCENDING)], name="match_ends"),
        ]

    @classmethod
    def of(cls, ticket: Ticket, user_id: str, matched_at: Moment, ends_at: Moment) -> Self:
        """The match of a user with the ticket as it is now."""
        assert ticket.id is not None, "a stored ticket has an id"
        return cls(
            user_id=user_id,
            ticket_id=ticket.id,
            title=ticket.title,
            price_minor=ticket.price_minor,
            face_value_minor=ticket.face_value_minor,
            picture=ticket.picture,
            delivery=ticket.delivery,
            matched_at=matched_at,
            ends_at=ends_at,
            **{name: getattr(ticket, name) for name in _DETAILS},
        )

    async def add_once(self) -> bool:
        """Store the match and its event. Return False if the user was told of the ticket already."""
        try:
            await self.add()
        except DuplicateKeyError:
            return False
        return True

    def event(self) -> AlertMatched:
        described: dict[str, Any] = {name: getattr(self, name) for name in _DETAILS}
        if self.face_value_minor is not None:
            described["face_value"] = from_minor_units(self.face_value_minor)
        return AlertMatched(
            id=self.key,
            user_id=self.user_id,
            matched_at=self.matched_at,
            ticket=AlertedTicket(
                id=str(self.ticket_id),
                title=self.title,
                price=from_minor_units(self.price_minor),
                picture=self.picture,
                delivery=self.delivery,
                **described,
            ),
        )
