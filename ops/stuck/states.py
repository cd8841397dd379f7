"""The states that have to end within some time, and what is found in one for too long."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice


@dataclass(frozen=True)
class State:
    """A state that has to end within some time."""

    name: str
    longest: timedelta
    """How long it may last."""
    what: str
    since: str
    """What the time counts from."""
    awaited: str
    """The component that ends the state, as a rule."""


ORDER_UNPAID = State(
    "order-unpaid",
    timedelta(minutes=1),
    "An unpaid order is past its deadline",
    "the end of the time for which the order is kept",
    "expiration, orders",
)
ORDER_UNCONFIRMED = State(
    "order-unconfirmed",
    timedelta(minutes=1),
    "Tickets hasn't confirmed the hold of an unpaid order",
    "the reservation",
    "tickets",
)
PAYMENT_UNDECIDED = State(
    "payment-undecided",
    timedelta(minutes=2),
    "A payment is authorized, and its order isn't decided",
    "the authorization",
    "orders",
)
PAYMENT_UNCAPTURED = State(
    "payment-uncaptured",
    timedelta(minutes=2),
    "An order is complete, and its payment isn't captured",
    "the authorization",
    "payments",
)
PAYMENT_UNRELEASED = State(
    "payment-unreleased",
    timedelta(minutes=2),
    "An order has ended, and its payment is still authorized",
    "the authorization",
    "payments",
)
PAYMENT_OVERDUE = State(
    "payment-overdue",
    timedelta(minutes=5),
    "An open payment wasn't looked at when it was due",
    "the time of the look",
    "payments",
)
REFUND_PENDING = State(
    "refund-pending",
    timedelta(hours=1),
    "A refund isn't complete",
    "the request of the refund",
    "Stripe",
)
REFUND_FAILED = State("refund-failed", timedelta(), "A refund has failed", "the request", "an operator")
WEBHOOK_UNPROCESSED = State(
    "webhook-unprocessed",
    timedelta(minutes=10),
    "A webhook of Stripe isn't processed",
    "its arrival",
    "payments, payouts",
)
REFUND_ORDERED = State(
    "refund-ordered",
    timedelta(hours=1),
    "An operator ordered a refund because of a problem, and it isn't made",
    "the decision",
    "payments",
)
PROBLEM_UNDECIDED = State(
    "problem-undecided",
    timedelta(days=4),
    "Nobody has decided on a reported problem",
    "the report",
    "an operator",
)
PAYOUT_OVERDUE = State(
    "payout-overdue",
    timedelta(minutes=10),
    "A sale wasn't looked at when it was due",
    "the time of the look",
    "payouts",
)
PAYOUT_FROZEN = State(
    "payout-frozen",
    timedelta(days=7),
    "The money of a sale is frozen, and its buyer doesn't dispute the payment",
    "the freeze",
    "an operator",
)
DISPUTE_OPEN = State(
    "dispute-open",
    timedelta(days=120),
    "The money of a sale is frozen, because the bank hasn't decided on a dispute",
    "the freeze",
    "Stripe",
)
TICKET_HELD = State(
    "ticket-held",
    timedelta(minutes=1),
    "A ticket is reserved without an unpaid order",
    "the last change of the ticket",
    "tickets",
)
TICKET_SOLD = State(
    "ticket-sold",
    timedelta(minutes=1),
    "A ticket that was sold within a day has no complete order",
    "the sale",
    "orders",
)
MESSAGE_UNSENT = State(
    "message-unsent",
    timedelta(minutes=15),
    "An email isn't sent",
    "the event that it tells of",
    "mail, the mail server",
)
EVENT_UNPUBLISHED = State(
    "event-unpublished",
    timedelta(minutes=1),
    "An event is in an outbox",
    "the change that it tells of",
    "its publisher",
)
EVENT_UNHANDLED = State(
    "event-unhandled",
    timedelta(minutes=1),
    "A consumer hasn't handled an event",
    "the publication",
    "the consumer's service",
)
DEAD_LETTER = State(
    "dead-letter", timedelta(), "A message couldn't be handled", "its last attempt", "an operator"
)

STATES = (
    ORDER_UNPAID,
    ORDER_UNCONFIRMED,
    PAYMENT_UNDECIDED,
    PAYMENT_UNCAPTURED,
    PAYMENT_UNRELEASED,
    PAYMENT_OVERDUE,
    REFUND_PENDING,
    REFUND_FAILED,
    WEBHOOK_UNPROCESSED,
    REFUND_ORDERED,
    PROBLEM_UNDECIDED,
    PAYOUT_OVERDUE,
    PAYOUT_FROZEN,
    DISPUTE_OPEN,
    TICKET_HELD,
    TICKET_SOLD,
    MESSAGE_UNSENT,
    EVENT_UNPUBLISHED,
    EVENT_UNHANDLED,
    DEAD_LETTER,
)
"""All states. docs/operations.md shows this table, and a test compares both."""


@dataclass(frozen=True)
class Finding:
    """A state that lasts too long."""

    state: State
    about: str
    """What is in the state, such as `order 65f0…`."""
    since: datetime
    reason: str
    awaited: str

    @property
    def key(self) -> tuple[str, str]:
        return self.state.name, self.about

    def line(self, moment: datetime) -> str:
        return (
            f"{self.state.name:20} {lasted(moment - self.since):>9}  {self.about}: {self.reason};"
            f" awaited: {self.awaited}"
        )


def lasted(time: timedelta) -> str:
    """A duration in its two largest units, such as 2 d 3 h or 5 min 1 s."""
    seconds = max(0, int(time.total_seconds()))
    units = (("d", seconds // 86_400), ("h", seconds // 3600 % 24), ("min", seconds // 60 % 60))
    parts = [f"{number} {unit}" for unit, number in (*units, ("s", seconds % 60)) if number]
    return " ".join(islice(parts, 2)) or "0 s"
