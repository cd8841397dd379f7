"""All events that services publish.

Each event carries the whole public state of its subject and the `version` of that state. A listener applies
an event only if it is newer than the state that the listener has, so repeated, missing and reordered events
are harmless. Unknown fields are ignored, so that a listener may be older than the publisher.
"""

from datetime import timedelta
from typing import ClassVar, Literal

from typing_extensions import TypeAliasType

from contracts.money import MinorUnits, MinorUnitsFromZero, Price
from contracts.tickets import TicketSummary
from contracts.wire import Count, Id, Moment, Version, Wire

TicketStatusName = Literal["available", "reserved", "sold", "withdrawn"]
"""For parameters of HTTP requests, which msgspec reads. It doesn't know the named type `TicketStatus`."""

TicketStatus = TypeAliasType("TicketStatus", TicketStatusName)
OrderStatus = TypeAliasType(
    "OrderStatus", Literal["created", "awaiting:payment", "complete", "cancelled", "refunded"]
)
CancelReason = TypeAliasType("CancelReason", Literal["buyer", "expired"])
DeliveryState = TypeAliasType("DeliveryState", Literal["sealed", "due", "delivered", "confirmed", "failed"])
"""How far the delivery of an order is: `sealed` before the payment, if the files are stored already; `due`
until the buyer has the ticket; `delivered`; `confirmed` by the buyer or because no problem was reported in
time; or `failed`, if a promised file didn't arrive in time, after which the buyer is refunded."""
ProblemKindName = Literal["not-received", "invalid", "not-as-described"]
ProblemKind = TypeAliasType("ProblemKind", ProblemKindName)
"""What a buyer may report: no ticket came, it wasn't accepted, or it isn't what was sold."""
ProblemState = TypeAliasType(
    "ProblemState", Literal["open", "answered", "refunded", "partly-refunded", "rejected"]
)
"""How far a buyer's report of a problem is: `open` until the seller has `answered` or an operator decides.
The other values are the decisions."""
OPEN_PROBLEMS: frozenset[ProblemState] = frozenset({"open", "answered"})
"""Reports that nobody has decided yet. The seller isn't paid meanwhile."""
DisputeStatus = TypeAliasType("DisputeStatus", Literal["open", "won", "lost"])
"""Who the buyer's bank decided for: `won` is the marketplace's success, `lost` is the buyer's."""
PaymentStatus = TypeAliasType(
    "PaymentStatus", Literal["pending", "authorized", "captured", "failed", "voided", "refunding", "refunded"]
)

PayoutState = TypeAliasType("PayoutState", Literal["held", "due", "paid", "frozen", "reversed"])
"""Where the seller's money is: `held` until a date, `due` to be transferred, `paid`, `frozen` while the buyer
disputes the payment, a reported problem isn't settled or a refund is under way, or `reversed` because the
buyer got everything back."""

LinkKind = TypeAliasType(
    "LinkKind",
    Literal["confirm-email", "reset-password", "change-email", "undo-email-change", "email-replaced"],
)
"""What a one-time link does: confirm the address of an account, choose a new password, confirm a new address,
or return to the address before. `email-replaced` does nothing: an address that was never confirmed is only
told that its account has another one."""

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
    """Counts the changes of the ticket."""
    user_id: Id
    """The seller's id."""
    order_id: Id | None = None
    """The id of the order that holds the ticket, or for which it was sold."""
    status: TicketStatus
    """Whether the ticket can be reserved."""
    held_until: Moment | None = None
    """When the hold of a reserved ticket ends, unless the buyer pays or gets more time."""
    refunded: bool = False
    """Whether the buyer of a sold ticket was refunded. The ticket stays sold."""
    face_value: Price | None = None
    """The original price of all tickets of the listing together."""
    notes: str | None = None
    """The seller's notes for everyone."""
    files_ready_at: Moment | None = None
    """When the files of all seats were complete. None while a file is missing."""
    awaits_files: bool = False
    """Whether nobody can find or reserve it until its seller has uploaded the files, after failed sales."""


