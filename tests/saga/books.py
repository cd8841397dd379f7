"""What must hold of a saga that came to rest, whatever happened in it."""

from itertools import pairwise
from typing import Any

from tests.saga.world import PRICE_MINOR, World

FINAL = ("complete", "cancelled", "refunded")
AFTER = {
    "created": {"created", "awaiting:payment", "complete", "cancelled"},
    "awaiting:payment": {"awaiting:payment", "complete", "cancelled"},
    "complete": {"refunded"},
    "cancelled": set(),
    "refunded": {"refunded"},
}


async def settle_and_check(world: World) -> None:
    """Let the saga come to rest.

    Raises:
        AssertionError: what is broken.
    """
    try:
        await world.settle()
        await _check(world)
    except AssertionError as broken:
        world.violation = world.violation or broken
        raise


async def _check(world: World) -> None:
    stored = {key: await _order(world, key) for key in world.saga.orders}
    holding = [key for key, order in stored.items() if order["active"]]
    assert len(holding) <= 1, f"{len(holding)} orders have one ticket"
    for key, order in stored.items():
        await _check_order(world, key, order)


async def _order(world: World, key: str) -> dict[str, Any]:
    collection = world.orders_db["orders"]
    found = [order async for order in collection.find({"ticket_id": world.saga.ticket})]
    return next(order for order in found if str(order["_id"]) == key)


async def _check_order(world: World, key: str, order: dict[str, Any]) -> None:
    payments = await world.payments_of(key)
    intents = [await world.intent(intent) for intent in sorted(await world.intents_of(key))]
    assert order["status"] in FINAL, f"the order is left {order['status']}"
    _check_history(world.saga.history.get(key, []))
    assert len(payments) <= 1, f"{len(payments)} payments of one order"
    assert len(intents) <= 1, f"{len(intents)} intents of one order"

    assert not await world.open_pages_of(key), "a page is left open"
    captured = sum(intent["amount_received"] for intent in intents)
    refunded = sum(
        intent["latest_charge"]["amount_refunded"] for intent in intents if intent["amount_received"]
    )
    assert not any(intent["amount_capturable"] for intent in intents), "an authorization is left open"
    assert captured == (PRICE_MINOR if order["status"] in ("complete", "refunded") else 0), (
        f"the order is {order['status']}, {captured} was captured"
    )
    assert refunded == (PRICE_MINOR if order["status"] == "refunded" else 0), (
        f"the order is {order['status']}, {refunded} was refunded"
    )
    for payment in payments:
        _check_payment(payment, order, intents)
    world.outcomes["/".join([order["status"], *(payment["status"] for payment in payments)])] += 1


def _check_payment(payment: dict[str, Any], order: dict[str, Any], intents: list[dict[str, Any]]) -> None:
    ended = {"complete": "captured", "refunded": "refunded", "cancelled": "voided"}[order["status"]]
    assert payment["status"] == ended, f"the order is {order['status']}, its payment {payment['status']}"
    assert payment["amount"] == PRICE_MINOR
    if payment["intent_id"]:
        (intent,) = intents
        assert intent["id"] == payment["intent_id"]
        at_stripe = {"captured": "succeeded", "refunded": "succeeded", "voided": "canceled"}[
            payment["status"]
        ]
        assert intent["status"] == at_stripe, (
            f"the payment is {payment['status']}, its intent {intent['status']}"
        )


def _check_history(said: list[dict[str, Any]]) -> None:
    said = sorted(said, key=lambda event: event["version"])
    assert [event["version"] for event in said] == list(range(len(said))), (
        "a version is missing or said twice"
    )
    for before, after in pairwise(said):
        assert after["status"] in AFTER[before["status"]], f"{before['status']} became {after['status']}"
