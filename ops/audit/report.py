"""The findings of an audit as text."""

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
    pending = (f"under way: {what}" for what in finding.under_way)
    words = "; ".join([*finding.differences, *pending, *finding.notes])
    mark = "DIFFERS " if finding.differences else ""
    return f"{account.order_id}  {ordered} | {paid or 'no payment':28} | {stripe} | {mark}{words or 'ok'}"


class Totals:
    """The totals of all findings."""

    def __init__(self) -> None:
        self.wrong = 0
        """Number of orders with differences."""
        self._orders = self._intents = self._pending = 0
        self._amounts = dict.fromkeys(("authorized", "captured", "refunded"), 0)

    def add(self, finding: Finding) -> None:
        self._orders += 1
        self._intents += len(finding.account.intents)
        self.wrong += bool(finding.differences)
        self._pending += bool(finding.under_way and not finding.differences)
        for what in self._amounts:
            self._amounts[what] += getattr(finding.account, what)

    def __str__(self) -> str:
        amounts = ", ".join(f"{what} {money(amount)}" for what, amount in self._amounts.items())
        return (
            f"{self._orders} orders, {self._intents} intents at Stripe: {amounts}."
            f" {self._pending} under way, {self.wrong} with differences."
        )
