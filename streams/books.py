"""Compare what orders, payments and Stripe have of each order's money: `just books`.

Exits with 1 if anything differs, with 2 if one of the three can't be read. What is on its way is no
difference, unless `--settled` says that nothing should be.
"""

import argparse
import asyncio
import logging
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import settings
from contracts.events import OrderStatus, PaymentStatus
from contracts.money import from_minor_units
from contracts.wire import now
from services.kit.errors import Unavailable
from services.kit.mongo import DatabaseError
from services.orders import books as orders_books
from services.orders.books import OrderEntry
from services.payments import books as payments_books
from services.payments.books import PaymentEntry
from services.payments.gateway import Booked, Gateway
from settings import Settings

GRACE = timedelta(minutes=2)
"""How long after its order's deadline something may still be on its way."""
REFUND_GRACE = timedelta(hours=1)
"""How long after it was asked for a refund may be on its way."""

LOOK_AGAIN_SECONDS = 3.0
"""The three are read one after the other while people buy: what differs is looked at once more."""

CHARGEABLE = ("requires_confirmation", "requires_action", "processing")
"""An intent that may still come to be authorized without anybody asking for it anew."""

LIVE: tuple[OrderStatus, ...] = ("created", "awaiting:payment")

T = TypeVar("T")


@dataclass(frozen=True)
class Account:
    """All that anybody has of one order's money."""

    order_id: str
    order: OrderEntry | None = None
    payments: tuple[PaymentEntry, ...] = ()
    intents: tuple[Booked, ...] = ()

    @property
    def authorized(self) -> int:
        return sum(intent.authorized for intent in self.intents)

    @property
    def captured(self) -> int:
        return sum(intent.captured for intent in self.intents)

    @property
    def refunded(self) -> int:
        return sum(intent.refunded for intent in self.intents)

    @property
    def approved(self) -> tuple[Booked, ...]:
        """The intents to which a bank ever said yes."""
        return tuple(intent for intent in self.intents if intent.is_attempted)


@dataclass(frozen=True)
class Finding:
    """What there is to say of an account."""

    account: Account
    differences: tuple[str, ...] = ()
    under_way: tuple[str, ...] = ()


def accounts(
    orders: Iterable[OrderEntry], payments: Iterable[PaymentEntry], intents: Iterable[Booked]
) -> list[Account]:
    """One account for every order that anybody knows of, newest last."""
    by_order = {order.order_id: order for order in orders}
    of_payments, of_intents = _by_order(payments), _by_order(intents)
    # An id begins with the second in which it was made.
    return [
        Account(key, by_order.get(key), tuple(of_payments.get(key, ())), tuple(of_intents.get(key, ())))
        for key in sorted({*by_order, *of_payments, *of_intents})
    ]


def audit(account: Account, at: datetime, *, settled: bool = False) -> Finding:
    """What is wrong and what is under way with an order's money. Pure and total.

    Args:
        at: the time of the comparison.
        settled: everything has come to rest, so nothing may be under way.
    """
    wrong = [*_doubles(account), *_amounts(account), *_order_and_money(account)]
    for payment in account.payments:
        wrong += [*_payment_and_order(account, payment), *_payment_and_money(account, payment)]
    open_ends = list(_under_way(account))
    if settled:
        wrong += [f"still under way: {what}" for what, _ in open_ends]
        open_ends = []
    wrong += [f"under way for too long: {what}" for what, until in open_ends if until < at]
    under_way = tuple(what for what, until in open_ends if until >= at)
    return Finding(account, tuple(dict.fromkeys(wrong)), under_way)


def _doubles(account: Account) -> Iterator[str]:
    if account.order is None:
        if account.payments:
            yield "payments has a payment of an order that doesn't exist"
        for intent in account.intents:
            yield f"{intent.intent_id} is of an order that doesn't exist"
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
            yield f"{intent.intent_id} was approved, and isn't the payment's intent"


