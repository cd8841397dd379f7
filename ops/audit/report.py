"""The findings of an audit as text."""

from ops.audit.accounts import money
from ops.audit.rules import Finding
from services.payouts.ledger import LEFT, RIGHT, Amounts


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
        self._ledger: dict[str, Amounts] = {}
        """The balances of the ledger by currency."""

    def add(self, finding: Finding) -> None:
        self._orders += 1
        self._intents += len(finding.account.intents)
        self.wrong += bool(finding.differences)
        self._pending += bool(finding.under_way and not finding.differences)
        for what in self._amounts:
            self._amounts[what] += getattr(finding.account, what)
        books = finding.account.books
        if books is not None and books.sale is not None:
            currency = books.sale.currency
            self._ledger[currency] = self._ledger.get(currency, Amounts()) + books.balances

    def __str__(self) -> str:
        amounts = ", ".join(f"{what} {money(amount)}" for what, amount in self._amounts.items())
        return (
            f"{self._orders} orders, {self._intents} intents at Stripe: {amounts}."
            f" {self._pending} under way, {self.wrong} with differences."
            f"{''.join(_ledger(currency, sums) for currency, sums in sorted(self._ledger.items()))}"
        )


def _ledger(currency: str, sums: Amounts) -> str:
    """Both sides of the ledger in one currency."""
    left = " + ".join(f"{name.replace('_', ' ')} {money(getattr(sums, name))}" for name in LEFT)
    right = " + ".join(f"{name.replace('_', ' ')} {money(getattr(sums, name))}" for name in RIGHT)
    return f" Ledger in {currency}: {left} {'=' if sums.is_balanced else 'DIFFERS FROM'} {right}."
