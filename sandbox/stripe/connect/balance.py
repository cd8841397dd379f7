"""Moves money into and out of balances. Each movement is a balance transaction."""

import time
from dataclasses import replace

from sandbox.stripe.connect import rules
from sandbox.stripe.connect.state import PLATFORM, Account, BalanceTransaction, TransactionType
from sandbox.stripe.jobs import mint
from sandbox.stripe.state import Charge, Dispute, Refund
from sandbox.stripe.store import Ledger

FUNDS, AUTOMATIC, ARRIVAL, CHECK = "funds", "automatic payout", "arrival", "check"
"""The kinds of timers: money becomes available, an automatic payout begins, a payout arrives, an account is
verified."""


def book(
    ledger: Ledger,
    type_: TransactionType,
    source: str,
    amount: int,
    currency: str,
    *,
    account: str = PLATFORM,
    fee: int = 0,
    available_on: int = 0,
    exchange_rate: float | None = None,
    description: str | None = None,
) -> str:
    """Add an amount to a balance, or take it away if it is negative. Return the transaction's id.

    Until `available_on`, the amount is pending.
    """
    now = int(time.time())
    transaction = BalanceTransaction(
        id=mint("txn"),
        created=now,
        account=account,
        type=type_,
        source=source,
        amount=amount,
        fee=fee,
        currency=currency,
        available_on=max(available_on, now),
        exchange_rate=exchange_rate,
        description=description,
    )
    ledger.save(transaction)
    if transaction.available_on > now:
        ledger.move_money(account, currency, pending=transaction.net)
        ledger.set_timer(FUNDS, transaction.id, transaction.available_on)
    else:
        ledger.move_money(account, currency, available=transaction.net)
        schedule_payout(ledger, account)
    return transaction.id


def release(ledger: Ledger, transaction_id: str) -> None:
    """Make the money of a transaction available."""
    transaction = ledger.find(BalanceTransaction, transaction_id)
    assert transaction is not None, "transactions are never deleted"
    net = transaction.net
    ledger.move_money(transaction.account, transaction.currency, available=net, pending=-net)
    schedule_payout(ledger, transaction.account)


def schedule_payout(ledger: Ledger, account_id: str) -> None:
    """Plan the next automatic payout of a connected account, if there is something to pay out."""
    account = ledger.find(Account, account_id)
    if account is None or account.interval != "daily" or not account.payouts_enabled:
        return
    if any(available > 0 for available, _ in ledger.balance(account_id).values()):
        ledger.set_timer(AUTOMATIC, account_id, int(time.time()) + rules.PAYOUT_SECONDS)


def available(ledger: Ledger, account: str, currency: str) -> int:
    return ledger.balance(account).get(currency, (0, 0))[0]


def total(ledger: Ledger, account: str, currency: str) -> int:
    """What is available and what is pending."""
    return sum(ledger.balance(account).get(currency, (0, 0)))


def receive(ledger: Ledger, charge: Charge) -> Charge:
    """Add a payment to the platform's balance, once it is captured."""
    if not charge.captured or charge.balance_transaction is not None:
        return charge
    settled, currency, rate = rules.settlement(charge.amount_captured, charge.currency)
    waits = 0 if charge.method.card.is_available_at_once else rules.AVAILABLE_SECONDS
    transaction = book(
        ledger,
        "charge",
        charge.id,
        settled,
        currency,
        fee=rules.fee(settled),
        available_on=int(time.time()) + waits,
        exchange_rate=rate,
        description=charge.description,
    )
    return replace(charge, balance_transaction=transaction)


def give_back(ledger: Ledger, refund: Refund) -> Refund:
    """Take a new refund out of the platform's balance. Stripe keeps its fee."""
    settled, currency, rate = rules.settlement(refund.amount, refund.currency)
    transaction = book(ledger, "refund", refund.id, -settled, currency, exchange_rate=rate)
    return replace(refund, balance_transaction=transaction)


def take_again(ledger: Ledger, refund: Refund) -> Refund:
    """Put the money of a failed refund back into the platform's balance."""
    settled, currency, rate = rules.settlement(refund.amount, refund.currency)
    transaction = book(ledger, "refund_failure", refund.id, settled, currency, exchange_rate=rate)
    return replace(refund, failure_balance_transaction=transaction)


def withdraw_dispute(ledger: Ledger, dispute: Dispute) -> Dispute:
    """Take the disputed amount and a fee out of the platform's balance."""
    return _adjust(ledger, dispute, -1)


def reinstate_dispute(ledger: Ledger, dispute: Dispute) -> Dispute:
    """Give back the amount and the fee of a dispute that is won."""
    return _adjust(ledger, dispute, +1)


def _adjust(ledger: Ledger, dispute: Dispute, sign: int) -> Dispute:
    settled, currency, rate = rules.settlement(dispute.amount, dispute.currency)
    made = book(
        ledger,
        "adjustment",
        dispute.id,
        sign * settled,
        currency,
        fee=-sign * rules.DISPUTE_FEE,
        exchange_rate=rate,
        description=f"Chargeback {'withdrawal' if sign < 0 else 'reversal'} for {dispute.charge}",
    )
    return replace(dispute, balance_transactions=(*dispute.balance_transactions, made))
