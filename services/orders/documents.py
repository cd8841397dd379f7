"""Orders, and what orders knows of tickets."""

from datetime import datetime

from pymongo import ASCENDING, DESCENDING, IndexModel

from contracts.events import OrderCancelled, OrderCreated, OrderedTicket, OrderEvent, OrderUpdated
from contracts.money import from_minor_units
from services.kit.aggregates import OUTBOX_INDEX, Aggregate
from services.kit.copies import Copy
from services.orders.rules import OfferedTicket, OrderState

ONE_ORDER_A_TICKET = "one_order_a_ticket"
ONE_ORDER_A_HOLD = "one_order_a_hold"
ONE_ORDER_A_SLOT = "one_order_a_slot"


class Ticket(OfferedTicket, Copy):
    """A ticket that may be reserved."""

    class Settings:
        name = "tickets"


class Order(OrderState, Aggregate):
    """A buyer's hold of a ticket, then a purchase."""

    active: bool = True
    live: bool = True
    slot: int
    """Which of the buyer's allowed reservations this is, while it is live."""

    class Settings:
        name = "orders"
        # The marketplace's promises are these indexes: an insert that breaks one fails, whoever
        # else does what at the same time.
        indexes = [
            OUTBOX_INDEX,
            IndexModel(
                [("ticket_id", ASCENDING)],
                name=ONE_ORDER_A_TICKET,
                unique=True,
                partialFilterExpression={"active": True},
            ),
            IndexModel([("ticket_id", ASCENDING), ("hold", ASCENDING)], name=ONE_ORDER_A_HOLD, unique=True),
            IndexModel(
                [("user_id", ASCENDING), ("slot", ASCENDING)],
                name=ONE_ORDER_A_SLOT,
                unique=True,
                partialFilterExpression={"live": True},
            ),
            IndexModel([("user_id", ASCENDING), ("_id", DESCENDING)], name="of_buyer"),
        ]

    @property
    def reserved_at(self) -> datetime:
        """To the second: its id tells."""
        assert self.id is not None
        return self.id.generation_time

    def event(self) -> OrderEvent:
        return self._kind_of_event()(
            id=self.key,
            version=self.version,
            status=self.status,
            user_id=self.user_id,
            cancel_reason=self.cancel_reason,
            relisted=self.relisted,
            expires_at=self.expires_at,
            hold=self.hold,
            ticket=OrderedTicket(
                id=self.ticket_id,
                title=self.ticket_title,
                price=from_minor_units(self.price_minor),
                **dict(self.details),
            ),
        )

    def _kind_of_event(self) -> type[OrderEvent]:
        if self.status == "cancelled":
            return OrderCancelled
        return OrderCreated if self.version == 0 else OrderUpdated
