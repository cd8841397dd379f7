"""PaymentIntents and charges: https://docs.stripe.com/payments/paymentintents/lifecycle"""

import time
from typing import NoReturn

from tests.support.fixture_stripe.account import Account, new_id
from tests.support.fixture_stripe.cards import Card, card_of
from tests.support.fixture_stripe.errors import StripeProblem
from tests.support.fixture_stripe.fixtures import Json

_CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
_CANCELABLE = (*_CONFIRMABLE, "requires_capture")
_NEW: Json = {
    "amount_capturable": 0,
    "amount_received": 0,
    "canceled_at": None,
    "cancellation_reason": None,
    "last_payment_error": None,
    "latest_charge": None,
    "next_action": None,
    "payment_method": None,
    "processing": None,
    "status": "requires_payment_method",
}
"""The state of an intent that nobody has confirmed. The fixture has values in fields that contradict it."""


def create_intent(account: Account, given: Json) -> Json:
    intent = new_intent(account, given, given["amount"], given["currency"])
    if automatic := given.get("automatic_payment_methods"):
        intent["automatic_payment_methods"] = {"allow_redirects": "always"} | automatic
    return intent


def new_intent(account: Account, given: Json, amount: int, currency: str) -> Json:
    key = new_id("pi")
    intent = account.make(
        "payment_intent",
        **_NEW,
        id=key,
        amount=amount,
        currency=currency,
        capture_method=given.get("capture_method", "automatic_async"),
        client_secret=new_id(f"{key}_secret"),
        description=given.get("description"),
        metadata=given.get("metadata", {}),
    )
    account.record(intent, "payment_intent.created")
    return intent


def confirm_intent(account: Account, given: Json, key: str) -> Json:
    """
    Raises:
        StripeProblem: the bank declines the card (402), or the status doesn't allow the request.
    """
    intent = account.find("payment_intent", key)
    _check_status(account, intent, _CONFIRMABLE, "confirmed")
    card = _card(given)
    method = account.make("payment_method")
    account.cards[method["id"]] = card
    intent |= {"payment_method": method["id"], "last_payment_error": None, "next_action": None}
    if not card.is_checked:
        return pay(account, intent)
    return _ask_bank(account, intent, None if given.get("use_stripe_sdk") else given.get("return_url"))


def _card(given: Json) -> Card:
    if data := given.get("payment_method_data"):
        return card_of(data["card"]["token"])
    if name := given.get("payment_method"):
        return card_of(name)
    message = "You cannot confirm this PaymentIntent because it's missing a payment method."
    raise StripeProblem(message, code="payment_intent_unexpected_state")


def _ask_bank(account: Account, intent: Json, return_url: str | None) -> Json:
    """Without a return URL only Stripe.js can ask: https://docs.stripe.com/payments/3d-secure"""
    page = f"{account.url}/3d_secure/{intent['id']}"
    if return_url:
        action: Json = {"redirect_to_url": {"return_url": return_url, "url": page}, "type": "redirect_to_url"}
    else:
        details = {"type": "three_d_secure_redirect", "stripe_js": page, "source": new_id("src")}
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": details}
    intent |= {"status": "requires_action", "next_action": action}
    account.record(intent, "payment_intent.requires_action")
    return intent


def answer_bank(account: Account, key: str, *, approved: bool) -> Json:
    """Apply the cardholder's answer. A repeated answer changes nothing."""
    intent = account.find("payment_intent", key)
    if intent["status"] != "requires_action":
        return intent
    if approved:
        return pay(account, intent)
    error = {
        "code": "payment_intent_authentication_failure",
        "doc_url": "https://stripe.com/docs/error-codes/payment-intent-authentication-failure",
        "message": "The provided PaymentMethod has failed authentication.",
        "payment_method": account.find("payment_method", intent["payment_method"]),
        "type": "invalid_request_error",
    }
    _fail(account, intent, error)
    return intent


