"""What payouts knows of an order: its sale, the ledger, the transfers, and the seller's account."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING

from contracts.events import OPEN_PROBLEMS
from ops.audit.accounts import money
from ops.audit.payouts import BookedEntry, SaleEntry
from ops.sources import Sources
from services.payouts.ledger import LEFT, RIGHT
from services.payouts.rules import CAPTURED

Document = Mapping[str, Any]

MOST_ENTRIES = 50
"""Maximum number of entries of the ledger that are shown, the first ones."""

LATE = timedelta(minutes=2)
"""After this time, a sale or a transfer that should be there is missing."""


@dataclass(frozen=True)
class Payout:
    """What the database of payouts has about an order."""

    stored: Document | None
    """The sale as it is stored."""
    sale: SaleEntry | None
    entries: tuple[BookedEntry, ...]
    account: Document | None
    """The seller's account."""
    order: Document | None
    """The order as payouts knows it."""
    payment: Document | None
    """The payment as payouts knows it."""


async def read_payout(sources: Sources, order_id: str) -> Payout:
    payouts, key = sources.database("payouts"), ObjectId(order_id)
    stored = await payouts["sales"].find_one({"_id": key})
    found = payouts["ledger"].find({"order_id": order_id}, sort=[("at", ASCENDING)], limit=MOST_ENTRIES)
    account = None
    if stored is not None:
        account = await payouts["payout_accounts"].find_one({"seller_id": stored["seller_id"]})
    return Payout(
        stored,
        SaleEntry.model_validate(stored) if stored is not None else None,
        tuple([BookedEntry.model_validate(entry) async for entry in found]),
        account,
        await payouts["orders"].find_one({"_id": key}),
        await payouts["payments"].find_one({"_id": key}),
    )


def report_fact(report: Document) -> str:
    """The state of a reported problem. What people wrote is on the page of reported problems."""
    parts = [
        f"problem {report['kind']} reported {_time(report['reported_at'])} is {report['state']}",
        f"answered {_time(report['answered_at'])}" if report.get("answered_at") else "",
        f"answer until {_time(report['answer_by'])}" if report["state"] == "open" else "",
        f"decided {_time(report['decided_at'])}" if report.get("decided_at") else "",
        f"returns {money(report['refund_minor'])}" if report.get("refund_minor") else "",
    ]
    return ", ".join(filter(None, parts))


def payout_facts(payout: Payout) -> list[str]:
    """The sale, its transfers, its entries of the ledger, and the seller's account."""
    sale = payout.sale
    if sale is None:
        return []
    return [*_sale_facts(sale), *_account_facts(payout), *(_entry(each) for each in payout.entries)]


def _sale_facts(sale: SaleEntry) -> Iterator[str]:
    parts = [
        f"sale over {money(sale.gross)} {sale.currency} is {sale.state}",
        f"due {_time(sale.due_at)}" if sale.due_at else "not due before the delivery",
        f"held {money(sale.held)}",
        f"paid out {money(sale.paid_out)}",
        f"fee {money(sale.kept_fee)}",
        f"returned to the buyer {money(sale.returned)}" if sale.returned else "",
        f"the seller owes {money(sale.owed)}" if sale.owed else "",
        f"written off {money(sale.forgiven)}" if sale.forgiven else "",
        f"frozen since {_time(sale.frozen_at)}" if sale.frozen_at else "",
    ]
    yield ", ".join(filter(None, parts))
    for transfer in sale.transfers:
        back = f", reversed {money(transfer.reversed)}" if transfer.reversed else ""
        yield f"  transfer {transfer.id} of {money(transfer.amount)}{back}"
    for part in sale.offsets:
        yield f"  settles {money(part.amount)} that the seller owes for order {part.order_id}"
    for part in sale.settled_by:
        yield f"  order {part.order_id} settles {money(part.amount)} of the debt"


def _account_facts(payout: Payout) -> Iterator[str]:
    if payout.account is None:
        yield "the seller has no account for payouts"
        return
    account = payout.account
    parts = [
        f"account {account.get('stripe_id') or 'without an id yet'} is {account['state']}",
        "may receive transfers" if account.get("may_receive") else "may not receive transfers",
        "its last payout to the bank failed" if account.get("payout_failed") else "",
    ]
    yield ", ".join(filter(None, parts))


def _entry(entry: BookedEntry) -> str:
    changed = [(name, getattr(entry.change, name)) for name in (*LEFT, *RIGHT)]
    parts = [f"{name.replace('_', ' ')} {money(amount)}" for name, amount in changed if amount]
    return f"  ledger {entry.key}: {', '.join(parts)}"


def awaited_payout(
    payout: Payout, order: Document | None, payment: Document | None, moment: datetime
) -> Iterator[tuple[str, str]]:
    """What is missing or awaited until the seller has the money, each with who is awaited."""
    sale = payout.sale
    if sale is None:
        if _should_have_a_sale(order, payment) and moment > _paid_at(order, moment) + LATE:
            yield "The payment is captured; payouts has no sale of it", "payouts"
        return
    if sale.state == "frozen":
        yield from frozen_because(sale)
    elif sale.planned is not None and moment - sale.planned.planned_at > LATE:
        planned = _time(sale.planned.planned_at)
        yield f"A transfer was planned at {planned}; whether Stripe made it isn't known", "payouts, Stripe"
    elif sale.state == "due" and (payout.account is None or not payout.account.get("may_receive")):
        yield "The money is due, and the seller has no account that may receive it", "the seller"
    elif sale.state == "due" and sale.due_at is not None and moment - sale.due_at > LATE:
        yield f"The money is due since {_time(sale.due_at)}; payouts hasn't transferred it", "payouts, Stripe"
    if sale.owed:
        yield f"The seller owes {money(sale.owed)} {sale.currency}", "the seller's next sale, or an operator"


def _should_have_a_sale(order: Document | None, payment: Document | None) -> bool:
    return bool(order and order.get("seller_id") and payment and payment["status"] in CAPTURED)


def _paid_at(order: Document | None, moment: datetime) -> datetime:
    paid_at: datetime = (order or {}).get("paid_at") or moment
    return paid_at


def frozen_because(sale: SaleEntry) -> Iterator[tuple[str, str]]:
    """Why the money of a sale is frozen, each reason with who is awaited."""
    if sale.dispute == "open":
        yield "The money is frozen: the buyer disputes the payment", "the bank"
    if sale.problem in OPEN_PROBLEMS:
        awaited = "an operator" if sale.problem == "answered" else "the seller, then an operator"
        yield f"The money is frozen: a reported problem is {sale.problem}", awaited
    due = min(sale.refund_due, sale.gross)
    if due > sale.returned:
        back = f"an operator ordered a refund of {money(due)}, and the buyer got {money(sale.returned)}"
        yield f"The money is frozen: {back}", "payments, Stripe"
    if sale.returning:
        yield "The money is frozen: the buyer is to get everything back", "payments, Stripe"


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else "unknown"