class TicketEvent(PublicTicket, Event):
    """The public state of a ticket after a change."""

    hold: Count | None = None
    """The hold number of the newest order that tickets has decided on. None before the first hold.

    If `order_id` isn't that order's id, the ticket doesn't have this hold: tickets refused it, or it ended.
    """
    date_changes: Version = 0
    """Counts the corrections of the event's date. Of two events, the one with the higher number has the newer
    date."""

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
    """The order's id."""
    version: Version
    """Counts the changes of the order."""
    status: OrderStatus
    """`complete` means paid."""
    user_id: Id
    """The buyer's id."""
    seller_id: Id | None = None
    """The seller's id. None for an order that was made before orders kept it."""
    paid_at: Moment | None = None
    """When the order became `complete`. None before."""
    refunded_at: Moment | None = None
    """When the order became `refunded`. None before."""
    cancel_reason: CancelReason | None = None
    """Why the order was cancelled. None if it wasn't, or if tickets or an operator ended it: see below."""
    hold_refused: bool = False
    """Whether the order was cancelled because the seller had changed or withdrawn the ticket before."""
    cancelled_by_operator: bool = False
    """Whether an operator of the marketplace cancelled the order."""
    relisted: bool = False
    """Whether the ticket of a refunded order is on sale again."""
    refunded_amount: MinorUnitsFromZero = 0
    """How much of the price the buyer got back, in minor units."""
    dispute: DisputeStatus | None = None
    """The state of the dispute, if the buyer disputed the payment."""
    delivery: DeliveryState | None = None
    """How far the delivery is. None until the order is paid, unless sealed files are stored already."""
    deliver_by: Moment | None = None
    """When the delivery has to be done: a promised one by a deadline, any other until the event starts. None
    before the payment, or without a date."""
    delivered_at: Moment | None = None
    """When the buyer could read the files, or the seller marked the handover. None before."""
    confirmed_at: Moment | None = None
    """When the delivery was confirmed, by the buyer or by timeout. None before."""
    overdue_at: Moment | None = None
    """The deadline that passed without a delivery, if it did."""
    reminded_at: Moment | None = None
    """When half of the time to upload promised files was over, if it was."""
    problem: ProblemState | None = None
    """How far the buyer's report of a problem is. None if nothing was reported."""
    problem_kind: ProblemKind | None = None
    """What the buyer reported. The texts of both sides stay in orders."""
    problem_at: Moment | None = None
    """When the problem was reported."""
    problem_answer_by: Moment | None = None
    """Until when the seller may answer."""
    problem_answered_at: Moment | None = None
    """When the seller answered. None before."""
    problem_decided_at: Moment | None = None
    """When an operator decided, or the order was refunded for another reason. None before."""
    refund_due: MinorUnitsFromZero = 0
    """How much of the price the buyer gets back altogether by an operator's decision, in minor units."""
    date_changes: Version = 0
    """The number of the newest known change of the ticket's date."""
    date_changed_at: Moment | None = None
    """When the order took over another date. None if it never did."""
    former_starts_at: Moment | None = None
    """The start at the time of the reservation, if it has changed since."""
    latest_starts_at: Moment | None = None
    """The latest start that the buyer was ever told, if it has changed. The times to report a problem and to
    pay the seller count from it."""
    expires_at: Moment
    """When the time to pay ends."""
    hold: Count
    """The hold number. It counts the orders of a ticket from 1, which orders them without clocks."""
    code: str | None = None
    """The order number, which only the buyer and the seller may see. None for an order without one."""
    ticket: OrderedTicket
    """The ticket as it was at the time of the reservation."""

    @property
    def about(self) -> str:
        return self.id


class OrderCreated(OrderEvent):
    """A buyer holds the ticket until `expires_at`."""

    subject: ClassVar[str] = "order.created"


class OrderUpdated(OrderEvent):
    """The order was paid, extended, delivered or refunded, or a problem was reported, answered or decided."""

    subject: ClassVar[str] = "order.updated"


class OrderCancelled(OrderEvent):
    """The buyer or an operator cancelled the order, its time to pay ended, or tickets refused the hold."""

    subject: ClassVar[str] = "order.cancelled"


class PaymentEvent(Event):
    """The public state of an order's only payment."""

    id: Id
    """The payment's id."""
    version: Version
    """Counts the changes of the payment."""
    order_id: Id
    """The order that is paid."""
    status: PaymentStatus
    """`pending` is published before Stripe is asked, so that orders waits for the outcome."""
    amount: MinorUnits
    """The amount in minor units, such as cents."""
    currency: str
    """The ISO 4217 code of the currency in lower case."""
    bank_check: bool = False
    """Whether the payment waits for the bank: it asks the buyer for a confirmation (3-D Secure), or takes its
    time to approve."""
    relist: bool = False
    """Whether the ticket of a refunded payment goes on sale again."""
    refunded_amount: MinorUnitsFromZero = 0
    """How much of the amount the buyer got back, in minor units."""
    lost_amount: MinorUnitsFromZero = 0
    """How much of the refunded amount the buyer's bank returned in lost disputes."""
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


class PayoutEvent(Event):
    """The public state of what a seller gets for one sale. Amounts are in minor units, such as cents."""

    id: Id
    """The order's id. Each order has at most one sale."""
    version: Version
    """Counts the changes of the sale."""
    seller_id: Id
    """The seller's id."""
    title: str = ""
    """The title of the ticket."""
    code: str | None = None
    """The order number, which only the buyer and the seller may see. None for a sale without one."""
    ticket_id: Id | None = None
    """The ticket's id. None for a sale that was made before payouts kept it, like the next three."""
    seat: str | None = None
    """The seat or the area."""
    starts_at: Moment | None = None
    """When the event starts."""
    time_zone: str | None = None
    """The time zone of the event."""
    state: PayoutState
    """Where the money is."""
    amount: MinorUnits
    """What the buyer paid."""
    fee: MinorUnitsFromZero = 0
    """What the platform keeps of its fee."""
    refunded_amount: MinorUnitsFromZero = 0
    """What the buyer got back."""
    net: MinorUnitsFromZero
    """What the seller gets altogether, after fees and refunds."""
    paid_out: MinorUnitsFromZero = 0
    """What was transferred to the seller and not reversed."""
    owed: MinorUnitsFromZero = 0
    """What the seller owes, because the buyer got money back after the transfer."""
    currency: str
    """The ISO 4217 code of the currency in lower case."""
    due_at: Moment | None = None
    """When the money is due. None if that isn't known yet."""
    paid_at: Moment | None = None
    """When the money was transferred first. None before."""
    needs_account: bool = False
    """Whether the money is due, but the seller has no account that may receive it."""
    reminders: int = 0
    """How often the seller was reminded of that."""
    reminded_at: Moment | None = None
    """When the seller was reminded last."""

    @property
    def about(self) -> str:
        return self.id