def pay(account: Account, intent: Json) -> Json:
    """Ask the bank for the money.

    Raises:
        StripeProblem: it declines (402).
    """
    method = account.find("payment_method", intent["payment_method"])
    card = account.cards[method["id"]]
    charge = _charge(account, intent, card)
    intent |= {"latest_charge": charge["id"], "next_action": None}
    if card.code is None:
        _approve(account, intent, charge)
        return intent
    problem = StripeProblem(
        card.message,
        status=402,
        kind="card_error",
        charge=charge["id"],
        code=card.code,
        decline_code=card.decline_code,
        payment_method=method,
    )
    _fail(account, intent, problem.fields)
    problem.fields = {**problem.fields, "payment_intent": account.shown(intent)}
    raise problem


def _charge(account: Account, intent: Json, card: Card) -> Json:
    fields: Json = {
        "amount": intent["amount"],
        "currency": intent["currency"],
        "description": intent["description"],
        "metadata": intent["metadata"],
        "payment_intent": intent["id"],
        "payment_method": intent["payment_method"],
    }
    if card.code:
        outcome = {
            "network_status": "declined_by_network",
            "reason": card.decline_code,
            "type": "issuer_declined",
        }
        failure = {"failure_code": card.code, "failure_message": card.message}
        fields |= {"paid": False, "status": "failed", "outcome": outcome, **failure}
    charge = account.make("charge", **fields)
    account.record(charge, "charge.failed" if card.code else "charge.succeeded")
    return charge


def _approve(account: Account, intent: Json, charge: Json) -> None:
    if intent["capture_method"] == "manual":
        intent |= {"status": "requires_capture", "amount_capturable": intent["amount"]}
        account.record(intent, "payment_intent.amount_capturable_updated")
    else:
        _collect(account, intent, charge, intent["amount"])


def _fail(account: Account, intent: Json, error: Json) -> None:
    intent |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "next_action": None,
        "last_payment_error": error,
    }
    account.record(intent, "payment_intent.payment_failed")


def capture_intent(account: Account, given: Json, key: str) -> Json:
    intent = account.find("payment_intent", key)
    _check_status(account, intent, ("requires_capture",), "captured")
    charge = account.find("charge", intent["latest_charge"])
    _collect(account, intent, charge, given.get("amount_to_capture") or intent["amount"])
    return intent


def _collect(account: Account, intent: Json, charge: Json, amount: int) -> None:
    charge |= {"captured": True, "amount_captured": amount}
    intent |= {"status": "succeeded", "amount_capturable": 0, "amount_received": amount}
    account.record(charge, "charge.captured")
    account.record(intent, "payment_intent.succeeded")
    if account.cards[charge["payment_method"]].is_disputed:
        charge["disputed"] = True
        dispute = account.make(
            "dispute",
            amount=amount,
            currency=charge["currency"],
            charge=charge["id"],
            payment_intent=intent["id"],
            reason="fraudulent",
            status="needs_response",
        )
        account.record(dispute, "charge.dispute.created", "charge.dispute.funds_withdrawn")


def cancel_intent(account: Account, given: Json, key: str) -> Json:
    """Cancel it, and give back what is authorized, which Stripe calls a refund too."""
    intent = account.find("payment_intent", key)
    _check_status(account, intent, _CANCELABLE, "canceled")
    if key in account.sessions and intent["status"] != "requires_capture":
        _refuse(account, intent, "You must expire the Checkout Session of this PaymentIntent instead.")
    return cancel(account, intent, given.get("cancellation_reason"))


def cancel(account: Account, intent: Json, reason: str | None) -> Json:
    if intent["status"] == "requires_capture":
        charge = account.find("charge", intent["latest_charge"])
        charge |= {"amount_refunded": charge["amount"], "refunded": True}
        money = {name: charge[name] for name in ("amount", "currency", "payment_intent")}
        account.make("refund", **money, charge=charge["id"])
        account.record(charge, "charge.refunded")
    ended = {"amount_capturable": 0, "next_action": None, "canceled_at": int(time.time())}
    intent |= {**ended, "status": "canceled", "cancellation_reason": reason}
    account.record(intent, "payment_intent.canceled")
    return intent


def _check_status(account: Account, intent: Json, allowed: tuple[str, ...], done: str) -> None:
    if intent["status"] not in allowed:
        message = f"This PaymentIntent could not be {done} because it has a status of {intent['status']}."
        _refuse(account, intent, message)


def _refuse(account: Account, intent: Json, message: str) -> NoReturn:
    shown = account.shown(intent)
    raise StripeProblem(message, code="payment_intent_unexpected_state", payment_intent=shown)
