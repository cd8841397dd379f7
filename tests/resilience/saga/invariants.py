"""The invariants of a saga at rest. They hold after any sequence of messages and failures."""

from itertools import pairwise
from typing import Any

from services.payouts.ledger import total
from tests.resilience.saga.world import World

FINAL = ("complete", "cancelled", "refunded")
AFTER = {
    "created": {"created", "awaiting:payment", "complete", "cancelled"},
    "awaiting:payment": {"awaiting:payment", "complete", "cancelled"},
    "complete": {"complete", "refunded"},
    "cancelled": set(),
    "refunded": {"refunded"},
}


WHILE_COMPLETE = ("delivery", "overdueAt", "remindedAt", "refundedAmount", "problem", "refundDue")
"""What may change of an order that stays complete."""
THERE = ("delivered", "confirmed")
CAPTURED = ("captured", "refunding", "refunded")
"""Statuses of payments whose money the platform has got."""


async def settle_and_check(world: World) -> None:
    """Let the saga come to rest, and check it.

    Raises:
        AssertionError: describes the violation.
    """
    await world.settle()
    stored = {key: await _order(world, key) for key in world.saga.orders}
    await check_money(world)
    for key, order in stored.items():
        await _check_end_of_sale(world, key, order)
        await _check_files(world, order)
    holding = [key for key, order in stored.items() if order["active"]]
    assert len(holding) <= 1, f"{len(holding)} orders hold one ticket"
    for key, order in stored.items():
        await _check_order(world, key, order)
    _check_ticket(world.saga.history.get(world.saga.ticket, []), stored)


async def check_money(world: World) -> None:
    """Check the sales and the ledger while nothing is under way, although time may still pass.

    Raises:
        AssertionError: describes the violation.
    """
    for key in world.saga.orders:
        captured = [each for each in await world.payments_of(key) if each["status"] in CAPTURED]
        money = await world.sellers.money_of(key)
        sale = money.sale
        if sale is None:
            assert not captured, f"the payment is {captured[0]['status']}, but there is no sale"
            assert not money.transfers, "an order without a sale was transferred"
            continue
        assert captured, "there is a sale without a captured payment"
        [payment] = captured
        refunded = sum(each["amount"] for each in payment["refunds"] if each["status"] == "succeeded")
        accounts = sale.accounts
        assert accounts.is_balanced, f"the sale isn't balanced: {accounts!r}"
        assert not sale.unbooked, "a change of the sale isn't in the ledger"
        assert total(money.entries) == accounts, f"the ledger doesn't say {accounts!r}: {money.entries!r}"
        assert (accounts.received, accounts.refunded) == (payment["amount"], refunded), (
            f"{payment['amount']} was paid and {refunded} refunded, but the sale has {accounts!r}"
        )
        if not world.transport.late:
            known = {each.id: (each.sent, each.reversed) for each in sale.transfers}
            made = {each["id"]: (each["amount"], each["amount_reversed"]) for each in money.transfers}
            assert known == made, f"payouts knows the transfers {known}, but there are {made}"
        assert sum(each["amount"] - each["amount_reversed"] for each in money.transfers) <= sale.gross, (
            "the seller was paid more than the buyer"
        )
        order = await _order(world, key)
        assert not (order["report_open"] and money.transfers), "the money of a reported order was transferred"
        _check_versions(world.saga.payouts.get(key, []))


async def _check_end_of_sale(world: World, key: str, order: dict[str, Any]) -> None:
    """The seller of an order at rest has the money, unless the buyer has it or waits for the ticket."""
    sale = (await world.sellers.money_of(key)).sale
    if sale is None:
        return
    state = f"the order is {order['status']} and {order['delivery']}, but its sale is {sale.state}"
    assert sale.planned is None, "the outcome of a transfer isn't known"
    assert not sale.owed, f"the seller owes {sale.owed}"
    if order["status"] != "complete":
        assert (sale.state, sale.paid_out) == ("reversed", 0), state
    elif order["delivery"] in THERE:
        assert (sale.state, sale.held, sale.paid_out) == ("paid", 0, sale.net), state
    else:
        assert (sale.state, sale.paid_out) == ("held", 0), state
    world.outcomes[f"sale/{sale.state}"] += 1


async def _check_files(world: World, order: dict[str, Any]) -> None:
    """The buyer of delivered files can read them."""
    if order["status"] == "complete" and order["delivery"] in THERE and world.promised:
        assert await world.read_files(order["user_id"]), "the delivered files are empty"


def _check_versions(versions: list[int]) -> None:
    assert sorted(versions) == list(range(len(versions))), "a version of the sale is missing or was repeated"