class PayoutCreated(PayoutEvent):
    """A payment was captured, and the platform holds the money for the seller."""

    subject: ClassVar[str] = "payout.created"


class PayoutUpdated(PayoutEvent):
    """The money became due, was paid, frozen or reversed, or its amount or date changed."""

    subject: ClassVar[str] = "payout.updated"


class AlertedTicket(TicketSummary):
    """The ticket as it was when the user was told of it."""

    face_value: Price | None = None
    """The original price of all tickets of the listing together, if the seller stated it."""


class AlertMatched(Event):
    """A ticket on sale is one that a user has asked to be told of. It happens once per user and ticket."""

    subject: ClassVar[str] = "alert.matched"

    id: Id
    """The match's id."""
    user_id: Id
    """Who asked."""
    matched_at: Moment
    """When it was this user's turn."""
    ticket: AlertedTicket
    """The ticket as it was then."""

    @property
    def about(self) -> str:
        return self.id


class ExpirationComplete(Event):
    """The time to pay or to deliver ended at `expires_at`, and a few seconds of grace have passed."""

    subject: ClassVar[str] = "expiration.complete"

    order_id: Id
    """The order's id."""
    expires_at: Moment
    """The deadline that has passed."""

    @property
    def about(self) -> str:
        return self.order_id


class UserEvent(Event):
    """The public state of an account. Its address stays in auth."""

    id: Id
    """The user's id."""
    version: Version
    """Counts the changes of the account."""
    name: str | None = None
    """The name that others see. None if the user has chosen none."""
    confirmed: bool = False
    """Whether the user has proved to receive mail at the account's address."""
    suspended: bool = False
    """Whether an operator has suspended the account."""
    deleted: bool = False
    """Whether the account was deleted. Services forget what they needn't keep about the user."""
    password_changed_at: Moment | None = None
    """When the password was last changed or reset."""
    email_changed_at: Moment | None = None
    """When the address was last changed."""
    passkeys_changed_at: Moment | None = None
    """When a passkey was last added or removed."""
    trader: bool | None = None
    """Whether the user sells as a trader, as stated by the user. None if the user has said neither."""

    @property
    def about(self) -> str:
        return self.id


class UserCreated(UserEvent):
    """Somebody signed up."""

    subject: ClassVar[str] = "user.created"


class UserUpdated(UserEvent):
    """An account changed, was suspended or was deleted."""

    subject: ClassVar[str] = "user.updated"


class LinkEvent(Event):
    """The state of a one-time link. The link itself and the address that receives it stay in auth."""

    id: Id
    """The link's id. It isn't a secret: nobody can derive the link from it."""
    version: Version
    """Counts the changes of the link."""
    user_id: Id
    """The account that the link is for."""
    kind: LinkKind
    """What the link does."""
    expires_at: Moment
    """When the link stops working."""
    used_at: Moment | None = None
    """When the link was used. It works once."""

    @property
    def about(self) -> str:
        return self.id


class LinkCreated(LinkEvent):
    """A link has to be mailed."""

    subject: ClassVar[str] = "link.created"


class LinkUpdated(LinkEvent):
    """A link was used, or replaced by a newer one."""

    subject: ClassVar[str] = "link.updated"


class SessionStarted(Event):
    """A session started on a device on which the user hadn't signed in before."""

    subject: ClassVar[str] = "session.started"

    session_id: Id
    """The session's id."""
    user_id: Id
    """Who signed in."""
    started_at: Moment
    """When the session started."""
    device: str | None = None
    """The browser and the operating system, such as `Firefox on Linux`. None if they aren't known."""

    @property
    def about(self) -> str:
        return self.session_id


class SessionEnded(Event):
    """A session ended: no service accepts its tokens any more."""

    subject: ClassVar[str] = "session.ended"

    session_id: Id
    """The session's id, which its tokens contain."""
    ended_at: Moment
    """When the session ended."""

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
    PayoutCreated,
    PayoutUpdated,
    AlertMatched,
    ExpirationComplete,
    UserCreated,
    UserUpdated,
    LinkCreated,
    LinkUpdated,
    SessionStarted,
    SessionEnded,
)
