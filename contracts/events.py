"""All events that services publish.

Each event carries the whole public state of its subject and the `version` of that state. A listener applies
an event only if it is newer than the state that the listener has, so repeated, missing and reordered events
are harmless. Unknown fields are ignored, so that a listener may be older than the publisher.
"""

from datetime import timedelta
from typing import ClassVar, Literal

from contracts.money import MinorUnits, MinorUnitsFromZero, Price
from contracts.tickets import TicketSummary
from contracts.wire import Count, Id, Moment, Version, Wire

TicketStatus = Literal["available", "reserved", "sold", "withdrawn"]
OrderStatus = Literal["created", "awaiting:payment", "complete", "cancelled", "refunded"]
CancelReason = Literal["buyer", "expired"]
DisputeStatus = Literal["open", "won", "lost"]
"""Who the buyer's bank decided for: `won` is the marketplace's success, `lost` is the buyer's."""
PaymentStatus = Literal["pending", "authorized", "captured", "failed", "voided", "refunding", "refunded"]

LIVE_STATUSES: frozenset[OrderStatus] = frozenset({"created", "awaiting:payment"})
"""Statuses of an order that holds its ticket but is not paid yet."""


GRACE = timedelta(seconds=5)
"""How long after its deadline an unpaid order is kept. The event of a payment that was authorized before the
deadline may take that long."""


class Event(Wire):
    """A fact that one service publishes to all services."""

    subject: ClassVar[str]

    @property
    def about(self) -> str:
        """The id of the aggregate that changed: the `subject` of the CloudEvent."""
        raise NotImplementedError


class PublicTicket(TicketSummary):
    """The public state of a ticket."""

    version: Version
    user_id: Id
    """The seller's id."""
    order_id: Id | None = None
    """The id of the order that holds the ticket, or for which it was sold."""
    status: TicketStatus
    held_until: Moment | None = None
    """When the hold of a reserved ticket ends, unless the buyer pays or gets more time."""
    refunded: bool = False
    """Whether the buyer of a sold ticket was refunded. The ticket stays sold."""
    face_value: Price | None = None
    notes: str | None = None


class TicketEvent(PublicTicket, Event):
    """The public state of a ticket after a change."""

    hold: Count | None = None
    """The hold number of the newest order that tickets has decided on. None before the first hold.

    If `order_id` isn't that order's id, the ticket doesn't have this hold: tickets refused it, or it ended.
    """

    @property
    def about(self) -> str:
        return self.id


class TicketCreated(TicketEvent):
    """A new ticket is on sale."""

    subject: ClassVar[str] = "ticket.created"


class TicketUpdated(TicketEvent):
    """A ticket was edited, withdrawn, reserved, sold or put back on sale, or a hold of it was refused."""

    subject: ClassVar[str] = "ticket.updated"


class OrderedTicket(TicketSummary):
    """An order's ticket as it was at the time of the reservation, with the price that the buyer agreed to."""


class OrderEvent(Event):
    """The public state of an order."""

    id: Id
    version: Version
    status: OrderStatus
    user_id: Id
    """The buyer's id."""
    cancel_reason: CancelReason | None = None
    """Why the order was cancelled. None if it wasn't, or if the hold was refused."""
    hold_refused: bool = False
    """Whether the order was cancelled because the seller had changed or withdrawn the ticket before."""
    relisted: bool = False
    """Whether the ticket of a refunded order is on sale again."""
    refunded_amount: MinorUnitsFromZero = 0
    """How much of the price the buyer got back, in minor units."""
    dispute: DisputeStatus | None = None
    """The state of the dispute, if the buyer disputed the payment."""
    expires_at: Moment
    hold: Count
    """The hold number. It counts the orders of a ticket from 1, which orders them without clocks."""
    code: str | None = None
    """The order number, which only the buyer and the seller may see. None for an order without one."""
    ticket: OrderedTicket

    @property
    def about(self) -> str:
        return self.id


class OrderCreated(OrderEvent):
    """A buyer holds the ticket until `expires_at`."""

    subject: ClassVar[str] = "order.created"


class OrderUpdated(OrderEvent):
    """A payment began, the buyer got more time to pay, the order was paid, or the order was refunded."""

    subject: ClassVar[str] = "order.updated"


class OrderCancelled(OrderEvent):
    """The buyer cancelled the order or didn't pay in time, or tickets refused the hold."""

    subject: ClassVar[str] = "order.cancelled"


class PaymentEvent(Event):
    """The public state of an order's only payment."""

    id: Id
    version: Version
    order_id: Id
    status: PaymentStatus
    """`pending` is published before Stripe is asked, so that orders waits for the outcome."""
    amount: MinorUnits
    currency: str
    bank_check: bool = False
    """Whether the payment waits for the bank: it asks the buyer for a confirmation (3-D Secure), or takes its
    time to approve."""
    relist: bool = False
    """Whether the ticket of a refunded payment goes on sale again."""
    refunded_amount: MinorUnitsFromZero = 0
    """How much of the amount the buyer got back, in minor units."""
    refund_failed: bool = False
    """Whether the last refund failed, so that an operator has to act."""
    dispute: DisputeStatus | None = None
    """The state of the dispute, if the buyer disputed the payment."""
    stripe_id: str | None = None
    """The id of Stripe's PaymentIntent."""
    authorized_at: Moment | None = None
    """When the amount was authorized, to the second, by Stripe's clock. None before, or if it isn't known."""

    @property
    def about(self) -> str:
        return self.id


class PaymentCreated(PaymentEvent):
    """A payment began: Stripe is about to be asked."""

    subject: ClassVar[str] = "payment.created"


class PaymentUpdated(PaymentEvent):
    """The status of a payment changed."""

    subject: ClassVar[str] = "payment.updated"


class ExpirationComplete(Event):
    """The time to pay for an order ended at `expires_at`, and `GRACE` has passed since then."""

    subject: ClassVar[str] = "expiration.complete"

    order_id: Id
    expires_at: Moment

    @property
    def about(self) -> str:
        return self.order_id


class SessionEnded(Event):
    """A session ended: no service accepts its tokens any more."""

    subject: ClassVar[str] = "session.ended"

    session_id: Id
    ended_at: Moment

    @property
    def about(self) -> str:
        return self.session_id


ALL_EVENTS: tuple[type[Event], ...] = (
    TicketCreated,
    TicketUpdated,
    OrderCreated,
    OrderUpdated,
    OrderCancelled,
    PaymentCreated,
    PaymentUpdated,
    ExpirationComplete,
    SessionEnded,
)
