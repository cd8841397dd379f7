"""Rules that find differences and pending work in the records of an order's money. All functions are pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.events import LIVE_STATUSES, OrderStatus, PaymentStatus
from ops.audit import payouts
from ops.audit.accounts import Account, OrderEntry, PaymentEntry, money

GRACE = timedelta(minutes=2)
"""A payment may still be settled this long after the deadline of its order."""
REFUND_GRACE = timedelta(hours=1)
"""A requested refund may be under way for this long."""

CHARGEABLE = ("requires_confirmation", "requires_action", "processing")
"""Statuses of intents that may become authorized without another request."""


@dataclass(frozen=True)
class Finding:
    """The result of auditing an account."""

    account: Account
    differences: tuple[str, ...] = ()
    under_way: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def audit(account: Account, at: datetime, *, settled: bool = False) -> Finding:
    """Find differences and pending work in an account.

    Args:
        at: the time of the comparison.
        settled: report pending work as a difference. Use it when all work should have ended.
    """
    wrong = [*_missing_and_duplicates(account), *_amounts(account), *_order_and_money(account)]
    wrong += [*_disputes(account), *_books(account)]
    for payment in account.payments:
        wrong += [*_payment_and_order(account, payment), *_payment_and_money(account, payment)]
    pending = list(_under_way(account))
    if settled:
        wrong += [f"still under way: {what}" for what, _ in pending]
        pending = []
    wrong += [f"under way for too long: {what}" for what, until in pending if until < at]
    under_way = tuple(what for what, until in pending if until >= at)
    return Finding(account, tuple(dict.fromkeys(wrong)), under_way, tuple(_notes(account)))


def _missing_and_duplicates(account: Account) -> Iterator[str]:
    """Find entries without their order or payment, and more entries than an order may have."""
    if account.order is None:
        if account.payments:
            yield "payments has a payment of an order that doesn't exist"
        for intent in account.intents:
            yield f"{intent.intent_id} belongs to an order that doesn't exist"
    elif account.intents and not account.payments:
        yield "Stripe has an intent of an order without a payment"
    if len(account.payments) > 1:
        yield f"the order has {len(account.payments)} payments"
    if len(account.approved) > 1:
        names = ", ".join(intent.intent_id for intent in account.approved)
        yield f"banks approved more than one intent of the order: {names}"
    alive = [intent for intent in account.intents if intent.status != "canceled"]
    if len(alive) > 1:
        yield f"the order has {len(alive)} intents that aren't cancelled"
    known = {payment.intent_id for payment in account.payments}
    for intent in account.approved:
        if account.payments and intent.intent_id not in known and known != {None}:
            yield f"{intent.intent_id} was approved, but isn't the payment's intent"


def _amounts(account: Account) -> Iterator[str]:
    """Compare the amounts and currencies of all entries."""
    for payment in account.payments:
        if account.order is not None and payment.amount != account.order.price:
            yield (
                f"the payment's amount is {money(payment.amount)},"
                f" but the order's price is {money(account.order.price)}"
            )
        for intent in account.intents:
            if intent.currency != payment.currency:
                yield f"the intent's currency is {intent.currency}, but the payment's is {payment.currency}"
            for what, amount in (("holds", intent.authorized), ("captured", intent.captured)):
                if amount not in (0, payment.amount):
                    yield f"Stripe {what} {money(amount)} for a payment of {money(payment.amount)}"
    for intent in account.intents:
        if intent.refunded > intent.captured:
            yield f"Stripe refunded {money(intent.refunded)}, but captured only {money(intent.captured)}"


def _order_and_money(account: Account) -> Iterator[str]:
    """Compare Stripe with orders."""
    order, kept = account.order, account.captured - account.refunded
    if order is None:
        return
    match order.status:
        case status if status in LIVE_STATUSES:
            if account.captured:
                yield f"Stripe captured money, but the order is {order.status}"
        case "complete":
            if not account.captured and not account.authorized:
                yield "the order is complete, but nothing was captured"
        case "cancelled":
            if kept > 0:
                yield f"the order is cancelled, but {money(kept)} was captured and not refunded"
        case "refunded":
            if not account.captured:
                yield "the order is refunded, but nothing was ever captured"
            elif kept > 0:
                yield f"the order is refunded, but {money(kept)} was captured and not refunded"
            if account.authorized:
                yield "the order is refunded, but an authorization is open"
    if order.status in ("cancelled", "refunded"):
        for intent in account.intents:
            if intent.status in CHARGEABLE:
                yield f"the order is {order.status}, but {intent.intent_id} is {intent.status}"
    if account.captured and account.authorized:
        yield "Stripe captured money, but another authorization is open"


def _payment_and_order(account: Account, payment: PaymentEntry) -> Iterator[str]:
    """Compare payments with orders."""
    if account.order is None:
        return
    allowed: dict[OrderStatus, tuple[PaymentStatus, ...]] = {
        "created": ("pending", "failed", "authorized", "voided"),
        "awaiting:payment": ("pending", "failed", "authorized", "voided"),
        "complete": ("authorized", "captured", "refunding"),
        "cancelled": ("pending", "failed", "authorized", "voided", "refunded"),
        "refunded": ("refunded", "refunding"),
    }
    if payment.status not in allowed[account.order.status]:
        yield f"the order is {account.order.status}, but its payment is {payment.status}"
    if account.order.status == "complete" and account.order.refunded != payment.refunded_amount:
        yield (
            f"payments refunded {money(payment.refunded_amount)},"
            f" but orders knows of {money(account.order.refunded)}"
        )


def _payment_and_money(account: Account, payment: PaymentEntry) -> Iterator[str]:
    """Compare Stripe with payments."""
    held, captured, refunded = account.authorized, account.captured, account.refunded
    match payment.status:
        case "pending" | "failed" | "voided":
            if captured > refunded:
                yield f"the payment is {payment.status}, but Stripe captured {money(captured)}"
            elif held and payment.status != "pending":
                yield f"the payment is {payment.status}, but an authorization is open"
        case "authorized":
            if not held and not captured:
                yield "the payment is authorized, but Stripe holds nothing"
            if refunded:
                yield f"the payment is authorized, but Stripe refunded {money(refunded)}"
        case "captured":
            if not captured:
                yield "the payment is captured, but Stripe captured nothing"
            if refunded != payment.refunded_amount:
                yield f"Stripe refunded {money(refunded)}, payments knows of {money(payment.refunded_amount)}"
        case "refunding":
            if not captured:
                yield "the payment is being refunded, but Stripe captured nothing"
            if payment.refund_failed:
                reason = payment.failed_refunds[-1].failure
                yield f"the refund failed ({reason}): try again, or return the money in another way"
        case "refunded":
            if refunded < max(captured, payment.amount):
                yield f"the payment is refunded, but Stripe refunded only {money(refunded)}"


def _disputes(account: Account) -> Iterator[str]:
    """Compare the disputes at Stripe with those that payments knows."""
    known = {dispute.id: dispute.status for payment in account.payments for dispute in payment.disputes}
    for dispute in account.disputes:
        if known.get(dispute.id) != dispute.status:
            yield f"the dispute {dispute.id} is {dispute.status}, but payments doesn't know that"


def _books(account: Account) -> Iterator[str]:
    """Compare payouts, its ledger and Stripe's transfers with the payment."""
    if account.books is None:
        return
    captured = next((each for each in account.payments if payouts.is_captured(each.status)), None)
    if captured is None:
        yield from payouts.differences(account.books, None, 0, None)
    else:
        money_back = captured.refunded_amount
        yield from payouts.differences(account.books, captured.amount, money_back, captured.currency)
        yield from _freeze(account, captured)


