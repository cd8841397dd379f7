"""The findings of an audit as text."""

from collections.abc import Sequence

from ops.audit.accounts import money
from ops.audit.rules import Finding


def line(finding: Finding) -> str:
    """One line with the entries of orders, payments and Stripe, and the differences."""
    account = finding.account
    order = account.order
    ordered = f"{order.status:16} {money(order.price):>10}" if order else f"{'no order':16} {'':10}"
    paid = " + ".join(
        f"{payment.status:10} {money(payment.amount):>10} {payment.currency} {payment.attempts}x"
        for payment in account.payments
    )
    stripe = (
        f"held {money(account.authorized):>10}  captured {money(account.captured):>10}"
        f"  refunded {money(account.refunded):>10}  intents {len(account.intents)}"
    )
    words = "; ".join([*finding.differences, *(f"under way: {what}" for what in finding.under_way)])
    mark = "DIFFERS " if finding.differences else ""
    return f"{account.order_id}  {ordered} | {paid or 'no payment':28} | {stripe} | {mark}{words or 'ok'}"


def summary(findings: Sequence[Finding]) -> str:
    """One line with the totals of all findings."""
    wrong = sum(bool(finding.differences) for finding in findings)
    pending = sum(bool(finding.under_way and not finding.differences) for finding in findings)
    totals = {
        what: sum(getattr(finding.account, what) for finding in findings)
        for what in ("authorized", "captured", "refunded")
    }
    amounts = ", ".join(f"{what} {money(amount)}" for what, amount in totals.items())
    intents = sum(len(finding.account.intents) for finding in findings)
    return (
        f"{len(findings)} orders, {intents} intents at Stripe: {amounts}."
        f" {pending} under way, {wrong} with differences."
    )
