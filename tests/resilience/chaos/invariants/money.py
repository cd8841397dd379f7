"""Orders, payments and Stripe's objects agree on the money that was taken and returned."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.resilience.chaos.history import History, Stored
from tests.resilience.chaos.invariants.lookups import OPEN, by_key, grouped_by, key

ENDS = {"complete": {"captured"}, "refunded": {"refunded"}, "cancelled": {"voided", "refunded"}}
"""The possible statuses of the payment of an order in a final status."""
UNPAID = {"pending", "failed", "voided"}
"""The possible statuses of the payment of an order in any other status."""


def money_follows_orders(history: History) -> Iterator[str]:
    """A complete order was captured once, at its price. No other order keeps money or an authorization."""
    intents = grouped_by(history.intents, _order_of)
    for order in history.orders:
        own = intents.get(key(order), [])
        captured = [intent["amount_received"] for intent in own if intent["amount_received"]]
        kept = sum(map(_kept, own))
        price, status = order["price_minor"], order["status"]
        if status == "complete" and (captured != [price] or kept != price):
            yield f"order {key(order)} is complete at {price}, but {captured} was captured and {kept} kept"
        if status != "complete" and kept:
            yield f"order {key(order)} is {status}, but {kept} of its buyer's money is kept"
        if len(captured) > 1:
            yield f"order {key(order)} was captured {len(captured)} times"
        if any(intent["status"] == "requires_capture" for intent in own):
            yield f"order {key(order)} is {status}, but an authorization is open"
    known = by_key(history.orders)
    for order_id, own in intents.items():
        if order_id not in known and any(
            intent["amount_received"] or intent["status"] == "requires_capture" for intent in own
        ):
            yield f"money was taken for order {order_id!r}, which doesn't exist"


def orders_are_paid_once(history: History) -> Iterator[str]:
    """An order has at most one payment. Its amount, its user and its status match the order."""
    orders = by_key(history.orders)
    payments = grouped_by(history.payments, lambda payment: str(payment["order_id"]))
    for order_id, own in payments.items():
        if len(own) > 1:
            yield f"order {order_id} has {len(own)} payments"
        if (order := orders.get(order_id)) is None:
            yield f"a payment is of order {order_id}, which doesn't exist"
            continue
        for payment in own:
            if payment["status"] not in ENDS.get(order["status"], UNPAID):
                yield f"order {order_id} is {order['status']}, but its payment is {payment['status']}"
            if payment["amount"] != order["price_minor"]:
                yield f"order {order_id} costs {order['price_minor']}, but its payment is {payment['amount']}"
            if payment["user_id"] != order["user_id"]:
                yield f"order {order_id} is of {order['user_id']}, but its payment is of {payment['user_id']}"
    for order_id, order in orders.items():
        if order["status"] == "complete" and order_id not in payments:
            yield f"order {order_id} is complete without a payment"
        if order["status"] not in OPEN | ENDS.keys():
            yield f"order {order_id} is {order['status']}"


def payments_match_stripe(history: History) -> Iterator[str]:
    """An order has at most one PaymentIntent. Its state matches the payment's status."""
    intents = {intent["id"]: intent for intent in history.intents}
    for payment in history.payments:
        intent = intents.get(payment["intent_id"] or "")
        named = f"payment {key(payment)} of order {payment['order_id']}"
        if payment["intent_id"] and intent is None:
            yield f"{named} has intent {payment['intent_id']}, which doesn't exist at Stripe"
        elif intent is None:
            if payment["status"] not in ("pending", "voided"):
                yield f"{named} is {payment['status']} without an intent"
        elif _order_of(intent) != payment["order_id"]:
            yield f"{named} has intent {intent['id']}, of order {_order_of(intent)}"
        elif not _agrees(payment, intent):
            yield f"{named} is {payment['status']}, but its intent is {intent}"
    for order, own in grouped_by(history.intents, _order_of).items():
        if len(own) > 1:
            yield f"order {order} has {len(own)} intents"
    named_by = {payment["intent_id"] for payment in history.payments}
    for intent in history.intents:
        if intent["id"] not in named_by and intent["status"] not in ("requires_payment_method", "canceled"):
            yield f"intent {intent['id']} is {intent['status']}, but no payment has it"


def payment_pages_end_with_orders(history: History) -> Iterator[str]:
    """An order has at most one Checkout page. The page is closed when the order can't be paid any more."""
    orders = by_key(history.orders)
    for order_id, pages in grouped_by(history.pages, lambda page: str(page["client_reference_id"])).items():
        if len(pages) > 1:
            yield f"order {order_id} has {len(pages)} pages"
        status = orders[order_id]["status"] if order_id in orders else "missing"
        if status not in OPEN and any(page["status"] == "open" for page in pages):
            yield f"order {order_id} is {status}, but its page is open"


def _agrees(payment: Stored, intent: Mapping[str, Any]) -> bool:
    status, received, refunded = intent["status"], intent["amount_received"], _refunded(intent)
    match payment["status"]:
        case "captured":
            return bool(status == "succeeded" and received == payment["amount"] and not refunded)
        case "refunded":
            return bool(status == "succeeded" and received == refunded)
        case "voided":
            # Payments may have stored the intent too late to cancel it. An unpaid intent holds no money.
            return status in ("canceled", "requires_payment_method") and not received
        case _:
            return status in ("requires_payment_method", "requires_confirmation", "requires_action")


def _order_of(intent: Mapping[str, Any]) -> str:
    return str(intent["metadata"].get("order_id", ""))


def _kept(intent: Mapping[str, Any]) -> int:
    """The amount that was captured and not refunded. Stripe also calls a released authorization a refund."""
    return int(intent["amount_received"]) and intent["amount_received"] - _refunded(intent)


def _refunded(intent: Mapping[str, Any]) -> int:
    charge = intent.get("latest_charge") or {}
    return int(charge.get("amount_refunded", 0))