def _freeze(account: Account, captured: PaymentEntry) -> Iterator[str]:
    """A sale is frozen exactly as long as something keeps its money from the seller."""
    sale = account.books.sale if account.books is not None else None
    if account.order is None or sale is None:
        return
    reasons = list(_reasons_to_freeze(account.order, captured))
    if sale.state == "frozen" and not reasons:
        yield "the sale is frozen, but nothing keeps the money from its seller any more"
    if sale.state in ("held", "due") and reasons:
        yield f"the sale is {sale.state}, although {reasons[0]}"


def _reasons_to_freeze(order: OrderEntry, captured: PaymentEntry) -> Iterator[str]:
    if any(dispute.status == "open" for dispute in captured.disputes):
        yield "the buyer disputes the payment"
    if order.report is not None and order.report.is_open:
        yield f"a reported problem is {order.report.state}"
    if captured.status == "refunding":
        yield "the payment is being refunded"
    elif captured.status != "refunded" and (order.status == "cancelled" or order.delivery == "failed"):
        yield "the buyer is to get everything back"
    if min(order.refund_due, order.price) > captured.refunded_amount:
        yield "an operator ordered a refund that isn't made"


def _notes(account: Account) -> Iterator[str]:
    """What operators may want to know although nothing is wrong."""
    for dispute in account.disputes:
        yield f"a dispute about {money(dispute.amount)} is {dispute.status}: {dispute.reason}"
    if account.books is not None:
        yield from payouts.notes(account.books)


def _under_way(account: Account) -> Iterator[tuple[str, datetime]]:
    """Pending work, and the time by which it must have ended."""
    order = account.order
    if order is None:
        return
    until = order.expires_at + GRACE
    if order.status in LIVE_STATUSES:
        yield f"the order is {order.status}", until
    elif order.status == "complete" and account.authorized:
        yield "the capture of the payment", until
    elif order.status == "cancelled" and account.authorized:
        yield "the voiding of the payment", until
    if min(order.refund_due, order.price) > account.refunded:
        decided_at = order.report.decided_at if order.report is not None else None
        yield "the refund that an operator ordered", (decided_at or order.expires_at) + REFUND_GRACE
    has_sale = account.books is None or account.books.sale is not None or order.seller_id is None
    for payment in account.payments:
        if payouts.is_captured(payment.status) and not has_sale:
            yield "the sale of the captured payment", until
        if payment.status == "refunding" and not payment.refund_failed:
            yield "the refund", (payment.refund_requested_at or order.expires_at) + REFUND_GRACE
        elif order.status not in LIVE_STATUSES and payment.status in ("pending", "failed", "authorized"):
            yield f"the payment is {payment.status}", until