async def _order(world: World, key: str) -> dict[str, Any]:
    collection = world.orders_db["orders"]
    found = [order async for order in collection.find({"ticket_id": world.saga.ticket})]
    return next(order for order in found if str(order["_id"]) == key)


async def _check_order(world: World, key: str, order: dict[str, Any]) -> None:
    payments = await world.payments_of(key)
    intents = [await world.intent(intent) for intent in sorted(await world.intents_of(key))]
    assert order["status"] in FINAL, f"the order is {order['status']} at rest"
    price = order["price_minor"]
    _check_history(world.saga.history.get(key, []))
    assert len(payments) <= 1, f"{len(payments)} payments of one order"
    assert len(intents) <= 1, f"{len(intents)} intents of one order"

    assert not await world.open_pages_of(key), "a page is open"
    captured = sum(intent["amount_received"] for intent in intents)
    refunded = sum(
        intent["latest_charge"]["amount_refunded"] for intent in intents if intent["amount_received"]
    )
    assert not any(intent["amount_capturable"] for intent in intents), "an authorization is open"
    assert captured == (price if order["status"] in ("complete", "refunded") else 0), (
        f"the order is {order['status']}, but {captured} was captured"
    )
    parts = order["refunded_minor"] if order["status"] == "complete" else 0
    assert refunded == (price if order["status"] == "refunded" else parts), (
        f"the order is {order['status']}, but {refunded} was refunded"
    )
    assert order["status"] != "complete" or parts >= order["refund_due_minor"], "a decision has no effect"
    for payment in payments:
        _check_payment(payment, order, intents)
    _check_delivery(order, world.saga.history.get(key, []))
    world.outcomes["/".join([order["status"], *(payment["status"] for payment in payments)])] += 1


def _check_delivery(order: dict[str, Any], events: list[dict[str, Any]]) -> None:
    """A buyer has the ticket or the money, and not both."""
    delivery, promised = order["delivery"], order["details"]["delivery"] != "seller"
    assert not (order["status"] == "complete" and promised and delivery not in THERE), (
        f"a promised ticket is {delivery} at rest, and nobody is refunded"
    )
    states = [event["delivery"] for event in sorted(events, key=lambda event: event["version"])]
    assert not ("delivered" in states and "failed" in states), (
        f"the delivery was {', '.join(map(str, states))}"
    )


def _check_ticket(events: list[dict[str, Any]], orders: dict[str, dict[str, Any]]) -> None:
    """Every order got the ticket as the seller offered it, and none got a withdrawn ticket."""
    events = sorted(events, key=lambda event: event["version"])
    for before, after in pairwise(events):
        if after["orderId"] in (None, before["orderId"]):
            continue
        assert before["status"] != "withdrawn", "a withdrawn ticket was held"
        assert (after["price"], after["title"]) == (before["price"], before["title"]), "outdated price"
    owner = next((key for key, order in orders.items() if order["active"]), None)
    newest = events[-1]
    assert newest["orderId"] == owner, f"the order {owner} is active, but the ticket has {newest['orderId']}"
    for key, order in orders.items():
        if order["status"] in ("complete", "refunded"):
            held = [event for event in events if event["orderId"] == key and event["status"] == "reserved"]
            assert held, "an order was completed without a confirmed hold"


def _check_payment(payment: dict[str, Any], order: dict[str, Any], intents: list[dict[str, Any]]) -> None:
    ended = {"complete": "captured", "refunded": "refunded", "cancelled": "voided"}[order["status"]]
    assert payment["status"] == ended, f"the order is {order['status']}, but its payment {payment['status']}"
    assert payment["amount"] == order["price_minor"]
    if payment["intent_id"]:
        (intent,) = intents
        assert intent["id"] == payment["intent_id"]
        at_stripe = {"captured": "succeeded", "refunded": "succeeded", "voided": "canceled"}[
            payment["status"]
        ]
        assert intent["status"] == at_stripe, (
            f"the payment is {payment['status']}, but its intent {intent['status']}"
        )


def _check_history(events: list[dict[str, Any]]) -> None:
    events = sorted(events, key=lambda event: event["version"])
    assert [event["version"] for event in events] == list(range(len(events))), (
        "a version is missing or was published twice"
    )
    for before, after in pairwise(events):
        assert after["status"] in AFTER[before["status"]], f"{before['status']} became {after['status']}"
        if before["status"] == after["status"] == "complete":
            assert any(before[name] != after[name] for name in WHILE_COMPLETE), "a paid order changed in vain"
