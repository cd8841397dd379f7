"""Rules of payouts: what a seller gets for a sale, when, and what changes that.

Every function is pure: it takes values and the current time, and returns the changes or raises an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from pydantic import BaseModel, ConfigDict

from contracts.events import (
    OPEN_PROBLEMS,
    DeliveryState,
    DisputeStatus,
    OrderStatus,
    PaymentStatus,
    PayoutState,
    ProblemState,
)
from contracts.guarantees import PAYOUT_WITHOUT_DATE, PROBLEM_WITHOUT_DELIVERY
from contracts.wire import Moment
from kit.changes import Changes
from kit.errors import Conflict
from services.payouts.ledger import Amounts, Posting, posting

CAPTURED: Sequence[PaymentStatus] = ("captured", "refunding", "refunded")
"""Statuses of payments whose money the platform has got."""

REPORT_ARRIVES = timedelta(hours=1)
"""How long the report of a problem may be on its way here, such as while NATS is down.

With a date, the money is due a day after the last report. Without one, both have the same number of days.
"""

REMIND_EVERY = timedelta(days=7)
"""How often a seller who can't be paid yet is reminded."""

MAX_REMINDERS = 8
"""How often at most, for each sale."""


TOLD_APART_BY = ("code", "ticket_id", "seat", "event_starts_at", "time_zone")
"""What sellers tell their sales apart by. A sale takes it over from its order as it is."""


class NothingOwed(Conflict):
    message = "The seller owes nothing for this order"


class DebtChanged(Conflict):
    message = "What the seller owes has changed. Look at it again"


class OrderFacts(BaseModel):
    """The fields of an order that decide what its seller gets."""

    status: OrderStatus
    seller_id: str | None = None
    title: str = ""
    code: str | None = None
    """The order number. This and what follows tells a seller's sales apart, and None is unknown."""
    ticket_id: str | None = None
    seat: str | None = None
    event_starts_at: Moment | None = None
    time_zone: str | None = None
    starts_at: Moment | None = None
    """The latest start that the buyer was ever told."""
    paid_at: Moment | None = None
    delivered_at: Moment | None = None
    delivery: DeliveryState | None = None
    """How far the delivery is. None if the order is older than that."""
    problem: ProblemState | None = None
    refund_due: int = 0
    """How much the buyer gets back altogether by an operator's decision."""
    fee_basis_points: int = 0
    """The platform's fee at the time of the order, in hundredths of a percent."""


class PaymentFacts(BaseModel):
    """The fields of a payment that decide what the seller gets."""

    payment_id: str
    status: PaymentStatus
    amount: int
    currency: str
    refunded_amount: int = 0
    """What the buyer got back, with lost disputes."""
    lost_amount: int = 0
    """How much of it the bank returned in lost disputes."""
    dispute: DisputeStatus | None = None
    intent_id: str | None = None

    @property
    def was_captured(self) -> bool:
        return self.status in CAPTURED


class Transfer(BaseModel):
    """A transfer that Stripe has made."""

    model_config = ConfigDict(frozen=True)

    id: str
    amount: int
    """How much of the sale it pays, in the sale's currency."""
    reversed: int = 0
    """How much of that was reversed."""
    sent: int
    """The amount in `sent_currency`, the settlement currency of the charge."""
    sent_currency: str


class Offset(BaseModel):
    """A part of a sale that settles a debt of its seller from another order."""

    model_config = ConfigDict(frozen=True)

    order_id: str
    """The order that the debt is from, or the one that settles it."""
    amount: int


class PlannedTransfer(BaseModel):
    """A transfer that is about to be requested. It is stored first, so that a repetition equals it."""

    model_config = ConfigDict(frozen=True)

    number: int
    """A part of the idempotency key. It counts the plans of a sale from 1."""
    amount: int
    destination: str
    """The seller's account at Stripe."""
    charge: str
    sent: int
    sent_currency: str
    planned_at: Moment


