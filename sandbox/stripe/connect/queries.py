"""One function for each GET endpoint of Connect."""

from sandbox.stripe.connect.accounts import find_account
from sandbox.stripe.connect.state import (
    PLATFORM,
    Account,
    BalanceTransaction,
    Payout,
    Transfer,
    TransferReversal,
)
from sandbox.stripe.connect.transfers import find_transfer
from sandbox.stripe.errors import missing
from sandbox.stripe.forms import Form, Tree
from sandbox.stripe.jobs import Balance, Job, Listed, Outcome, found
from sandbox.stripe.lists import PAGED, read_page
from sandbox.stripe.params import (
    PAYOUT_EXPANDS,
    REVERSAL_EXPANDS,
    TRANSACTION_EXPANDS,
    TRANSFER_EXPANDS,
    read_expand,
)
from sandbox.stripe.state import Stored
from sandbox.stripe.store import Ledger


def account(account_id: str, tree: Tree) -> Job:
    expand = read_expand(Form(tree, "expand"), "")
    return Job(lambda ledger: find_account(ledger, account_id), expand)


def accounts(tree: Tree) -> Job:
    return _list(Account, "/v1/accounts", Form(tree, PAGED), "", {})


def transfer(transfer_id: str, tree: Tree) -> Job:
    expand = read_expand(Form(tree, "expand"), TRANSFER_EXPANDS)
    return Job(lambda ledger: find_transfer(ledger, transfer_id), expand)


def transfers(tree: Tree) -> Job:
    form = Form(tree, f"{PAGED} destination transfer_group")
    fields = {name: form.text(name) for name in ("destination", "transfer_group")}
    return _list(Transfer, "/v1/transfers", form, TRANSFER_EXPANDS, fields)


def reversal(transfer_id: str, reversal_id: str, tree: Tree) -> Job:
    expand = read_expand(Form(tree, "expand"), REVERSAL_EXPANDS)

    def work(ledger: Ledger) -> Outcome:
        find_transfer(ledger, transfer_id)
        reversal = ledger.find(TransferReversal, reversal_id)
        mine = reversal if reversal is not None and reversal.transfer == transfer_id else None
        return found(mine, "transfer reversal", reversal_id)

    return Job(work, expand)


def reversals(transfer_id: str, tree: Tree) -> Job:
    form, url = (
        Form(tree, "ending_before expand limit starting_after"),
        f"/v1/transfers/{transfer_id}/reversals",
    )
    return _list(TransferReversal, url, form, REVERSAL_EXPANDS, {"transfer": transfer_id})


def balance(tree: Tree, *, account: str = PLATFORM) -> Job:
    expand = read_expand(Form(tree, "expand"), "")

    def work(ledger: Ledger) -> Outcome:
        if account != PLATFORM:
            find_account(ledger, account)
        return Balance(ledger.balance(account))

    return Job(work, expand)


def balance_transaction(transaction_id: str, tree: Tree, *, account: str = PLATFORM) -> Job:
    expand = read_expand(Form(tree, "expand"), TRANSACTION_EXPANDS)

    def work(ledger: Ledger) -> Outcome:
        transaction = ledger.find(BalanceTransaction, transaction_id)
        mine = transaction if transaction is not None and transaction.account == account else None
        return found(mine, "balance transaction", transaction_id)

    return Job(work, expand)


def balance_transactions(tree: Tree, *, account: str = PLATFORM) -> Job:
    form = Form(tree, f"{PAGED} currency source type")
    fields = {"account": account, **{name: form.text(name) for name in ("currency", "source", "type")}}
    return _list(BalanceTransaction, "/v1/balance_transactions", form, TRANSACTION_EXPANDS, fields)


def payout(payout_id: str, tree: Tree, *, account: str = PLATFORM) -> Job:
    expand = read_expand(Form(tree, "expand"), PAYOUT_EXPANDS)

    def work(ledger: Ledger) -> Outcome:
        payout = ledger.find(Payout, payout_id)
        mine = payout if payout is not None and payout.account == account else None
        return found(mine, "payout", payout_id, param="payout")

    return Job(work, expand)


def payouts(tree: Tree, *, account: str = PLATFORM) -> Job:
    form = Form(tree, f"{PAGED} status")
    fields = {"account": account, "status": form.choice("status", "failed in_transit paid pending")}
    return _list(Payout, "/v1/payouts", form, PAYOUT_EXPANDS, fields)


def _list(kind: type[Stored], url: str, form: Form, expandable: str, fields: dict[str, str | None]) -> Job:
    page = read_page(form)

    def work(ledger: Ledger) -> Outcome:
        if fields.get("account"):
            find_account(ledger, str(fields["account"]))
        for name in ("starting_after", "ending_before"):
            cursor = getattr(page, name)
            if cursor is not None and ledger.find(kind, cursor) is None:
                raise missing("object", cursor, param=name)
        things, has_more = ledger.listed(kind, page, fields=fields)
        return Listed(things, has_more, url)

    return Job(work, read_expand(form, expandable, within="data."))
