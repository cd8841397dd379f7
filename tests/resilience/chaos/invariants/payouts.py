"""Sellers get the money of every captured payment, once."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from services.payouts.ledger import LEFT, RIGHT
from services.payouts.rules import SaleState
from tests.resilience.chaos.history import History, Stored
from tests.resilience.chaos.invariants.lookups import grouped_by, key

CAPTURED = ("captured", "refunding", "refunded")
"""Statuses of payments whose money the platform has got."""


def captured_payments_have_sales(history: History) -> Iterator[str]:
    """Every captured payment has a sale of its amount, which knows what the buyer got back."""
    sales = {key(sale): sale for sale in history.sales}
    for payment in history.payments:
        if payment["status"] not in CAPTURED:
            continue
        order, sale = payment["order_id"], sales.pop(payment["order_id"], None)
        if sale is None:
            yield f"the payment of order {order} is {payment['status']}, but payouts has no sale"
            continue
        refunded = sum(each["amount"] for each in payment["refunds"] if each["status"] == "succeeded")
        ours = (sale["gross"], sale["currency"], sale["refunded"])
        paid = (payment["amount"], payment["currency"], refunded)
        if ours != paid:
            yield f"the sale of order {order} is of {ours}, but its payment of {paid}"
    for order in sales:
        yield f"there is a sale of order {order}, but no captured payment"


def sales_are_paid_once(history: History) -> Iterator[str]:
    """A paid sale has one transfer at Stripe that isn't reversed, and any other has none.

    Payouts knows all transfers. Debts of the seller may use up a sale, which then has none.
    """
    sales = {key(sale): sale for sale in history.sales}
    made = grouped_by(history.transfers, _order_of)
    for order, transfers in made.items():
        if order not in sales:
            yield f"{len(transfers)} transfers are of order {order!r}, which has no sale"
    for order, sale in sales.items():
        transfers = made.get(order, [])
        known = {transfer["id"] for transfer in sale["transfers"]}
        made_for_it = {transfer["id"] for transfer in transfers}
        if known != made_for_it:
            yield f"order {order} has the transfers {sorted(made_for_it)}; payouts knows {sorted(known)}"
        alive = [each for each in transfers if each["amount_reversed"] < each["amount"]]
        if len(alive) > 1:
            yield f"the sale of order {order} was paid {len(alive)} times"
        if sale["state"] == "paid" and not alive and not sale["offsets"] and not sale["written_off"]:
            yield f"the sale of order {order} is paid, but Stripe has no transfer"
        if sale["state"] in ("held", "frozen") and alive:
            yield f"the sale of order {order} is {sale['state']}, but its money was transferred"


def the_ledger_is_balanced(history: History) -> Iterator[str]:
    """Received + owed by sellers + written off = held + paid out + fees + refunded + lost disputes.

    That holds for each entry, and for all of a currency together. What the entries of an order say about each
    of these is what its sale says.
    """
    sums: dict[str, Counter[str]] = {key(sale): Counter() for sale in history.sales}
    for entry in history.ledger:
        change = entry["change"]
        left, right = (sum(change.get(name, 0) for name in side) for side in (LEFT, RIGHT))
        if left != right:
            yield f"the entry {entry['_id']} changes the left side by {left} and the right side by {right}"
        order = str(entry["order_id"])
        if order not in sums:
            yield f"the entry {entry['_id']} is of order {order}, which has no sale"
            continue
        sums[order].update(change)
    settled = {
        (key(sale), each["order_id"], each["amount"]) for sale in history.sales for each in sale["settled_by"]
    }
    paid = {
        (each["order_id"], key(sale), each["amount"]) for sale in history.sales for each in sale["offsets"]
    }
    for debtor, payer, amount in settled ^ paid:
        yield f"only one of the sales knows that order {payer} pays {amount} of what {debtor} owes"
    totals: dict[str, Counter[str]] = {}
    for sale in history.sales:
        expected = _accounts(sale)
        totals.setdefault(sale["currency"], Counter()).update(expected)
        for name, amount in expected.items():
            booked = sums[key(sale)][name]
            if booked != amount:
                yield f"the ledger says {name} {booked} of order {key(sale)}, and its sale {amount}"
    for currency, accounts in totals.items():
        left, right = (sum(accounts[name] for name in side) for side in (LEFT, RIGHT))
        if left != right:
            yield f"the sales in {currency} add up to {left} on the left side and {right} on the right side"


def _accounts(sale: Stored) -> dict[str, int]:
    """What the ledger has to say about a sale.

    A debt that another sale settles is one entry, of the debtor's order: the other sale holds less.
    """
    state = SaleState.model_validate(sale)
    accounts: dict[str, int] = state.accounts.model_dump()
    paid_for_others = sum(part.amount for part in state.offsets)
    paid_by_others = sum(part.amount for part in state.settled_by)
    return {**accounts, "held": accounts["held"] + paid_for_others - paid_by_others}


def sales_are_paid_when_due(history: History) -> Iterator[str]:
    """Money that is due waits only for its seller's account, or for the next key. All changes are booked.

    A planned transfer waits for some minutes if Stripe has answered 500, which it repeats for its key.
    """
    for sale in history.sales:
        if sale["state"] == "due" and not sale["needs_account"] and sale["planned"] is None:
            yield f"the sale of order {key(sale)} is due, and its money wasn't transferred"
        if sale["unbooked"]:
            yield f"{len(sale['unbooked'])} changes of the sale of order {key(sale)} aren't in the ledger"


def _order_of(transfer: Mapping[str, Any]) -> str:
    return str(transfer["metadata"].get("order_id", ""))