class SaleState(BaseModel):
    """The fields of a sale that rules need. Amounts are in minor units of `currency`."""

    seller_id: str
    payment_id: str
    title: str = ""
    code: str | None = None
    """The order number. This and what follows tells a seller's sales apart, and None is unknown."""
    ticket_id: str | None = None
    seat: str | None = None
    event_starts_at: Moment | None = None
    time_zone: str | None = None
    currency: str
    gross: int
    fee: int
    """The platform's fee if nothing is refunded."""
    starts_at: Moment | None = None
    state: PayoutState = "held"
    due_at: Moment | None = None
    """When the money is due. None if that isn't known yet."""
    paid_at: Moment | None = None
    frozen_at: Moment | None = None
    """Since when the money is frozen. None if it isn't."""
    refunded: int = 0
    lost: int = 0
    dispute: DisputeStatus | None = None
    returning: bool = False
    """Whether the buyer is to get everything back, although the refund hasn't succeeded yet."""
    problem: ProblemState | None = None
    """How far the buyer's report of a problem is."""
    refund_due: int = 0
    """How much the buyer gets back altogether by an operator's decision."""
    intent_id: str | None = None
    transfers: list[Transfer] = []
    planned: PlannedTransfer | None = None
    plans: int = 0
    """How many transfers were planned. Plans that Stripe has refused count."""
    offsets: list[Offset] = []
    """Debts from other orders that this sale settles."""
    settled_by: list[Offset] = []
    """Sales that settle the debt from this order."""
    written_off: int = 0
    needs_account: bool = False
    """Whether the money is due, and the seller has no account that may receive it."""
    reminders: int = 0
    reminded_at: Moment | None = None

    @property
    def returned(self) -> int:
        """What the buyer got back."""
        return self.refunded + self.lost

    @property
    def is_frozen(self) -> bool:
        """Whether nothing may be transferred until a dispute, a reported problem or a refund is settled."""
        is_open = self.dispute == "open" or self.problem in OPEN_PROBLEMS
        return is_open or self.returning or min(self.refund_due, self.gross) > self.returned

    @property
    def kept_fee(self) -> int:
        """What the platform keeps of its fee: none of what was returned to the buyer, rounded down."""
        left = max(self.gross - self.returned, 0)
        return self.fee * left // self.gross

    @property
    def net(self) -> int:
        """What the seller gets for this sale altogether."""
        return self.gross - self.returned - self.kept_fee

    @property
    def paid_out(self) -> int:
        return sum(transfer.amount - transfer.reversed for transfer in self.transfers)

    @property
    def _position(self) -> int:
        """What the platform owes to the seller. Below zero, the seller owes it to the platform, or did so
        before that was written off."""
        offset = sum(each.amount for each in self.offsets)
        settled = sum(each.amount for each in self.settled_by)
        return self.net - self.paid_out - offset + settled

    @property
    def forgiven(self) -> int:
        """How much of a debt is written off. If a refund fails later, the debt and this shrink together: the
        seller has that money already."""
        return min(self.written_off, max(-self._position, 0))

    @property
    def held(self) -> int:
        """What isn't transferred yet."""
        return max(self._position, 0)

    @property
    def owed(self) -> int:
        """What the seller owes."""
        return max(-self._position, 0) - self.forgiven

    @property
    def reversible(self) -> int:
        """How much a reversal of the transfers can return of what the seller owes."""
        return min(self.owed, self.paid_out)

    @property
    def accounts(self) -> Amounts:
        """What the sale contributes to the balances.

        Without offsets, both sides are equal. A debt that another sale settles moves to that sale.
        """
        return Amounts(
            received=self.gross,
            owed=self.owed,
            written_off=self.forgiven,
            held=self.held,
            paid_out=self.paid_out,
            fees=self.kept_fee,
            refunded=self.refunded,
            lost=self.lost,
        )


def due_time(order: OrderFacts, payout_delay: timedelta) -> datetime | None:
    """When the money of a paid order is due: after the event's start, or after the delivery without a date.

    The time to report a problem has always ended before. None if the order has no date, and isn't known to be
    paid or still waits for its delivery: the seller can mark it at any time.
    """
    if order.starts_at is not None:
        # Somebody may buy or get a ticket after the start. That buyer may report a problem as long as others.
        begins = [order.starts_at, order.paid_at, order.delivered_at]
        return max(moment for moment in begins if moment is not None) + payout_delay
    if order.delivery == "due":
        return None
    if order.delivered_at is not None:
        return order.delivered_at + PAYOUT_WITHOUT_DATE + REPORT_ARRIVES
    # An order from before there were deliveries: its buyer may report for longer that nothing came.
    return order.paid_at + PROBLEM_WITHOUT_DELIVERY + REPORT_ARRIVES if order.paid_at is not None else None


