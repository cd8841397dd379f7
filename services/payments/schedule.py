"""When to look at a payment next. Pure functions of the payment, its order and the time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.events import LIVE_STATUSES, PaymentStatus
from services.payments.rules import Payable, PaymentState

OPEN_STATUSES: Sequence[PaymentStatus] = ("pending", "failed", "authorized", "refunding")
"""Statuses of payments that aren't final. Final payments are never looked at."""

BEFORE_DEADLINE = timedelta(seconds=30)
"""How long before the order's deadline a payment is looked at, in case the buyer's webhook was lost."""

AFTER_DEADLINE = timedelta(seconds=10)
"""How long after a deadline a payment is looked at. The event that ends the order usually comes first."""


@dataclass(frozen=True)
class Pace:
    """A back-off: the older the payment, the longer the time to its next look."""

    first: int
    """The shortest time between two looks, in multiples of the interval."""
    share: float
    """The time to the next look as a share of the payment's age."""
    longest: timedelta


UNKNOWN = Pace(first=1, share=0.5, longest=timedelta(minutes=5))
"""For payments with an unknown outcome or a step to take, and for bank checks."""
REFUND = Pace(first=1, share=0.5, longest=timedelta(hours=1))
"""For requested refunds, which a bank may take days to carry out."""
WAITING = Pace(first=4, share=1.0, longest=timedelta(hours=1))
"""For payments that wait for the buyer or for the order. An event or a webhook usually ends the wait."""


@dataclass(frozen=True)
class Schedule:
    """Decides when open payments are looked at.

    Args:
        interval: the shortest time between two looks at the same payment.
        pay_after_start: whether Stripe's page stays open after the event has begun.
    """

    interval: timedelta = timedelta(seconds=30)
    pay_after_start: bool = True

    def next_look(
        self, order: Payable, payment: PaymentState, now: datetime, *, began_at: datetime
    ) -> datetime:
        """When to look at an open payment again after a look that ends now.

        Args:
            began_at: the beginning of the current attempt, from which the payment's age counts.
        """
        pace = pace_of(order, payment)
        if payment.status == "refunding" and payment.refund_requested_at is not None:
            began_at = payment.refund_requested_at
        delay = min(max((now - began_at) * pace.share, self.interval * pace.first), pace.longest)
        moments = [moment for moment in self._moments(order, payment) if moment > now]
        return min([now + delay, *moments])

    def _moments(self, order: Payable, payment: PaymentState) -> Iterator[datetime]:
        """The times at which the payment's next step may change without an event."""
        if payment.status != "pending":
            return
        if order.status in LIVE_STATUSES:
            yield order.expires_at - BEFORE_DEADLINE
            yield order.expires_at + AFTER_DEADLINE
            if not self.pay_after_start and order.starts_at is not None:
                yield order.starts_at
        if payment.page_expires_at is not None:
            yield payment.page_expires_at + AFTER_DEADLINE


def pace_of(order: Payable, payment: PaymentState) -> Pace:
    """How soon this open payment has to be looked at."""
    if payment.status == "refunding":
        return REFUND
    if order.is_over:
        return UNKNOWN
    is_on_page = payment.session_id is not None and not payment.bank_check
    match payment.status:
        case "failed":
            return WAITING
        case "authorized":
            return UNKNOWN if order.status == "complete" else WAITING
        case _:
            return WAITING if is_on_page else UNKNOWN
