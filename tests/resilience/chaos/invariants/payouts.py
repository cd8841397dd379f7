"""Sellers get the money of every captured payment, once."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from services.payouts.ledger import LEFT, RIGHT
from tests.resilience.chaos.history import History
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

    That holds for each entry and therefore for all together. What the entries of an order say was received,
    paid out and returned is what its sale says.
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
    for sale in history.sales:
        paid_out = sum(transfer["amount"] - transfer["reversed"] for transfer in sale["transfers"])
        expected = {"received": sale["gross"], "refunded": sale["refunded"], "paid_out": paid_out}
        for name, amount in expected.items():
            booked = sums[key(sale)][name]
            if booked != amount:
                yield f"the ledger says {name} {booked} of order {key(sale)}, and its sale {amount}"


def _order_of(transfer: Mapping[str, Any]) -> str:
    return str(transfer["metadata"].get("order_id", ""))
