"""Each kind of error of Stripe, as the stripe package raises it, and what becomes of the payment."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import stripe
from prometheus_client import REGISTRY

from services.payments import actions, gateway
from services.payments.documents import Payment
from services.payments.rules import Outcome, PaymentState
from tests.services.till import Till


class Script:
    """Errors that the next requests of a kind meet, before Stripe is asked in earnest."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.keys: list[str | None] = []


@pytest.fixture
def confirming(shop: stripe.StripeClient, monkeypatch: pytest.MonkeyPatch) -> Script:
    script, intents = Script(), type(shop.v1.payment_intents)
    confirm: Callable[..., Awaitable[stripe.PaymentIntent]] = intents.confirm_async

    async def confirming(service: Any, intent: str, params: Any, options: Any) -> stripe.PaymentIntent:
        script.keys.append(options.get("idempotency_key"))
        if script.errors:
            raise script.errors.pop(0)
        return await confirm(service, intent, params, options)

    monkeypatch.setattr(intents, "confirm_async", confirming)
    monkeypatch.setattr(gateway, "RATE_LIMIT_DELAYS", (0.0, 0.0, 0.0))
    return script


def alerts(kind: str) -> float:
    return REGISTRY.get_sample_value("payments_alerts_total", {"kind": kind}) or 0


IN_USE = stripe.IdempotencyError("another in-progress request", http_status=409)
UNKNOWN = [
    stripe.APIConnectionError("time-out"),  # type: ignore[no-untyped-call] # stripe leaves it untyped
    IN_USE,
    stripe.InvalidRequestError("locked", None, "lock_timeout", http_status=409),  # type: ignore[no-untyped-call] # as above
]


@pytest.mark.parametrize("error", UNKNOWN, ids=lambda error: f"{type(error).__name__}-{error.http_status}")
async def test_without_an_answer_the_same_key_is_used_until_there_is_one(
    till: Till, confirming: Script, error: Exception
) -> None:
    confirming.errors = [error]
    order = await till.order()
    answer = await till.pay(order)
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    assert (await till.pay(order)).json()["status"] == "authorized"
    assert len(confirming.keys) == 2
    assert len(set(confirming.keys)) == 1


@pytest.mark.parametrize("status", [500, 503])
async def test_an_answer_that_stripe_failed_is_remembered_there_so_after_a_look_another_key_is_taken(
    till: Till, confirming: Script, status: int
) -> None:
    confirming.errors = [stripe.APIError("broken", http_status=status)]
    order = await till.order()
    assert (await till.pay(order)).json()["status"] == "pending"
    assert (await till.pay(order)).json()["status"] == "authorized"
    assert len(set(confirming.keys)) == 2
    assert await till.statuses(order) == ["requires_capture"]


