"""Payments after each kind of error that the stripe package raises."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import stripe
from prometheus_client import REGISTRY

from kit.stripe import client as stripe_client
from services.payments import actions
from services.payments.rules import Outcome, PaymentState
from services.payments.stripe_gateway.client import Gateway
from tests.support.payments import PaymentsService


class ScriptedErrors:
    """Errors that the next confirmations raise, in this order, and the keys of all confirmations."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.keys: list[str | None] = []


@pytest.fixture
def confirmations(shop: stripe.StripeClient, monkeypatch: pytest.MonkeyPatch) -> ScriptedErrors:
    script, intents = ScriptedErrors(), type(shop.v1.payment_intents)
    confirm: Callable[..., Awaitable[stripe.PaymentIntent]] = intents.confirm_async

    async def confirm_or_fail(service: Any, intent: str, params: Any, options: Any) -> stripe.PaymentIntent:
        script.keys.append(options.get("idempotency_key"))
        if script.errors:
            raise script.errors.pop(0)
        return await confirm(service, intent, params, options)

    monkeypatch.setattr(intents, "confirm_async", confirm_or_fail)
    monkeypatch.setattr(stripe_client, "RATE_LIMIT_DELAYS", (0.0, 0.0, 0.0))
    return script


def alerts(kind: str) -> float:
    return REGISTRY.get_sample_value("stagedoor_alerts_total", {"kind": kind}) or 0


REMEMBERED = {"Idempotent-Replayed": "true"}
IN_USE = stripe.IdempotencyError("another in-progress request", http_status=409)
INDEFINITE = [
    stripe.APIConnectionError("time-out"),  # type: ignore[no-untyped-call] # stripe leaves it untyped
    IN_USE,
    stripe.InvalidRequestError("locked", None, "lock_timeout", http_status=409),  # type: ignore[no-untyped-call] # as above
]


@pytest.mark.parametrize("error", INDEFINITE, ids=lambda error: f"{type(error).__name__}-{error.http_status}")
async def test_a_request_without_a_definite_response_is_repeated_with_the_same_key(
    service: PaymentsService, confirmations: ScriptedErrors, error: Exception
) -> None:
    confirmations.errors = [error]
    order = await service.order()
    answer = await service.pay(order)
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    assert (await service.pay(order)).json()["status"] == "authorized"
    assert len(confirmations.keys) == 2
    assert len(set(confirmations.keys)) == 1


@pytest.mark.parametrize("status", [500, 503])
async def test_a_request_is_repeated_with_a_new_key_after_a_server_error_that_stripe_remembers(
    service: PaymentsService, confirmations: ScriptedErrors, status: int
) -> None:
    confirmations.errors = [stripe.APIError("broken", http_status=status, headers=REMEMBERED)]
    order = await service.order()
    assert (await service.pay(order)).json()["status"] == "pending"
    assert (await service.pay(order)).json()["status"] == "authorized"
    assert len(set(confirmations.keys)) == 2
    assert await service.statuses(order) == ["requires_capture"]


@pytest.mark.parametrize("status", [500, 503])
async def test_a_request_is_repeated_with_the_same_key_after_any_other_server_error(
    service: PaymentsService, confirmations: ScriptedErrors, status: int
) -> None:
    confirmations.errors = [stripe.APIError("broken", http_status=status)]
    order = await service.order()
    assert (await service.pay(order)).json()["status"] == "pending"
    assert (await service.pay(order)).json()["status"] == "authorized"
    assert len(set(confirmations.keys)) == 1
    assert await service.statuses(order) == ["requires_capture"]


async def test_a_request_keeps_its_key_while_the_intent_cannot_be_read(
    service: PaymentsService,
    confirmations: ScriptedErrors,
    shop: stripe.StripeClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object) -> None:
        raise stripe.APIError("broken", http_status=500)

    confirmations.errors = [stripe.APIError("broken", http_status=500, headers=REMEMBERED)]
    order = await service.order()
    with monkeypatch.context() as patched:
        patched.setattr(type(shop.v1.payment_intents), "retrieve_async", fail)
        assert (await service.pay(order)).json()["status"] == "pending"
    assert (await service.pay(order)).json()["status"] == "authorized"
    assert len(confirmations.keys) == 2
    assert len(set(confirmations.keys)) == 1


@pytest.mark.parametrize("status", [400, 404, 410, 422])
async def test_a_client_error_alerts_operators_and_the_buyer_gets_503(
    service: PaymentsService, confirmations: ScriptedErrors, status: int
) -> None:
    before = alerts("refused")
    confirmations.errors = [stripe.APIError("no", http_status=status)]
    assert (await service.pay(await service.order())).status_code == 503
    assert alerts("refused") == before + 1