def _amounts(account: Account) -> Iterator[str]:
    for payment in account.payments:
        if account.order is not None and payment.amount != account.order.price:
            yield f"the payment is of {_money(payment.amount)}, the order of {_money(account.order.price)}"
        for intent in account.intents:
            if intent.currency != payment.currency:
                yield f"Stripe counts in {intent.currency}, the payment in {payment.currency}"
            for what, amount in (("holds", intent.authorized), ("captured", intent.captured)):
                if amount not in (0, payment.amount):
                    yield f"Stripe {what} {_money(amount)} for a payment of {_money(payment.amount)}"
    for intent in account.intents:
        if intent.refunded > intent.captured:
            yield f"Stripe refunded {_money(intent.refunded)} of {_money(intent.captured)} captured"


def _order_and_money(account: Account) -> Iterator[str]:
    """What Stripe has against what orders says."""
    order, kept = account.order, account.captured - account.refunded
    if order is None:
        return
    match order.status:
        case "created" | "awaiting:payment":
            if account.captured:
                yield f"captured, though the order is {order.status}"
        case "complete":
            if not account.captured and not account.authorized:
                yield "the order is complete, and nothing was captured"
        case "cancelled":
            if kept > 0:
                yield f"the order is cancelled, and {_money(kept)} of it captured and not refunded"
        case "refunded":
            if not account.captured:
                yield "the order is refunded, and nothing was ever captured"
            elif kept > 0:
                yield f"the order is refunded, and Stripe keeps {_money(kept)} of it"
            if account.authorized:
                yield "the order is refunded, and an authorization is open"
    if order.status in ("cancelled", "refunded"):
        for intent in account.intents:
            if intent.status in CHARGEABLE:
                yield f"the order is {order.status}, and {intent.intent_id} is {intent.status}"
    if account.captured and account.authorized:
        yield "captured, and another authorization is open"


def _payment_and_order(account: Account, payment: PaymentEntry) -> Iterator[str]:
    if account.order is None:
        return
    allowed: dict[OrderStatus, tuple[PaymentStatus, ...]] = {
        "created": ("pending", "failed", "authorized"),
        "awaiting:payment": ("pending", "failed", "authorized"),
        "complete": ("authorized", "captured", "refunding"),
        "cancelled": ("pending", "failed", "authorized", "voided", "refunded"),
        "refunded": ("refunded", "refunding"),
    }
    if payment.status not in allowed[account.order.status]:
        yield f"the order is {account.order.status}, its payment {payment.status}"


def _payment_and_money(account: Account, payment: PaymentEntry) -> Iterator[str]:
    """What Stripe has against what payments says."""
    held, captured, refunded = account.authorized, account.captured, account.refunded
    match payment.status:
        case "pending" | "failed" | "voided":
            if captured > refunded:
                yield f"the payment is {payment.status}, and Stripe captured {_money(captured)}"
            elif held and payment.status != "pending":
                yield f"the payment is {payment.status}, and an authorization is open"
        case "authorized":
            if not held and not captured:
                yield "the payment is authorized, and Stripe holds nothing"
            if refunded:
                yield "the payment is authorized, and Stripe refunded"
        case "captured":
            if not captured:
                yield "the payment is captured, and Stripe captured nothing"
            if refunded:
                yield f"Stripe refunded {_money(refunded)}, and the payment is captured"
        case "refunding":
            if not captured:
                yield "the payment is being refunded, and Stripe captured nothing"
        case "refunded":
            if refunded < max(captured, payment.amount):
                yield f"the payment is refunded, and Stripe refunded {_money(refunded)}"


def _under_way(account: Account) -> Iterator[tuple[str, datetime]]:
    """What goes on by itself, and by when it has to have ended."""
    order = account.order
    if order is None:
        return
    until = order.expires_at + GRACE
    if order.status in LIVE:
        yield f"the order is {order.status}", until
    elif order.status == "complete" and account.authorized:
        yield "about to be captured", until
    elif order.status == "cancelled" and account.authorized:
        yield "about to be let go", until
    for payment in account.payments:
        if payment.status == "refunding":
            yield "being refunded", (payment.refund_asked_at or order.expires_at) + REFUND_GRACE
        elif order.status not in LIVE and payment.status in ("pending", "failed", "authorized"):
            yield f"the payment is {payment.status}", until