def fee_of(amount: int, basis_points: int) -> int:
    """The platform's fee in minor units, rounded half up."""
    return int((Decimal(amount) * basis_points / 10_000).quantize(Decimal(1), ROUND_HALF_UP))


def basis_points(percent: Decimal) -> int:
    return int(percent * 100)


def new_sale(order: OrderFacts, payment: PaymentFacts, payout_delay: timedelta, now: datetime) -> SaleState:
    """The sale of an order whose payment was captured, with everything that is known of it."""
    assert order.seller_id is not None, "a sale has a seller"
    sale = SaleState(
        seller_id=order.seller_id,
        payment_id=payment.payment_id,
        title=order.title,
        currency=payment.currency,
        gross=payment.amount,
        fee=fee_of(payment.amount, order.fee_basis_points),
    )
    return sale.model_copy(update=dict(_facts(sale, order, payment, payout_delay, now)))


def facts(
    sale: SaleState, order: OrderFacts, payment: PaymentFacts, payout_delay: timedelta, now: datetime
) -> Changes | None:
    """The changes that follow from the newest state of the order and the payment. None if nothing changes."""
    changes = _facts(sale, order, payment, payout_delay, now)
    return None if all(getattr(sale, name) == value for name, value in changes.items()) else changes


def _facts(
    sale: SaleState, order: OrderFacts, payment: PaymentFacts, payout_delay: timedelta, now: datetime
) -> Changes:
    learned = {
        "due_at": due_time(order, payout_delay),
        "starts_at": order.starts_at,
        "title": order.title,
        **{name: getattr(order, name) for name in TOLD_APART_BY},
        "refunded": payment.refunded_amount - payment.lost_amount,
        "lost": payment.lost_amount,
        "dispute": payment.dispute,
        "returning": _is_returning(order, payment),
        "problem": order.problem,
        "refund_due": order.refund_due,
        "intent_id": payment.intent_id or sale.intent_id,
    }
    return with_state(sale, learned, now)


def _is_returning(order: OrderFacts, payment: PaymentFacts) -> bool:
    """Whether the buyer is to get everything back. A refund may take days, and may need an operator."""
    is_over = order.status == "cancelled" or order.delivery == "failed"
    return payment.status == "refunding" or (is_over and payment.status != "refunded")


def with_state(sale: SaleState, changes: Changes, now: datetime) -> Changes:
    """The changes with the state that follows from them."""
    changed = sale.model_copy(update=dict(changes))
    state = state_of(changed, now)
    # The first complete payment counts. A transfer after a failed refund doesn't change when it was made.
    paid_at = sale.paid_at or (now if state == "paid" else None)
    frozen_at = (sale.frozen_at or now) if state == "frozen" else None
    needs_account = changed.needs_account and state == "due"
    decided = {"state": state, "paid_at": paid_at, "frozen_at": frozen_at, "needs_account": needs_account}
    return {**changes, **decided}


def state_of(sale: SaleState, now: datetime) -> PayoutState:
    """The state that follows from what is known at this time.

    A sale that was paid stays paid while its buyer disputes the payment or has reported a problem: nothing is
    left to freeze. It becomes `reversed` if the buyer gets everything back.
    """
    if sale.net <= 0:
        return "reversed"
    if sale.held <= 0:
        return "paid"
    if sale.is_frozen:
        return "frozen"
    return "due" if sale.due_at is not None and sale.due_at <= now else "held"


def may_transfer(sale: SaleState, now: datetime) -> bool:
    """Whether what is held may be transferred now."""
    return state_of(sale, now) == "due"


@dataclass(frozen=True)
class Debt:
    """What a seller owes for an order."""

    order_id: str
    amount: int


def offsets(sale: SaleState, debts: Sequence[Debt]) -> list[Offset]:
    """Which debts of its seller the sale settles before it is paid, oldest first."""
    left, found = sale.held, []
    for debt in debts:
        amount = min(left, debt.amount)
        if amount > 0:
            found.append(Offset(order_id=debt.order_id, amount=amount))
            left -= amount
    return found


def settle(debtor: SaleState, by: str, amount: int, now: datetime) -> Changes | None:
    """Let another sale pay the debt from this order, as far as it is still owed. None if it does already."""
    amount = min(amount, debtor.owed)
    if amount <= 0 or any(each.order_id == by for each in debtor.settled_by):
        return None
    settled = [*debtor.settled_by, Offset(order_id=by, amount=amount)]
    return with_state(debtor, {"settled_by": settled}, now)


