"""The audit compares payouts, its ledger and Stripe's transfers with the payment of an order."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from contracts.events import ProblemState
from ops.audit import ledgers
from ops.audit.accounts import Account, OrderEntry, ReportEntry
from ops.audit.ledgers import Period
from ops.audit.payouts import BookedEntry, Books, PendingEntry, SaleEntry, differences
from ops.audit.report import Totals
from ops.audit.rules import audit
from services.orders.documents import Order
from services.payments.documents import Payment
from services.payouts import rules
from services.payouts.rules import OrderFacts, PaymentFacts, SaleState, Transfer
from services.payouts.stripe_gateway.client import TransferAtStripe
from tests.integration.audit.records import NOON, ORDER, PRICE, intent, order, payment, refund
from tests.integration.audit.test_audit_command import Marketplace
from tests.integration.conftest import Sandbox
from tests.support.payments import PaymentsService
from tests.support.payouts import PayoutsService
from tests.support.service import Served, SettingsWith

DELAY = timedelta(hours=72)
LATER = NOON + timedelta(days=30)
NET = 1899


class Bookkeeper:
    """Changes a sale as payouts does, and keeps its entries."""

    def __init__(self) -> None:
        facts = OrderFacts(
            status="complete", seller_id=ORDER, starts_at=NOON, paid_at=NOON, fee_basis_points=500
        )
        paid = PaymentFacts(payment_id="p", status="captured", amount=PRICE, currency="usd")
        self.state: SaleState = rules.new_sale(facts, paid, DELAY, LATER)
        self.entries = [rules.entry(None, self.state, ORDER, 0)]

    def change(self, changes: Any) -> None:
        before, self.state = self.state, self.state.model_copy(update=dict(changes))
        self.entries.append(rules.entry(before, self.state, ORDER, len(self.entries)))

    def books(self, *transfers: TransferAtStripe, **special: Any) -> Books:
        sale = SaleEntry.model_validate({**dict(self.state), "order_id": ORDER, **special})
        booked = tuple(
            BookedEntry(key=entry.key, order_id=ORDER, currency="usd", change=entry.change)
            for entry in self.entries
            if entry is not None
        )
        return Books(sale=sale, booked=booked, transfers=transfers)


def made(id_: str = "tr_1", amount: int = NET, reversed_: int = 0) -> TransferAtStripe:
    return TransferAtStripe(id=id_, amount=amount, currency="usd", amount_reversed=reversed_)


def paid_out() -> Bookkeeper:
    keeper = Bookkeeper()
    transfer = Transfer(id="tr_1", amount=NET, sent=NET, sent_currency="usd")
    keeper.change(rules.transferred(keeper.state, transfer, LATER))
    return keeper


def found(books: Books, refunded: int = 0) -> list[str]:
    return list(differences(books, PRICE, refunded, "usd"))


def test_a_held_sale_and_a_paid_one_agree() -> None:
    assert found(Bookkeeper().books()) == []
    assert found(paid_out().books(made())) == []


def test_a_reversed_sale_agrees() -> None:
    keeper = paid_out()
    keeper.change(rules.with_state(keeper.state, {"refunded": PRICE}, LATER))
    keeper.change(rules.reversed_to(keeper.state, "tr_1", NET, LATER))
    assert found(keeper.books(made(reversed_=NET)), PRICE) == []


def test_a_debt_that_another_sale_settles_agrees() -> None:
    keeper = paid_out()
    keeper.change(rules.with_state(keeper.state, {"refunded": PRICE}, LATER))
    keeper.change(rules.settle(keeper.state, "65f0c0ffee0000000000000f", NET, LATER))
    assert found(keeper.books(made()), PRICE) == []


def test_an_entry_on_its_way_to_the_ledger_counts_once() -> None:
    books = Bookkeeper().books()
    pending = [PendingEntry(key=books.booked[0].key, change=books.booked[0].change)]
    assert books.sale is not None
    both = books.model_copy(update={"sale": books.sale.model_copy(update={"unbooked": pending})})
    assert found(both) == []
    assert found(both.model_copy(update={"booked": ()})) == []


@pytest.mark.parametrize(
    ("books", "words"),
    [
        (Bookkeeper().books(gross=2000), "the sale is over 2000 usd, but the payment over 1999 usd"),
        (Bookkeeper().books().model_copy(update={"booked": ()}), "the ledger's received differs"),
        (paid_out().books(), "Stripe doesn't have the transfer tr_1"),
        (paid_out().books(made(), made("tr_2")), "payouts doesn't know the transfer tr_2"),
        (paid_out().books(made(), made("tr_2")), "the sale has 2 transfers that aren't reversed"),
        (paid_out().books(made(amount=NET + 1)), "the transfer tr_1 is over 1900 usd at Stripe"),
        (paid_out().books(made(reversed_=500)), "Stripe reversed 500 of tr_1, payouts knows of 0"),
        (Books(transfers=(made(),)), "Stripe has the transfer tr_1 of an order without a sale"),
    ],
)
def test_each_difference_is_found(books: Books, words: str) -> None:
    assert any(difference.startswith(words) for difference in found(books)), found(books)


def test_a_refund_that_payouts_doesnt_know_is_found() -> None:
    assert found(Bookkeeper().books(), 500) == ["the buyer got 500 back, but payouts knows of 0"]


def test_a_captured_payment_needs_a_sale_soon() -> None:
    paid = order("complete").model_copy(update={"seller_id": ORDER})
    account = Account(ORDER, paid, (payment("captured"),), (intent(captured=PRICE),), Books())
    assert audit(account, NOON).under_way == ("the sale of the captured payment",)
    assert audit(account, LATER).differences == ("under way for too long: the sale of the captured payment",)
    assert audit(replace(account, books=Bookkeeper().books()), LATER).differences == ()
    assert audit(replace(account, books=None), LATER).differences == ()


def reported(state: ProblemState, refund_due: int = 0) -> OrderEntry:
    report = ReportEntry(state=state, decided_at=None if state in ("open", "answered") else NOON)
    return order("complete").model_copy(
        update={"seller_id": ORDER, "report": report, "refund_due": refund_due}
    )


def of(entry: OrderEntry, books: Books, refunded: int = 0) -> Account:
    paid = payment("captured", refunds=[refund(refunded)] if refunded else [])
    return Account(ORDER, entry, (paid,), (intent(captured=PRICE, refunded=refunded),), books)


def test_a_refund_that_an_operator_ordered_has_to_be_made_within_an_hour() -> None:
    keeper = Bookkeeper()
    keeper.change(rules.with_state(keeper.state, {"problem": "partly-refunded", "refund_due": 500}, LATER))
    ordered = of(reported("partly-refunded", 500), keeper.books())
    assert audit(ordered, NOON).under_way == ("the refund that an operator ordered",)
    late = audit(ordered, NOON + timedelta(hours=2))
    assert late.differences == ("under way for too long: the refund that an operator ordered",)
    keeper.change(rules.with_state(keeper.state, {"refunded": 500}, LATER))
    made_entry = reported("partly-refunded", 500).model_copy(update={"refunded": 500})
    assert audit(of(made_entry, keeper.books(), 500), LATER).differences == ()


def test_a_reported_sale_is_frozen_until_the_problem_is_decided() -> None:
    keeper = Bookkeeper()
    open_report = of(reported("open"), keeper.books())
    assert audit(open_report, LATER).differences == ("the sale is due, although a reported problem is open",)
    keeper.change(rules.with_state(keeper.state, {"problem": "open"}, LATER))
    assert audit(of(reported("open"), keeper.books()), LATER).differences == ()
    rejected = audit(of(reported("rejected"), keeper.books()), LATER)
    assert rejected.differences == (
        "the sale is frozen, but nothing keeps the money from its seller any more",
    )


def test_the_totals_show_both_sides_of_the_ledger() -> None:
    paid = order("complete").model_copy(update={"seller_id": ORDER})
    totals, books = Totals(), paid_out().books(made())
    totals.add(audit(Account(ORDER, paid, (payment("captured"),), (intent(captured=PRICE),), books), LATER))
    assert str(totals).endswith(
        " Ledger in usd: received 19.99 + owed 0.00 + written off 0.00"
        " = held 0.00 + paid out 18.99 + fees 1.00 + refunded 0.00 + lost 0.00."
    )


async def test_the_audit_reads_what_payouts_has_stored(
    orders: Served,
    service: PaymentsService,
    payouts: PayoutsService,
    settings_with: SettingsWith,
    shared_sandbox: Sandbox,
) -> None:
    conf = settings_with(stripe_api_base=shared_sandbox.url)
    marketplace = Marketplace(orders, service, conf, shared_sandbox)
    bought = await marketplace.buy()
    stored = await Order.find_one({"_id": ObjectId(bought.id)})
    captured = await Payment.find_one({"order_id": bought.id})
    assert stored is not None
    assert captured is not None
    await payouts.payouts.follow_order(stored.event())
    await payouts.payouts.follow_payment(captured.event())
    async with ledgers.opened(conf) as books:
        [account] = [each async for each in books.of_period(Period()) if each.order_id == bought.id]
        [again] = [each async for each in books.of_orders([bought.id])]
    assert account.books is not None
    assert account.books.sale is not None
    assert account.books.balances.received == PRICE
    assert again.books == account.books
    assert audit(account, NOON).differences == ()