def line(finding: Finding) -> str:
    """An account as a row: orders, payments, Stripe, and what is wrong."""
    account = finding.account
    order = account.order
    ordered = f"{order.status:16} {_money(order.price):>10}" if order else f"{'no order':16} {'':10}"
    paid = " + ".join(
        f"{payment.status:10} {_money(payment.amount):>10} {payment.currency} {payment.attempts}x"
        for payment in account.payments
    )
    stripe = (
        f"held {_money(account.authorized):>10}  captured {_money(account.captured):>10}"
        f"  refunded {_money(account.refunded):>10}  intents {len(account.intents)}"
    )
    words = "; ".join([*finding.differences, *(f"under way: {what}" for what in finding.under_way)])
    mark = "DIFFERS " if finding.differences else ""
    return f"{account.order_id}  {ordered} | {paid or 'no payment':28} | {stripe} | {mark}{words or 'ok'}"


def summary(findings: Sequence[Finding]) -> str:
    wrong = sum(bool(finding.differences) for finding in findings)
    open_ones = sum(bool(finding.under_way and not finding.differences) for finding in findings)
    money = {
        what: sum(getattr(finding.account, what) for finding in findings)
        for what in ("authorized", "captured", "refunded")
    }
    told = ", ".join(f"{what} {_money(amount)}" for what, amount in money.items())
    intents = sum(len(finding.account.intents) for finding in findings)
    return (
        f"{len(findings)} orders, {intents} intents at Stripe: {told}."
        f" {open_ones} under way, {wrong} with differences."
    )


async def read(conf: Settings) -> list[Account]:
    """Everybody's books, as they stand.

    Who knows of an order first is read last: so nothing is of an order that isn't there yet.

    Raises:
        Unreadable
    """
    gateway = Gateway(conf)
    try:
        intents = [intent async for intent in gateway.books()]
    except Unavailable as error:
        where = conf.stripe_base or "https://api.stripe.com"
        reason = " ".join(str(error.__cause__ or error).split())
        raise Unreadable(f"Stripe's books can't be read at {where}: {reason}") from error
    finally:
        await gateway.close()
    try:
        payments = [entry async for entry in payments_books.entries(conf.database)]
        orders = [entry async for entry in orders_books.entries(conf.database)]
    except DatabaseError as error:
        reason = " ".join(str(error).partition(", Timeout:")[0].split())
        raise Unreadable(f"The databases orders and payments can't be read: {reason}") from error
    return accounts(orders, payments, intents)


class Unreadable(Exception):
    """One of the books can't be read; says which, in a line."""


async def compare(conf: Settings, *, settled: bool = False) -> list[Finding]:
    """Every account with what is to say of it. A difference was there twice, some seconds apart.

    Raises:
        Unreadable
    """
    findings = [audit(account, now(), settled=settled) for account in await read(conf)]
    first = {finding.account.order_id: set(finding.differences) for finding in findings}
    if settled or not any(first.values()):
        return findings
    await asyncio.sleep(LOOK_AGAIN_SECONDS)
    return [
        _confirmed(audit(account, now()), first.get(account.order_id, set())) for account in await read(conf)
    ]


def _confirmed(finding: Finding, before: set[str]) -> Finding:
    """What was seen for the first time is perhaps only of this moment."""
    lasting = tuple(words for words in finding.differences if words in before)
    passing = tuple(words for words in finding.differences if words not in before)
    return Finding(finding.account, lasting, (*finding.under_way, *passing))


async def main() -> int:
    parser = argparse.ArgumentParser(prog="just books", description=__doc__)
    parser.add_argument("--settled", action="store_true", help="nothing may be under way any more")
    parser.add_argument("--only-differences", action="store_true", help="leave out what is in order")
    arguments = parser.parse_args()
    # What goes wrong is said below, in a line.
    logging.getLogger("services").setLevel(logging.CRITICAL)
    try:
        findings = await compare(settings.load(), settled=arguments.settled)
    except Unreadable as reason:
        sys.stderr.write(f"{reason}\n")
        return 2
    shown = [finding for finding in findings if finding.differences or not arguments.only_differences]
    sys.stdout.writelines(f"{line(finding)}\n" for finding in shown)
    sys.stdout.write(f"{summary(findings)}\n")
    return int(any(finding.differences for finding in findings))


def _by_order(entries: Iterable[T]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = defaultdict(list)
    for entry in entries:
        found[entry.order_id].append(entry)  # type: ignore[attr-defined]
    return found


def _money(minor: int) -> str:
    return str(from_minor_units(minor))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
