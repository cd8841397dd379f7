"""Balances of the sandbox's platform and connected accounts, whatever happens in whatever order."""

import sqlite3
import time
from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.stripe.connect import balance, payouts, rules, transfers
from sandbox.stripe.connect.accounts import update_account
from sandbox.stripe.connect.rules import Choice
from sandbox.stripe.connect.state import PLATFORM, Account, BalanceTransaction, Payout, Transfer
from sandbox.stripe.errors import StripeError
from sandbox.stripe.schema import prepare
from sandbox.stripe.state import Charge, PaymentMethod
from sandbox.stripe.store import Ledger, Page

LATER = 1_000_000
"""Seconds after which everything that is due has happened."""
SELLER = Account(
    "acct_1", 0, "US", "usd", capabilities=("transfers",), progress="complete", bank="ba_1", interval="daily"
)


def new_ledger() -> Ledger:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    prepare(connection)
    return Ledger(connection)


@pytest.fixture
def ledger() -> Ledger:
    ledger = new_ledger()
    ledger.save(SELLER)
    return ledger


def paid(ledger: Ledger, id_: str, amount: int = 1999, *, card: str = "visa") -> Charge:
    charge = Charge(
        id=id_,
        created=0,
        amount=amount,
        currency="usd",
        payment_intent="pi_1",
        method=PaymentMethod("pm_1", 0, card),
        metadata={},
        captured=True,
        amount_captured=amount,
    )
    charge = balance.receive(ledger, charge)
    ledger.save(charge)
    return charge


def transfer(ledger: Ledger, charge: Charge, amount: int) -> Transfer:
    tree = {
        "amount": str(amount),
        "currency": "usd",
        "destination": SELLER.id,
        "source_transaction": charge.id,
    }
    made = transfers.create_transfer(tree).work(ledger)
    assert isinstance(made, Transfer)
    return made


def all_payouts(ledger: Ledger) -> list[Payout]:
    return ledger.listed(Payout, Page(limit=100), fields={"account": SELLER.id})[0]


def test_an_account_is_paid_out_automatically_after_a_while(ledger: Ledger) -> None:
    transfer(ledger, paid(ledger, "ch_1"), 1500)
    assert ledger.balance(SELLER.id) == {"usd": (0, 1500)}
    now = int(time.time())
    payouts.let_time_pass(ledger, now + rules.AVAILABLE_SECONDS + 1)
    assert ledger.balance(SELLER.id) == {"usd": (1500, 0)}
    assert all_payouts(ledger) == []
    payouts.let_time_pass(ledger, now + LATER)
    [payout] = all_payouts(ledger)
    assert (payout.amount, payout.automatic, payout.status) == (1500, True, "in_transit")
    assert ledger.balance(SELLER.id) == {"usd": (0, 0)}
    payouts.let_time_pass(ledger, now + LATER)
    assert [each.status for each in all_payouts(ledger)] == ["paid"]


def test_control_a_manual_schedule_pays_nothing_out(ledger: Ledger) -> None:
    update_account(SELLER.id, {"settings": {"payouts": {"schedule": {"interval": "manual"}}}}).work(ledger)
    transfer(ledger, paid(ledger, "ch_1"), 1500)
    for _ in range(3):
        payouts.let_time_pass(ledger, int(time.time()) + LATER)
    assert all_payouts(ledger) == []
    assert ledger.balance(SELLER.id) == {"usd": (1500, 0)}
    update_account(SELLER.id, {"settings": {"payouts": {"schedule": {"interval": "daily"}}}}).work(ledger)
    payouts.let_time_pass(ledger, int(time.time()) + LATER)
    assert len(all_payouts(ledger)) == 1


