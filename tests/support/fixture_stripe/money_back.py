"""Refunds and disputes: https://docs.stripe.com/refunds and https://docs.stripe.com/disputes"""

import time

from tests.support.fixture_stripe.account import Account
from tests.support.fixture_stripe.errors import StripeProblem
from tests.support.fixture_stripe.fixtures import Json

REFUND_SECONDS = 0.3
"""How long a bank takes to decide on a refund."""
_OPEN = ("needs_response", "warning_needs_response", "under_review")


def create_refund(account: Account, given: Json) -> Json:
    charge = _charge_of(account, given)
    card = account.cards[charge["payment_method"]]
    left = charge["amount_captured"] - charge["amount_refunded"]
    disputes = account.objects["dispute"].values()
    if any(each["charge"] == charge["id"] and each["status"] in (*_OPEN, "lost") for each in disputes):
        message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
        raise StripeProblem(message, code="charge_disputed")
    if left == 0:
        message = f"Charge {charge['id']} has already been refunded."
        raise StripeProblem(message, code="charge_already_refunded")
    amount = given.get("amount", left)
    if amount > left:
        raise StripeProblem("Refund amount is greater than unrefunded amount on charge", param="amount")
    refund = account.make(
        "refund",
        amount=amount,
        charge=charge["id"],
        currency=charge["currency"],
        payment_intent=charge["payment_intent"],
        metadata=given.get("metadata", {}),
        reason=given.get("reason"),
        status=card.refund_status,
    )
    _give_back(charge, amount)
    if card.refund_becomes:
        account.decisions[refund["id"]] = (time.monotonic() + REFUND_SECONDS, card.refund_becomes)
    account.record(refund, "refund.created")
    account.record(charge, "charge.refunded")
    return refund


def _charge_of(account: Account, given: Json) -> Json:
    if "charge" in given:
        return account.find("charge", given["charge"], param="charge")
    if "payment_intent" not in given:
        message = "One of the following params should be provided for this request: payment_intent or charge."
        raise StripeProblem(message, code="parameter_missing", param="payment_intent")
    intent = account.find("payment_intent", given["payment_intent"], param="payment_intent")
    if intent["status"] != "succeeded":
        message = f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
        raise StripeProblem(message)
    return account.find("charge", intent["latest_charge"])


def _give_back(charge: Json, amount: int) -> None:
    refunded = charge["amount_refunded"] + amount
    charge |= {"amount_refunded": refunded, "refunded": refunded == charge["amount_captured"]}


def settle_refunds(account: Account) -> None:
    """Apply the decisions of banks that are due. A refund that fails can be made again."""
    due = [key for key, (at, _) in account.decisions.items() if at <= time.monotonic()]
    for key in due:
        _, status = account.decisions.pop(key)
        refund = account.find("refund", key)
        refund["status"] = status
        if status == "failed":
            failure = {"failure_reason": "expired_or_canceled_card", "failure_balance_transaction": None}
            refund |= failure
            _give_back(account.find("charge", refund["charge"]), -refund["amount"])
        failed = ["refund.failed"] if status == "failed" else []
        account.record(refund, "refund.updated", "charge.refund.updated", *failed)


def update_dispute(account: Account, given: Json, key: str) -> Json:
    """Decide by the evidence, as Stripe does in test mode: https://docs.stripe.com/testing#disputes"""
    dispute = account.find("dispute", key)
    evidence = given.get("evidence", {})
    dispute["evidence"] |= evidence
    decided = {"winning_evidence": "won", "losing_evidence": "lost"}
    return _decide(account, dispute, decided.get(evidence.get("uncategorized_text")) or dispute["status"])


def close_dispute(account: Account, given: Json, key: str) -> Json:
    """Accept the loss."""
    return _decide(account, account.find("dispute", key), "lost")


def _decide(account: Account, dispute: Json, status: str) -> Json:
    if dispute["status"] not in _OPEN:
        raise StripeProblem("This dispute is already closed")
    dispute["status"] = status
    if status not in _OPEN:
        account.record(dispute, "charge.dispute.closed")
    return dispute
