"""The endpoints that move money between the platform and connected accounts.

https://docs.stripe.com/api/transfers and https://docs.stripe.com/api/transfer_reversals
"""

import time
from dataclasses import replace

from sandbox.stripe.connect import rules
from sandbox.stripe.connect.balance import available, book, total
from sandbox.stripe.connect.state import PLATFORM, Account, BalanceTransaction, Transfer, TransferReversal
from sandbox.stripe.errors import StripeError, missing
from sandbox.stripe.forms import Form, Tree
from sandbox.stripe.jobs import Job, Outcome, found, mint
from sandbox.stripe.params import REVERSAL_EXPANDS, TRANSFER_EXPANDS, read_currency, read_expand
from sandbox.stripe.state import Charge
from sandbox.stripe.store import Ledger, Page


def create_transfer(tree: Tree) -> Job:
    form = Form(
        tree, "amount currency description destination expand metadata source_transaction transfer_group"
    )
    for name in ("amount", "currency", "destination"):
        form.required(name)
    amount, currency = form.amount("amount"), read_currency(form)
    assert amount is not None
    assert currency is not None
    destination, source_id = form.required("destination"), form.text("source_transaction")
    metadata = {name: value for name, value in form.metadata().items() if value != ""}
    group, description = form.text("transfer_group"), form.text("description")

    def work(ledger: Ledger) -> Outcome:
        account = ledger.find(Account, destination)
        if account is None:
            raise missing("destination", destination, param="destination")
        charge = _source(ledger, source_id)
        source = ledger.find(BalanceTransaction, charge.balance_transaction) if charge else None
        rules.check_transfer(
            amount,
            currency,
            account,
            source=source,
            earlier=transfers_of(ledger, source_id),
            available=available(ledger, PLATFORM, currency),
        )
        id_, payment = mint("tr"), mint("py")
        # Money of a payment that isn't available yet becomes available in both balances at the same time.
        at = source.available_on if source else 0
        transfer = Transfer(
            id=id_,
            created=int(time.time()),
            amount=amount,
            currency=currency,
            destination=account.id,
            destination_payment=payment,
            balance_transaction=book(ledger, "transfer", id_, -amount, currency, available_on=at),
            source_transaction=source_id,
            transfer_group=group or _group_of(charge),
            description=description,
            metadata=metadata,
        )
        book(ledger, "payment", payment, amount, currency, account=account.id, available_on=at)
        ledger.save(transfer)
        return transfer

    return Job(work, read_expand(form, TRANSFER_EXPANDS), changes=source_id)


def _source(ledger: Ledger, source_id: str | None) -> Charge | None:
    """The payment that a transfer takes its money from."""
    if source_id is None:
        return None
    charge = ledger.find(Charge, source_id)
    if charge is None:
        raise missing("charge", source_id, param="source_transaction")
    if charge.balance_transaction is None:
        raise StripeError(
            f"The charge {source_id} can't be used as source_transaction: it isn't captured.",
            param="source_transaction",
        )
    return charge


def _group_of(charge: Charge | None) -> str | None:
    """The group of a transfer that names none. Like Stripe, call it after the payment."""
    if charge is None:
        return None
    return charge.transfer_group or f"group_{charge.payment_intent}"


def transfers_of(ledger: Ledger, source_id: str | None) -> list[Transfer]:
    """All transfers of a payment."""
    if source_id is None:
        return []
    transfers, _ = ledger.listed(Transfer, Page(limit=1000), fields={"source_transaction": source_id})
    return transfers


def update_transfer(transfer_id: str, tree: Tree) -> Job:
    form = Form(tree, "description expand metadata")
    description, metadata = form.text("description"), form.metadata()

    def work(ledger: Ledger) -> Outcome:
        transfer = find_transfer(ledger, transfer_id)
        merged = {**transfer.metadata, **metadata}
        transfer = replace(
            transfer,
            description=description or transfer.description,
            metadata={name: value for name, value in merged.items() if value != ""},
        )
        ledger.save(transfer)
        return transfer

    return Job(work, read_expand(form, TRANSFER_EXPANDS), changes=transfer_id)


def create_reversal(transfer_id: str, tree: Tree) -> Job:
    form = Form(tree, "amount expand metadata")
    amount = form.amount("amount")
    metadata = {name: value for name, value in form.metadata().items() if value != ""}

    def work(ledger: Ledger) -> Outcome:
        transfer = find_transfer(ledger, transfer_id)
        destination, currency = transfer.destination, transfer.currency
        transfer, taken = rules.reverse(transfer, amount, available=total(ledger, destination, currency))
        id_, refund = mint("trr"), mint("pyr")
        made = find_transaction(ledger, transfer.balance_transaction)
        # What is still pending in both balances is taken back from what is pending.
        at = made.available_on
        book(ledger, "payment_refund", refund, -taken, currency, account=destination, available_on=at)
        reversal = TransferReversal(
            id=id_,
            created=int(time.time()),
            amount=taken,
            currency=currency,
            transfer=transfer_id,
            balance_transaction=book(ledger, "transfer_refund", id_, taken, currency, available_on=at),
            destination_payment_refund=refund,
            metadata=metadata,
        )
        ledger.save(reversal, transfer)
        return reversal

    return Job(work, read_expand(form, REVERSAL_EXPANDS), changes=transfer_id)


def find_transaction(ledger: Ledger, transaction_id: str) -> BalanceTransaction:
    transaction = ledger.find(BalanceTransaction, transaction_id)
    assert transaction is not None, "transactions are never deleted"
    return transaction


def find_transfer(ledger: Ledger, transfer_id: str) -> Transfer:
    """The transfer with the id in the path."""
    return found(ledger.find(Transfer, transfer_id), "transfer", transfer_id)
