"""A payment whose stored document is invalid doesn't delay other payments or stop background work."""

import asyncio
import hashlib
import hmac
import json
import time

import pytest

import streams.payments
from contracts.events import OrderEvent
from kit.periodic import every
from services.payments.inbox import WebhookInbox
from services.payments.reconciler import Reconciler
from tests.support.payments import PaymentsService
from tests.support.polling import TIMEOUT, until
from tests.support.service import SettingsWith, serving

SECRET = "whsec_of_this_test"


async def order_with_approved_bank_check(service: PaymentsService) -> OrderEvent:
    """An order whose bank check is approved at Stripe, while its payment is still pending here."""
    order = await service.order()
    await service.pay(order, "tok_threeDSecure2Required")
    await service.answer_check(order, "approve")
    return order


async def make_unreadable(service: PaymentsService, order: OrderEvent) -> None:
    """Replace the payment's stored amount by an invalid one, as an incompatible version might."""
    changed = await service.served.database["payments"].update_one(
        {"order_id": order.id}, {"$set": {"amount": "much"}}
    )
    assert changed.modified_count == 1


async def repair(service: PaymentsService, order: OrderEvent) -> None:
    await service.served.database["payments"].update_one({"order_id": order.id}, {"$set": {"amount": 1999}})


async def test_the_reconciler_settles_other_payments_and_the_unreadable_payment_after_its_repair(
    service: PaymentsService,
) -> None:
    unreadable, readable = (
        await order_with_approved_bank_check(service),
        await order_with_approved_bank_check(service),
    )
    await make_unreadable(service, unreadable)
    assert [reconciled.order for reconciled in await service.reconcile()] == [readable.id]
    await repair(service, unreadable)
    assert [reconciled.order for reconciled in await service.reconcile()] == [unreadable.id]


async def test_the_inbox_keeps_the_webhook_of_an_unreadable_payment_and_processes_others(
    settings_with: SettingsWith, service: PaymentsService
) -> None:
    unreadable, readable = (
        await order_with_approved_bank_check(service),
        await order_with_approved_bank_check(service),
    )
    await make_unreadable(service, unreadable)
    conf = settings_with(stripe_api_base=service.stripe_url, stripe_webhook_secret=SECRET)
    async with serving("payments", conf, fresh=False) as payments:
        for order in (unreadable, readable):
            intent = {"id": "pi_x", "object": "payment_intent", "metadata": {"order_id": order.id}}
            body = json.dumps(
                {"id": order.id, "object": "event", "type": "x", "data": {"object": intent}}
            ).encode()
            at = int(time.time())
            signed = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
            headers = {"Content-Type": "application/json", "Stripe-Signature": f"t={at},v1={signed}"}
            answer = await payments.ask("POST", "/api/payments/webhook", content=body, headers=headers)
            assert answer.status_code == 200
        webhooks = payments.database["webhook_events"]

        async def are_processed() -> bool:
            waiting = await webhooks.find_one({"_id": unreadable.id})
            processed = await webhooks.find_one({"_id": readable.id})
            return bool(
                waiting
                and processed
                and waiting["failures"] == 1
                and not waiting["processed"]
                and processed["processed"]
            )

        await until(are_processed)
    assert (await service.stored(readable))["status"] == "authorized"


@pytest.mark.parametrize(("kind", "work"), [(Reconciler, "reconcile"), (WebhookInbox, "process_inbox")])
async def test_an_unexpected_error_does_not_stop_background_work(
    settings_with: SettingsWith,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: type,
    work: str,
) -> None:
    repeated = asyncio.Event()
    failures = [LookupError("an unexpected error")]

    async def fail_once(_: object) -> None:
        if failures:
            raise failures.pop()
        repeated.set()

    monkeypatch.setattr(streams.payments, "every", every)
    monkeypatch.setattr(kind, work, fail_once)
    async with serving("payments", settings_with(reconcile_seconds=0.01)), asyncio.timeout(TIMEOUT):
        await repeated.wait()
    assert "an unexpected error" in caplog.text
