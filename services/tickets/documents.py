"""Stored tickets and pictures."""

from typing import Any, Self

from beanie import Document, PydanticObjectId
from pydantic import Field
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from contracts.events import TicketCreated, TicketEvent, TicketUpdated
from contracts.money import from_minor_units
from contracts.wire import Moment, now
from kit.aggregates import OUTBOX_INDEX, Aggregate
from kit.changes import Changes
from services.tickets.alerts.rules import announced_anew, is_offered_anew
from services.tickets.rules import LetDown, TicketState

SUMMARIZED = ("user_id", "status", "refunded", "price_minor", "refunded_minor")
"""The fields from which a seller's tickets are counted and their prices added up."""

DEMAND = ("status", "updated_at", "show_id")
"""The fields from which the demand for events is counted."""

ONE_LIVE_LISTING_A_SEAT = "one_live_listing_a_seat"


def is_second_seat(error: DuplicateKeyError) -> bool:
    """Whether a write failed because its seller has another live listing of the seat."""
    # Like in orders, the index is named in the message only.
    described = str(error.details.get("errmsg", "") if error.details else error)
    return f"index: {ONE_LIVE_LISTING_A_SEAT} " in described


class Ticket(TicketState, Aggregate):
    """A listed ticket: available, reserved, sold or withdrawn."""

    updated_at: Moment = Field(default_factory=now)

    private_note: str | None = None
    """The seller's note for the buyer. No event, list or index contains it."""
    idempotency_key: str | None = None
    """The Idempotency-Key of the request that created the ticket, if it had one."""
    request_hash: str | None = None
    """Hash of the listing's request body. It tells a repetition from another request with the same key."""
    seat_key: str | None = None
    """Equal for all listings of the same seat at the same event."""
    live_seat: str | None = None
    """The same, until the ticket is sold or withdrawn for the first time."""

    announce_at: Moment | None = None
    """When the next people are told of the ticket (alerts/waves.py). None if nobody is left."""
    next_wave_at: Moment | None = None
    """The earliest time of the next wave."""
    announced_to: PydanticObjectId | None = None
    """The newest request that earlier waves have looked at."""

    class Settings:
        name = "tickets"
        indexes = [
            OUTBOX_INDEX,
            IndexModel([("status", ASCENDING), ("_id", DESCENDING)], name="on_sale"),
            IndexModel([("user_id", ASCENDING), ("_id", DESCENDING)], name="of_seller"),
            # With all fields of `sales.summary`, so that MongoDB reads no documents for it.
            IndexModel([(field, ASCENDING) for field in SUMMARIZED], name="summary"),
            IndexModel(
                [("user_id", ASCENDING), ("idempotency_key", ASCENDING)],
                name="one_ticket_a_key",
                unique=True,
                partialFilterExpression={"idempotency_key": {"$gt": ""}},
            ),
            IndexModel(
                [("user_id", ASCENDING), ("live_seat", ASCENDING)],
                name=ONE_LIVE_LISTING_A_SEAT,
                unique=True,
                partialFilterExpression={"live_seat": {"$gt": ""}},
            ),
            IndexModel(
                [("seat_key", ASCENDING)],
                name="of_seat",
                partialFilterExpression={"seat_key": {"$gt": ""}},
            ),
            IndexModel([("updated_at", ASCENDING)], name="updated_at"),
            IndexModel([("picture", ASCENDING)], name="picture"),
            IndexModel(
                [("show_id", ASCENDING), ("status", ASCENDING), ("price_minor", ASCENDING)], name="of_show"
            ),
            # With all fields of `popularity.refresh`, so that MongoDB reads no documents for it.
            IndexModel([(field, ASCENDING) for field in DEMAND], name="demand"),
            IndexModel([("announce_at", ASCENDING)], name="to_announce"),
        ]

    async def save_and_publish(self, changes: Changes, **expected: Any) -> Self | None:
        if changes.get("status") in ("sold", "withdrawn"):
            changes = {**changes, "live_seat": None}
        if "files_ready_at" in changes:
            awaits_files = self.needs_files and changes["files_ready_at"] is None
            changes = {**changes, "awaits_files": awaits_files}
        moment = now()
        if is_offered_anew(self, changes):
            changes = {**changes, **announced_anew(self.next_wave_at, moment)}
            expected["next_wave_at"] = self.next_wave_at  # a wave doesn't change the version
        return await super().save_and_publish({**changes, "updated_at": moment}, **expected)

    def event(self) -> TicketEvent:
        """The event with the current state. Event and document use the same names, except for the amounts."""
        kind = TicketCreated if self.version == 0 else TicketUpdated
        face_value = self.face_value_minor
        return kind.model_validate(
            {
                **dict(self),
                "id": self.key,
                "hold": self.hold or None,
                "delivery": self.delivery,
                "price": from_minor_units(self.price_minor),
                "face_value": None if face_value is None else from_minor_units(face_value),
            }
        )


class FailedSale(Document):
    """An order whose buyer got money back because of the seller. There is one of each such order."""

    id: PydanticObjectId
    """The order's id."""
    seller_id: str
    why: LetDown
    at: Moment
    """When an operator decided so, or the deadline passed."""

    class Settings:
        name = "failed_sales"
        indexes = [IndexModel([("seller_id", ASCENDING), ("at", DESCENDING)], name="failed_of_seller")]


class Picture(Document):
    """A picture in two sizes. Several tickets may use the same picture."""

    id: str  # type: ignore[assignment] # the hash of its content is its key
    small: bytes
    large: bytes
    unreferenced_since: Moment | None = None
    """The time since which the picture may be unused. None while a ticket is known to use the picture."""

    class Settings:
        name = "pictures"
        indexes = [IndexModel([("unreferenced_since", ASCENDING)], name="unreferenced_since", sparse=True)]
