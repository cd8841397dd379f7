"""Whatever happens to the sales of a seller, in whatever order and however often, the ledger is balanced."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contracts.events import DisputeStatus
from kit.changes import Changes
from services.payouts import rules
from services.payouts.ledger import Amounts, Posting, Unbalanced, posting, total
from services.payouts.rules import Debt, OrderFacts, PaymentFacts, SaleState, Transfer
from tests.unit.rules.builders import NOW, SELLER

DELAY = timedelta(hours=72)
ORDERS = ["a", "b", "c"]
FEES = {"a": 0, "b": 333, "c": 1000}
START = NOW + timedelta(days=1)

orders = st.sampled_from(ORDERS)


class Market(RuleBasedStateMachine):
    """The sales of one seller, as the actions of payouts change them."""

    def __init__(self) -> None:
        super().__init__()
        self.now: datetime = NOW
        self.sales: dict[str, SaleState] = {}
        self.versions: dict[str, int] = {}
        self.entries: dict[str, Posting] = {}
        self.payments: dict[str, PaymentFacts] = {}
        self.sent = 0

    @rule(order_id=orders, amount=st.integers(50, 100_000))
    def capture(self, order_id: str, amount: int) -> None:
        if order_id not in self.payments:
            self.payments[order_id] = PaymentFacts(
                payment_id=f"payment-{order_id}", status="captured", amount=amount, currency="usd"
            )
        self.follow(order_id)

    @precondition(lambda self: self.payments)
    @rule(order_id=orders, share=st.integers(0, 100), lost=st.integers(0, 100))
    def buyer_gets_back(self, order_id: str, share: int, lost: int) -> None:
        """Refunds may fail after their success, so the sum may shrink."""
        if payment := self.payments.get(order_id):
            refunded = payment.amount * share // 100
            in_disputes = refunded * lost // 100
            changes = {"refunded_amount": refunded, "lost_amount": in_disputes}
            self.payments[order_id] = payment.model_copy(update=changes)
            self.follow(order_id)

    @precondition(lambda self: self.payments)
    @rule(order_id=orders, dispute=st.sampled_from([None, "open", "won"]))
    def dispute(self, order_id: str, dispute: DisputeStatus | None) -> None:
        if payment := self.payments.get(order_id):
            self.payments[order_id] = payment.model_copy(update={"dispute": dispute})
            self.follow(order_id)

    @rule(days=st.integers(0, 5))
    def time_passes(self, days: int) -> None:
        self.now += timedelta(days=days)

    @precondition(lambda self: self.sales)
    @rule(order_id=orders, crashes=st.booleans())
    def pay(self, order_id: str, crashes: bool) -> None:
        """Settle debts of other orders first. After a crash, the next attempt finds what is settled."""
        sale = self.sales.get(order_id)
        if sale is None or not rules.may_transfer(sale, self.now):
            return
        debts = [Debt(key, each.owed) for key, each in self.sales.items() if each.owed and key != order_id]
        for part in rules.offsets(sale, debts):
            debtor = self.sales[part.order_id]
            self.write(part.order_id, rules.settle(debtor, order_id, part.amount, self.now))
        if crashes:
            return
        self.record_offsets(order_id)
        sale = self.sales[order_id]
        if rules.may_transfer(sale, self.now):
            self.sent += 1
            transfer = Transfer(id=f"tr_{self.sent}", amount=sale.held, sent=sale.held, sent_currency="usd")
            for _ in range(2):  # a repetition changes nothing
                self.write(order_id, rules.transferred(self.sales[order_id], transfer, self.now))

    @precondition(lambda self: self.sales)
    @rule(order_id=orders)
    def reverse(self, order_id: str) -> None:
        if (sale := self.sales.get(order_id)) is None:
            return
        for transfer in sale.transfers:
            current = self.sales[order_id]
            amount = min(current.reversible, transfer.amount - transfer.reversed)
            back = transfer.reversed + rules.to_send_back(transfer, amount)
            self.write(order_id, rules.reversed_to(current, transfer.id, back, self.now))

    @precondition(lambda self: self.sales)
    @rule(order_id=orders)
    def write_off(self, order_id: str) -> None:
        if (sale := self.sales.get(order_id)) is not None and sale.owed:
            self.write(order_id, rules.write_off(sale, self.now))

    @invariant()
    def both_sides_are_equal(self) -> None:
        assert self.balances().is_balanced

    @invariant()
    def balances_are_those_of_the_sales(self) -> None:
        for order_id in ORDERS:
            self.record_offsets(order_id)  # as the next look would, after a crash
        assert self.balances() == total(sale.accounts for sale in self.sales.values())

    @invariant()
    def nobody_has_less_than_nothing(self) -> None:
        for sale in self.sales.values():
            assert sale.held >= 0
            assert sale.owed >= 0
            assert not (sale.held and sale.owed)

    @invariant()
    def received_is_what_buyers_paid(self) -> None:
        assert self.balances().received == sum(self.payments[key].amount for key in self.sales)

    def follow(self, order_id: str) -> None:
        order = OrderFacts(
            status="complete",
            seller_id=SELLER,
            starts_at=START,
            paid_at=NOW,
            fee_basis_points=FEES[order_id],
        )
        payment = self.payments[order_id]
        before = self.sales.get(order_id)
        if before is None:
            self.sales[order_id] = rules.new_sale(order, payment, DELAY, self.now)
            self.versions[order_id] = 0
            self.add(rules.entry(None, self.sales[order_id], order_id, 0))
        for _ in range(2):  # a repetition changes nothing
            sale = self.sales[order_id]
            self.write(order_id, rules.facts(sale, order, payment, DELAY, self.now))

    def record_offsets(self, order_id: str) -> None:
        if (sale := self.sales.get(order_id)) is not None:
            settled = [
                rules.Offset(order_id=key, amount=part.amount)
                for key, each in self.sales.items()
                for part in each.settled_by
                if part.order_id == order_id
            ]
            self.write(order_id, rules.offset(sale, settled, self.now))

    def write(self, order_id: str, changes: Changes | None) -> None:
        if changes is None:
            return
        before = self.sales[order_id]
        self.sales[order_id] = before.model_copy(update=dict(changes))
        self.versions[order_id] += 1
        self.add(rules.entry(before, self.sales[order_id], order_id, self.versions[order_id]))

    def add(self, entry: Posting | None) -> None:
        if entry is not None:
            assert entry.key not in self.entries
            self.entries[entry.key] = entry

    def balances(self) -> Amounts:
        return total(entry.change for entry in self.entries.values())


TestMarket = Market.TestCase
TestMarket.settings = settings(max_examples=150, stateful_step_count=30, derandomize=True, deadline=None)


def test_an_entry_that_changes_only_one_side_is_refused() -> None:
    with pytest.raises(Unbalanced):
        posting("capture:1", Amounts(received=100, held=99))


@pytest.mark.parametrize("account", list(Amounts.model_fields))
def test_every_account_is_on_one_side(account: str) -> None:
    amounts: dict[str, Any] = {account: 1}
    assert not Amounts(**amounts).is_balanced