async def test_rate_limited_requests_are_repeated_with_the_same_key(
    service: PaymentsService, confirmations: ScriptedErrors
) -> None:
    confirmations.errors = [stripe.RateLimitError("slow down", http_status=429) for _ in range(3)]
    order = await service.order()
    assert (await service.pay(order)).json()["status"] == "authorized"
    assert len(confirmations.keys) == 4
    assert len(set(confirmations.keys)) == 1


async def test_after_repeated_rate_limiting_the_reconciler_completes_the_payment(
    service: PaymentsService, confirmations: ScriptedErrors
) -> None:
    confirmations.errors = [stripe.RateLimitError("slow down", http_status=429) for _ in range(4)]
    order = await service.order()
    assert (await service.pay(order)).json()["status"] == "pending"
    (reconciled,) = await service.reconciler.reconcile()
    assert (reconciled.was, reconciled.became) == ("pending", "authorized")
    assert len(set(confirmations.keys)) == 1


async def test_a_decline_is_stored_with_its_code_and_the_next_attempt_uses_a_new_key(
    service: PaymentsService, confirmations: ScriptedErrors
) -> None:
    order = await service.order()
    assert (await service.pay(order, "tok_chargeDeclinedInsufficientFunds")).status_code == 402
    assert (await service.stored(order))["decline_code"] == "insufficient_funds"
    assert (await service.pay(order)).json()["status"] == "authorized"
    assert len(set(confirmations.keys)) == 2


async def test_a_permission_error_alerts_operators(
    service: PaymentsService, confirmations: ScriptedErrors
) -> None:
    before = alerts("refused")
    confirmations.errors = [stripe.PermissionError("not yours", http_status=403)]
    assert (await service.pay(await service.order())).status_code == 503
    assert alerts("refused") == before + 1


async def test_an_intent_is_found_by_its_order_if_its_key_was_used_with_other_parameters(
    service: PaymentsService, confirmations: ScriptedErrors
) -> None:
    before = alerts("key_mismatch")
    confirmations.errors = [stripe.APIConnectionError("time-out")]  # type: ignore[no-untyped-call] # as above
    order = await service.order()
    assert (await service.pay(order)).json()["status"] == "pending"
    (intent,) = await service.intents(order)
    await service.served.database["payments"].update_one(
        {"order_id": order.id}, {"$set": {"intent_id": None}}
    )
    # The title is part of the intent's description, so the next request has other parameters.
    await service.served.database["orders"].update_one({}, {"$set": {"ticket_title": "Macbeth"}})
    assert (await service.pay(order)).json()["status"] == "authorized"
    assert [found.id for found in await service.intents(order)] == [intent.id]
    assert alerts("key_mismatch") == before + 1


async def test_the_intent_is_read_if_the_key_of_its_confirmation_was_used_with_other_parameters(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = alerts("key_mismatch")
    order = await service.order()
    await service.pay(order)
    await service.served.database["payments"].update_one(
        {"order_id": order.id}, {"$set": {"status": "pending"}}
    )
    monkeypatch.setattr(service.payments.settlement.gateway, "_site", "https://moved.example")
    assert (await service.pay(order)).json()["status"] == "authorized"
    assert await service.statuses(order) == ["requires_capture"]
    assert alerts("key_mismatch") == before + 1


async def test_a_payment_that_was_refunded_at_stripe_is_not_refunded_again(service: PaymentsService) -> None:
    order = await service.order()
    await service.pay(order)
    await service.becomes(order, "complete")
    (intent,) = await service.intents(order)
    await service.shop.v1.refunds.create_async({"payment_intent": intent.id})
    payment = await service.payments.refund(order.id, relist=False)
    assert payment.status == "refunded"
    refunds = await service.shop.v1.refunds.list_async({"payment_intent": intent.id})
    assert [refund.amount for refund in refunds.data] == [1999]


async def test_an_intent_with_another_amount_alerts_operators_and_is_not_confirmed(
    service: PaymentsService,
) -> None:
    before = alerts("amount")
    order = await service.order()
    await service.pay(order, "tok_chargeDeclined")
    (intent,) = await service.intents(order)
    await service.shop.v1.payment_intents.update_async(intent.id, {"amount": 100})
    assert (await service.pay(order)).status_code == 503
    assert (await service.stored(order))["status"] == "pending"
    assert alerts("amount") == before + 1
    await service.becomes(order, "cancelled")
    assert (await service.stored(order))["status"] == "voided"
    assert await service.statuses(order) == ["canceled"]


async def test_frequent_reads_query_stripe_once_per_refresh_interval(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "REFRESH_INTERVAL", timedelta(minutes=1))
    retrieved: list[str] = []
    retrieve = Gateway.retrieve

    async def recording_retrieve(gateway: Gateway, payment: PaymentState) -> Outcome:
        retrieved.append(payment.order_id)
        return await retrieve(gateway, payment)

    order = await service.order()
    await service.pay(order, "tok_threeDSecure2Required")
    monkeypatch.setattr(Gateway, "retrieve", recording_retrieve)
    for _ in range(5):
        await service.shown(order)
    assert retrieved == [order.id]