def test_the_money_of_a_failed_payout_comes_back_and_waits_for_another_bank_account(ledger: Ledger) -> None:
    ledger.save(replace(SELLER, bank_refuses=True))
    transfer(ledger, paid(ledger, "ch_1", card="bypassPending"), 1500)
    for _ in range(4):
        payouts.let_time_pass(ledger, int(time.time()) + LATER)
    [payout] = all_payouts(ledger)
    assert (payout.status, ledger.balance(SELLER.id)) == ("failed", {"usd": (1500, 0)})
    account = ledger.find(Account, SELLER.id)
    assert account is not None
    assert (account.payouts_enabled, rules.due_requirements(account)) == (False, ["external_account"])
    assert account.has_active("transfers")
    repaired = rules.onboard(account, "complete", bank_id="ba_2")
    ledger.save(repaired)
    balance.schedule_payout(ledger, SELLER.id)
    for _ in range(2):
        payouts.let_time_pass(ledger, int(time.time()) + LATER)
    assert [each.status for each in all_payouts(ledger)] == ["paid", "failed"]


def check_balances(ledger: Ledger) -> None:
    """The balances are the sums of their transactions, and what was transferred isn't lost or doubled."""
    sums: defaultdict[str, int] = defaultdict(int)
    for each in ledger.listed(BalanceTransaction, Page(limit=10_000))[0]:
        sums[each.account] += each.net
    for account in (PLATFORM, SELLER.id):
        assert sum(ledger.balance(account).get("usd", (0, 0))) == sums[account]
    made = ledger.listed(Transfer, Page(limit=10_000))[0]
    given_ = sum(each.amount - each.amount_reversed for each in made)
    on_its_way = sum(each.amount for each in all_payouts(ledger) if each.status != "failed")
    assert sums[SELLER.id] == given_ - on_its_way
    assert sums[SELLER.id] >= 0
    for charge in ledger.listed(Charge, Page(limit=10_000))[0]:
        of_charge = [each for each in made if each.source_transaction == charge.id]
        assert sum(each.amount - each.amount_reversed for each in of_charge) <= charge.amount


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["pay", "transfer", "reverse", "wait", "pay out", "break bank", "repair bank"]),
        st.integers(1, 3000),
        st.integers(0, 5),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_balances_are_the_sums_of_their_transactions_after_any_steps(
    steps: list[tuple[str, int, int]],
) -> None:
    ledger = new_ledger()
    ledger.save(SELLER)
    charges: list[Charge] = []
    made: list[Transfer] = []
    for number, (kind, amount, which) in enumerate(steps):
        try:
            if kind == "pay":
                cards = ("visa", "bypassPending")
                charges.append(paid(ledger, f"ch_{number}", max(amount, 50), card=cards[which % 2]))
            elif kind == "transfer" and charges:
                made.append(transfer(ledger, charges[which % len(charges)], amount))
            elif kind == "reverse" and made:
                tree = {"amount": str(amount)}
                transfers.create_reversal(made[which % len(made)].id, tree).work(ledger)
            elif kind == "wait":
                payouts.let_time_pass(ledger, int(time.time()) + (LATER if which % 2 else 0))
            elif kind == "pay out":
                tree = {"amount": str(amount), "currency": "usd"}
                payouts.create_payout(tree, account=SELLER.id).work(ledger)
            elif kind in ("break bank", "repair bank"):
                account = ledger.find(Account, SELLER.id)
                assert account is not None
                choice: Choice = "failing_bank" if kind == "break bank" else "complete"
                ledger.save(rules.onboard(account, choice, bank_id=f"ba_{number}"))
        except StripeError:
            pass  # a request that isn't possible changes nothing
        check_balances(ledger)


def test_a_file_of_an_older_version_keeps_its_webhooks() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(
        """CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
        type TEXT NOT NULL, created INTEGER NOT NULL, request TEXT, idempotency_key TEXT,
        object TEXT NOT NULL);
        CREATE TABLE deliveries (event INTEGER PRIMARY KEY, tries INTEGER NOT NULL, due REAL NOT NULL);
        INSERT INTO events VALUES (7, 'evt_1', 'charge.captured', 1, NULL, NULL, '{}');
        INSERT INTO deliveries VALUES (7, 2, 3.5);"""
    )
    for _ in range(2):
        prepare(connection)
    rows = connection.execute("SELECT * FROM webhooks").fetchall()
    assert rows == [("payments", 7, 2, 3.5)]
    assert connection.execute("SELECT account FROM events").fetchall() == [(None,)]
