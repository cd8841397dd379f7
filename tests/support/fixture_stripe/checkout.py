"""Checkout sessions: https://docs.stripe.com/payments/checkout/how-checkout-works"""

from contextlib import suppress

from tests.support.fixture_stripe import payments
from tests.support.fixture_stripe.account import Account, new_id
from tests.support.fixture_stripe.errors import StripeProblem
from tests.support.fixture_stripe.fixtures import Json


def create_session(account: Account, given: Json) -> Json:
    prices = [item["price_data"] for item in given["line_items"]]
    amount = sum(
        item["quantity"] * price["unit_amount"]
        for item, price in zip(given["line_items"], prices, strict=True)
    )
    key = new_id("cs_test")
    session = account.make(
        "checkout.session",
        id=key,
        amount_subtotal=amount,
        amount_total=amount,
        cancel_url=given.get("cancel_url"),
        client_reference_id=given.get("client_reference_id"),
        currency=prices[0]["currency"],
        expires_at=given.get("expires_at"),
        metadata=given.get("metadata", {}),
        mode=given["mode"],
        payment_intent=None,
        success_url=given["success_url"],
        url=f"{account.url}/c/pay/{key}",
    )
    account.checkouts[key] = given.get("payment_intent_data", {})
    return session


def submit_page(account: Account, key: str, token: str) -> Json:
    """Pay on Stripe's page. After a decline the session is still open."""
    session = account.find("checkout.session", key)
    if session["status"] != "open":
        return session
    if session["payment_intent"] is None:
        made = account.checkouts[key]
        intent = payments.new_intent(account, made, session["amount_total"], session["currency"])
        session["payment_intent"] = intent["id"]
        account.sessions[intent["id"]] = key
    card: Json = {"payment_method_data": {"type": "card", "card": {"token": token}}}
    with suppress(StripeProblem):
        payments.confirm_intent(account, card, session["payment_intent"])
    return update_session(account, session["payment_intent"])


def update_session(account: Account, intent_id: str) -> Json:
    """Complete the session of a PaymentIntent if the bank has approved the payment."""
    session = account.find("checkout.session", account.sessions[intent_id])
    intent = account.find("payment_intent", intent_id)
    if session["status"] == "open" and intent["status"] in ("requires_capture", "succeeded"):
        is_paid = intent["status"] == "succeeded"
        session |= {
            "status": "complete",
            "payment_status": "paid" if is_paid else "unpaid",
            "url": None,
        }
        account.record(session, "checkout.session.completed")
    return session


def expire_session(account: Account, given: Json, key: str) -> Json:
    session = account.find("checkout.session", key)
    if session["status"] != "open":
        raise StripeProblem(
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a'
            f" status of `{session['status']}`."
        )
    session |= {"status": "expired", "url": None}
    if session["payment_intent"]:
        intent = account.find("payment_intent", session["payment_intent"])
        payments.cancel(account, intent, "automatic")
    account.record(session, "checkout.session.expired")
    return session