async def test_while_nobody_can_look_what_came_of_a_key_it_is_kept(
    till: Till, confirming: Script, shop: stripe.StripeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise stripe.APIError("broken", http_status=500)

    confirming.errors = [stripe.APIError("broken", http_status=500)]
    order = await till.order()
    with monkeypatch.context() as patched:
        patched.setattr(type(shop.v1.payment_intents), "retrieve_async", broken)
        assert (await till.pay(order)).json()["status"] == "pending"
    assert (await till.pay(order)).json()["status"] == "authorized"
    assert len(confirming.keys) == 2
    assert len(set(confirming.keys)) == 1


@pytest.mark.parametrize("status", [400, 404, 410, 422])
async def test_any_other_answer_of_no_alerts_operators_and_keeps_the_reservation(
    till: Till, confirming: Script, status: int
) -> None:
    before = alerts("refused")
    confirming.errors = [stripe.APIError("no", http_status=status)]
    assert (await till.pay(await till.order())).status_code == 503
    assert alerts("refused") == before + 1


async def test_too_many_requests_are_sent_again_a_little_later_under_the_same_key(
    till: Till, confirming: Script
) -> None:
    confirming.errors = [stripe.RateLimitError("slow down", http_status=429) for _ in range(3)]
    order = await till.order()
    assert (await till.pay(order)).json()["status"] == "authorized"
    assert len(confirming.keys) == 4
    assert len(set(confirming.keys)) == 1


async def test_a_stripe_that_stays_too_busy_leaves_the_payment_to_the_reconciler(
    till: Till, confirming: Script
) -> None:
    confirming.errors = [stripe.RateLimitError("slow down", http_status=429) for _ in range(4)]
    order = await till.order()
    assert (await till.pay(order)).json()["status"] == "pending"
    (mended,) = await till.payments.reconcile()
    assert (mended.was, mended.became) == ("pending", "authorized")
    assert len(set(confirming.keys)) == 1


async def test_a_decline_is_kept_with_the_banks_reason_and_the_next_try_has_its_own_key(
    till: Till, confirming: Script
) -> None:
    order = await till.order()
    assert (await till.pay(order, "tok_chargeDeclinedInsufficientFunds")).status_code == 402
    assert (await till.stored(order))["decline_code"] == "insufficient_funds"
    assert (await till.pay(order)).json()["status"] == "authorized"
    assert len(set(confirming.keys)) == 2


async def test_a_refusal_alerts_operators(till: Till, confirming: Script) -> None:
    before = alerts("refused")
    confirming.errors = [stripe.PermissionError("not yours", http_status=403)]
    assert (await till.pay(await till.order())).status_code == 503
    assert alerts("refused") == before + 1


async def test_an_intent_whose_key_was_used_otherwise_is_found_by_its_order(
    till: Till, confirming: Script
) -> None:
    before = alerts("key_mismatch")
    confirming.errors = [stripe.APIConnectionError("time-out")]  # type: ignore[no-untyped-call] # as above
    order = await till.order()
    assert (await till.pay(order)).json()["status"] == "pending"
    (intent,) = await till.intents(order)
    await till.served.database["payments"].update_one({"order_id": order.id}, {"$set": {"intent_id": None}})
    # The description is part of the request, so it isn't the same any more.
    await till.served.database["orders"].update_one({}, {"$set": {"ticket_title": "Macbeth"}})
    assert (await till.pay(order)).json()["status"] == "authorized"
    assert [found.id for found in await till.intents(order)] == [intent.id]
    assert alerts("key_mismatch") == before + 1


async def test_a_confirmation_whose_key_was_used_otherwise_is_looked_up(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = alerts("key_mismatch")
    order = await till.order()
    await till.pay(order)
    await till.served.database["payments"].update_one({"order_id": order.id}, {"$set": {"status": "pending"}})
    monkeypatch.setattr(till.payments.gateway, "_site", "https://moved.example")
    assert (await till.pay(order)).json()["status"] == "authorized"
    assert await till.statuses(order) == ["requires_capture"]
    assert alerts("key_mismatch") == before + 1


async def test_what_was_refunded_at_stripe_already_counts_as_refunded(till: Till) -> None:
    order = await till.order()
    await till.pay(order)
    await till.becomes(order, "complete")
    (intent,) = await till.intents(order)
    await till.shop.v1.refunds.create_async({"payment_intent": intent.id})
    payment = await till.payments.give_back(order.id, relist=False)
    assert payment.status == "refunded"
    refunds = await till.shop.v1.refunds.list_async({"payment_intent": intent.id})
    assert [refund.amount for refund in refunds.data] == [1999]


async def test_only_what_was_paid_here_is_captured(till: Till) -> None:
    """An intent of another amount, whoever changed it, is an alert and nothing else."""
    before = alerts("amount")
    order = await till.order()
    await till.pay(order, "tok_chargeDeclined")
    (intent,) = await till.intents(order)
    await till.shop.v1.payment_intents.update_async(intent.id, {"amount": 1})
    assert (await till.pay(order)).status_code == 503
    assert (await till.stored(order))["status"] == "pending"
    assert alerts("amount") == before + 1
    await till.becomes(order, "cancelled")
    assert (await till.stored(order))["status"] == "voided"
    assert await till.statuses(order) == ["canceled"]


async def test_who_reads_often_has_stripe_asked_now_and_then(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "LOOK_AGAIN_AFTER", timedelta(minutes=1))
    looks: list[str] = []
    look = gateway.Gateway.look

    async def counted(stripes: gateway.Gateway, payment: PaymentState) -> Outcome:
        looks.append(payment.order_id)
        return await look(stripes, payment)

    order = await till.order()
    await till.pay(order, "tok_threeDSecure2Required")
    monkeypatch.setattr(gateway.Gateway, "look", counted)
    for _ in range(5):
        await till.shown(order)
    assert looks == [order.id]


async def test_a_refund_that_failed_at_stripe_is_asked_for_again(till: Till) -> None:
    order = await till.order()
    await till.pay(order)
    await till.becomes(order, "complete")
    # As when Stripe took it, and days later the bank didn't.
    await till.served.database["payments"].update_one(
        {"order_id": order.id}, {"$set": {"status": "refunded"}}
    )
    payment = await Payment.find_one({"order_id": order.id})
    assert payment is not None
    assert (await till.payments.advance(payment, look=True)).status == "refunded"
    (intent,) = await till.intents(order)
    refunds = await till.shop.v1.refunds.list_async({"payment_intent": intent.id})
    assert [refund.amount for refund in refunds.data] == [1999]
