"""Every event: a fact with an address.

Each carries the whole public state of what it is about and that state's `version`, so a listener
applies one iff it is newer than what it has; a repeat, a gap or a swap of order can't hurt.
Unknown fields are ignored, so that a service may be older than the one it listens to.
"""

from typing import ClassVar, Literal

from contracts.money import MinorUnits, Price
from contracts.wire import Count, Id, Moment, Version, Wire

TicketStatus = Literal["available", "reserved", "sold", "withdrawn"]
OrderStatus = Literal["created", "awaiting:payment", "complete", "cancelled", "refunded"]
CancelReason = Literal["buyer", "expired"]
PaymentStatus = Literal["pending", "authorized", "captured", "failed", "voided", "refunding", "refunded"]


class Event(Wire):
    """A fact that one service states and any may hear."""

    subject: ClassVar[str]

    @property
    def about(self) -> str:
        """The id of what it is about: CloudEvents' `subject`."""
        raise NotImplementedError


class TicketEvent(Event):
    """The public state of a ticket."""

    id: Id
    version: Version
    title: str
    price: Price
    user_id: Id
    """The seller."""
    order_id: Id | None = None
    """The order that holds or bought it."""
    status: TicketStatus
    held_until: Moment | None = None
    """Of a reserved ticket: when the hold ends, unless the buyer pays or gets more time."""
    refunded: bool = False
    """Of a sold ticket: the buyer got the money back, and the ticket stays sold."""
    starts_at: Moment | None = None
    venue: str | None = None
    city: str | None = None
    time_zone: str | None = None
    """Where the event is: the name of an IANA time zone."""
    category: str | None = None
    """One of contracts.tickets.CATEGORIES. There may be others some day, which a listener needn't know."""
    seat: str | None = None
    quantity: Count = 1
    """How many are sold together. The price, and the face value, is of all of them."""
    face_value: Price | None = None
    notes: str | None = None
    picture: str | None = None
    """The name of its picture."""

    @property
    def about(self) -> str:
        return self.id


class TicketCreated(TicketEvent):
    """A seller offers a ticket."""

    subject: ClassVar[str] = "ticket.created"


class TicketUpdated(TicketEvent):
    """A ticket was edited, withdrawn, reserved, sold or put back on sale."""

    subject: ClassVar[str] = "ticket.updated"


class OrderedTicket(Wire):
    """The ticket of an order as it was when it was reserved: at the price the buyer agreed to."""

    id: Id
    title: str
    price: Price
    starts_at: Moment | None = None
    venue: str | None = None
    city: str | None = None
    time_zone: str | None = None
    category: str | None = None
    """One of contracts.tickets.CATEGORIES, or one that is newer than who reads it."""
    seat: str | None = None
    quantity: Count = 1
    picture: str | None = None


class OrderEvent(Event):
    """The public state of an order."""

    id: Id
    version: Version
    status: OrderStatus
    user_id: Id
    """The buyer."""
    cancel_reason: CancelReason | None = None
    relisted: bool = False
    """Of a refunded order: its ticket is on sale again."""
    expires_at: Moment
    hold: Count
    """The how-manieth order of this ticket it is: orders the holds of one ticket without clocks."""
    ticket: OrderedTicket

    @property
    def about(self) -> str:
        return self.id


class OrderCreated(OrderEvent):
    """A buyer holds the ticket until `expires_at`."""

    subject: ClassVar[str] = "order.created"


class OrderUpdated(OrderEvent):
    """A payment is under way, the buyer got more time, owns the ticket, or got the money back."""

    subject: ClassVar[str] = "order.updated"


class OrderCancelled(OrderEvent):
    """The buyer let go of the ticket, or didn't pay in time."""

    subject: ClassVar[str] = "order.cancelled"


class PaymentEvent(Event):
    """The public state of the one payment of an order."""

    id: Id
    version: Version
    order_id: Id
    status: PaymentStatus
    amount: MinorUnits
    currency: str
    bank_check: bool = False
    """The buyer's bank asks for a confirmation before it decides."""
    relist: bool = False
    """Of a payment that is given back: the ticket goes on sale again."""
    stripe_id: str | None = None
    """The PaymentIntent."""

    @property
    def about(self) -> str:
        return self.id


class PaymentCreated(PaymentEvent):
    """Where a payment first stands: authorized, declined, or waiting for the buyer or their bank."""

    subject: ClassVar[str] = "payment.created"


class PaymentUpdated(PaymentEvent):
    """A payment moved on."""

    subject: ClassVar[str] = "payment.updated"


class ExpirationComplete(Event):
    """The time to pay for an order, which ended at `expires_at`, is over."""

    subject: ClassVar[str] = "expiration.complete"

    order_id: Id
    expires_at: Moment

    @property
    def about(self) -> str:
        return self.order_id


class SessionEnded(Event):
    """A user signed out: tokens of this session are void everywhere."""

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
