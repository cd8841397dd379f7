"""Payouts of balances to bank accounts: https://docs.stripe.com/api/payouts

Connected accounts are paid out automatically, unless their schedule says `manual`. The platform's payouts are
manual.
"""

import time
from dataclasses import replace

from sandbox.stripe.connect import rules
from sandbox.stripe.connect.accounts import find_account, verify
from sandbox.stripe.connect.balance import ARRIVAL, AUTOMATIC, CHECK, FUNDS, available, book, release
from sandbox.stripe.connect.state import PLATFORM, Account, Payout
from sandbox.stripe.errors import StripeError
from sandbox.stripe.forms import Form, Tree
from sandbox.stripe.jobs import Job, Outcome, mint
from sandbox.stripe.params import PAYOUT_EXPANDS, read_currency, read_expand
from sandbox.stripe.store import Ledger

PLATFORM_BANK = "ba_sandboxPlatform"


def create_payout(tree: Tree, *, account: str = PLATFORM) -> Job:
    form = Form(tree, "amount currency description expand metadata statement_descriptor")
    for name in ("amount", "currency"):
        form.required(name)
    amount, currency = form.amount("amount"), read_currency(form)
    assert amount is not None
    assert currency is not None
    description, descriptor = form.text("description"), form.text("statement_descriptor")
    metadata = {name: value for name, value in form.metadata().items() if value != ""}

    def work(ledger: Ledger) -> Outcome:
        bank = _bank_of(ledger, account)
        if amount > available(ledger, account, currency):
            raise rules.insufficient("You have insufficient funds in your Stripe account for this payout.")
        payout = _begin(ledger, account, bank, amount, currency, automatic=False)
        payout = replace(payout, description=description, metadata=metadata, statement_descriptor=descriptor)
        ledger.save(payout)
        return payout

    return Job(work, read_expand(form, PAYOUT_EXPANDS), changes=account or None)


def _bank_of(ledger: Ledger, account_id: str) -> str:
    if account_id == PLATFORM:
        return PLATFORM_BANK
    account = find_account(ledger, account_id)
    if not account.payouts_enabled or account.bank is None:
        raise StripeError(
            "Cannot create payouts: this account has requirements that need to be collected.",
            code="payouts_not_allowed",
        )
    return account.bank


def _begin(ledger: Ledger, account: str, bank: str, amount: int, currency: str, *, automatic: bool) -> Payout:
    now, id_ = int(time.time()), mint("po")
    payout = Payout(
        id=id_,
        created=now,
        account=account,
        amount=amount,
        currency=currency,
        automatic=automatic,
        arrives_at=now + rules.ARRIVAL_SECONDS,
        destination=bank,
        balance_transaction=book(ledger, "payout", id_, -amount, currency, account=account),
        description="STRIPE PAYOUT" if automatic else None,
    )
    ledger.set_timer(ARRIVAL, id_, payout.arrives_at)
    return payout


def let_time_pass(ledger: Ledger, now: int) -> None:
    """Do what is due: make money available, begin automatic payouts, let them arrive, verify accounts."""
    for kind, id_ in ledger.due_timers(now):
        if kind == FUNDS:
            release(ledger, id_)
        elif kind == AUTOMATIC:
            _pay_out(ledger, id_)
        elif kind == ARRIVAL:
            _arrive(ledger, id_)
        elif kind == CHECK:
            verify(ledger, id_)


def _pay_out(ledger: Ledger, account_id: str) -> None:
    """Pay out everything that is available on a connected account."""
    account = find_account(ledger, account_id)
    if account.interval != "daily" or not account.payouts_enabled or account.bank is None:
        return
    for currency, (amount, _) in ledger.balance(account_id).items():
        if amount > 0:
            ledger.save(_begin(ledger, account_id, account.bank, amount, currency, automatic=True))


def _arrive(ledger: Ledger, payout_id: str) -> None:
    """Complete a payout. If the bank account doesn't exist, the money comes back."""
    payout = ledger.find(Payout, payout_id)
    assert payout is not None, "payouts are never deleted"
    account = ledger.find(Account, payout.account)
    if account is None or not account.bank_refuses or account.bank != payout.destination:
        ledger.save(replace(payout, status="paid"))
        return
    # First the account, so that the money that comes back isn't paid out again.
    ledger.save(replace(account, bank_failed=True))
    back = book(ledger, "payout_failure", payout.id, payout.amount, payout.currency, account=payout.account)
    ledger.save(replace(payout, status="failed", failure_balance_transaction=back))