def offset(sale: SaleState, settled: Sequence[Offset], now: datetime) -> Changes | None:
    """Record which debts the sale has settled. None if that is known already."""
    known = {each.order_id for each in sale.offsets}
    added = [each for each in settled if each.order_id not in known]
    return with_state(sale, {"offsets": [*sale.offsets, *added]}, now) if added else None


def write_off(sale: SaleState, now: datetime, seen: int | None = None) -> Changes | None:
    """Give up what the seller owes for this order. A repeated call changes nothing.

    Args:
        seen: the debt that the operator has read, if known. Only that is given up, because a sale may have
            settled a part meanwhile, or another refund may have made it larger.

    Raises:
        NothingOwed, DebtChanged
    """
    if sale.owed == 0:
        if sale.written_off:
            return None
        raise NothingOwed
    if seen is not None and seen != sale.owed:
        raise DebtChanged
    return with_state(sale, {"written_off": sale.written_off + sale.owed}, now)


def transferred(sale: SaleState, transfer: Transfer, now: datetime) -> Changes | None:
    """Record a transfer. None if it is known already."""
    if any(known.id == transfer.id for known in sale.transfers):
        return None
    return with_state(sale, {"transfers": [*sale.transfers, transfer], "planned": None}, now)


def reversed_to(sale: SaleState, transfer_id: str, sent_back: int, now: datetime) -> Changes | None:
    """Record how much of a transfer was reversed altogether, in the currency of the transfer.

    The amount never shrinks, so an outdated read changes nothing.
    """
    known = next((each for each in sale.transfers if each.id == transfer_id), None)
    if known is None:
        return None
    amount = known.amount if sent_back >= known.sent else known.amount * sent_back // known.sent
    if amount <= known.reversed:
        return None
    changed = known.model_copy(update={"reversed": amount})
    transfers = [changed if each.id == transfer_id else each for each in sale.transfers]
    return with_state(sale, {"transfers": transfers}, now)


def to_send_back(transfer: Transfer, amount: int) -> int:
    """How much of a transfer to reverse, in its currency, so that `amount` of the sale comes back.

    It is rounded up, so that `reversed_to` records at least `amount`.
    """
    left = transfer.sent - transfer.reversed * transfer.sent // transfer.amount
    return min(-(-amount * transfer.sent // transfer.amount), left)


def waits_for_account(sale: SaleState, now: datetime) -> Changes | None:
    """Remind the seller that money is due, and that an account has to be set up. None after the last time."""
    if sale.reminders >= MAX_REMINDERS:
        return None
    reminder = {"reminders": sale.reminders + 1, "reminded_at": now}
    return {**with_state(sale, {"needs_account": True}, now), **reminder}


def entry(before: SaleState | None, after: SaleState, order_id: str, version: int) -> Posting | None:
    """The ledger's entry about a change of a sale. None if no account changes.

    A debt that another sale settles is one entry, which the debtor's change makes: the other sale holds less,
    and this seller owes less. So the change of the other sale, which records that, has no part in it.
    """
    change = after.accounts - (before.accounts if before is not None else Amounts())
    paid_by_others = _sum(after.settled_by) - (_sum(before.settled_by) if before else 0)
    paid_for_others = _sum(after.offsets) - (_sum(before.offsets) if before else 0)
    change = change + Amounts(held=paid_for_others - paid_by_others)
    return posting(_key(before, after, order_id, version), change)


def _key(before: SaleState | None, after: SaleState, order_id: str, version: int) -> str:
    """The cause of a change. The version makes causes different that may happen repeatedly."""
    if before is None:
        return f"capture:{after.payment_id}"
    known = {transfer.id for transfer in before.transfers}
    for transfer in after.transfers:
        if transfer.id not in known:
            return f"transfer:{transfer.id}"
    causes: Mapping[str, bool] = {
        "settle": after.settled_by != before.settled_by,
        "offset": after.offsets != before.offsets,
        "reversal": after.transfers != before.transfers,
        "write-off": after.written_off != before.written_off,
        "dispute": after.lost != before.lost,
    }
    cause = next((name for name, is_cause in causes.items() if is_cause), "refund")
    subject = after.payment_id if cause in ("refund", "dispute") else order_id
    return f"{cause}:{subject}:{version}"


def _sum(parts: Sequence[Offset]) -> int:
    return sum(part.amount for part in parts)
