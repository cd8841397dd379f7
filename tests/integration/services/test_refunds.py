"""Refunds that take time, fail or are partial, and payments that their buyers dispute."""

from typing import Any

import httpx
import pytest
import stripe

from contracts.events import OrderEvent
from kit.secrets import operator_token
from services.payments.documents import Payment
from services.payments.stripe_gateway import client
from tests.support.payments import PaymentsService
from tests.support.service import messages


async def last_event(service: PaymentsService, order: OrderEvent) -> dict[str, Any]:
    key = str((await service.stored(order))["_id"])
    _, body = (await service.served.outbox("payments", key))[-1]
    return body


async def dispute(service: PaymentsService, order: OrderEvent) -> stripe.Dispute:
    (intent,) = await service.intents(order)
    (found,) = (await service.shop.v1.disputes.list_async({"payment_intent": intent.id})).data
    return found


# --- Refunds that take time or fail ---


async def test_a_pending_refund_is_requested_once_and_completed_later(service: PaymentsService) -> None:
    order = await service.bought("tok_pendingRefund")
    assert (await service.payments.refund(order.id, relist=False)).status == "refunding"
    await service.reconcile()
    await service.newest_refund_becomes(order, "succeeded")
    await service.reconcile()
    assert (await service.shown(order))["status"] == "refunded"
    assert [refund.amount for refund in await service.refunds(order)] == [1999]


async def failed_refund(service: PaymentsService) -> OrderEvent:
    """A refund that Stripe reported as successful and that failed later."""
    order = await service.bought("tok_refundFail")
    assert (await service.payments.refund(order.id, relist=False)).status == "refunded"
    await service.newest_refund_becomes(order, "failed")
    await service.refresh(order)
    return order


async def test_a_failed_refund_is_shown_to_the_buyer_and_the_operator_and_not_repeated(
    service: PaymentsService, caplog: pytest.LogCaptureFixture
) -> None:
    order = await failed_refund(service)
    for _ in range(3):
        await service.reconcile()
    shown = await service.shown(order)
    assert (shown["status"], shown["refundFailed"], shown["refundedAmount"]) == ("refunding", True, 0)
    assert len(await service.refunds(order)) == 1
    assert caplog.text.count(f"the refund of order {order.id} failed: lost_or_stolen_card") == 1
    stored = (await service.stored(order))["refunds"]
    assert [(each["status"], each["failure"]) for each in stored] == [("failed", "lost_or_stolen_card")]
    assert (await last_event(service, order))["refundFailed"]


async def test_without_the_check_of_failures_a_failed_refund_is_repeated_on_the_same_card(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await failed_refund(service)
    monkeypatch.setattr(Payment, "refund_failed", False)
    monkeypatch.setattr(client, "_needs_refund", lambda payment, refunds: True)
    await service.reconcile()
    assert len(await service.refunds(order)) == 2


async def test_an_operator_can_try_again_and_record_that_the_money_was_returned(
    service: PaymentsService,
) -> None:
    order = await failed_refund(service)
    assert (await service.payments.refund(order.id, relist=False, again=True)).status == "refunded"
    await service.newest_refund_becomes(order, "failed")
    await service.refresh(order)
    assert len(await service.refunds(order)) == 2
    returned = await service.payments.record_returned(order.id, relist=True)
    assert (returned.status, returned.refunded_amount, returned.refund_failed) == ("refunded", 1999, False)
    assert (await service.refresh(order)).status == "refunded"
    event = await last_event(service, order)
    assert (event["status"], event["refundedAmount"], event["relist"]) == ("refunded", 1999, True)


# --- Partial refunds ---


async def test_a_partial_refund_at_stripe_is_published_and_shown(service: PaymentsService) -> None:
    order = await service.bought()
    (intent,) = await service.intents(order)
    await service.shop.v1.refunds.create_async({"payment_intent": intent.id, "amount": 500})
    assert (await service.refresh(order)).status == "captured"
    shown = await service.shown(order)
    assert (shown["status"], shown["refundedAmount"]) == ("captured", 500)
    assert (await last_event(service, order))["refundedAmount"] == 500
    assert (await service.payments.refund(order.id, relist=False)).status == "refunded"
    assert [refund.amount for refund in await service.refunds(order)] == [1499, 500]
    assert (await last_event(service, order))["refundedAmount"] == 1999


# --- Disputes ---


async def test_a_disputed_payment_cannot_be_refunded(
    service: PaymentsService, caplog: pytest.LogCaptureFixture
) -> None:
    order = await service.bought("tok_createDispute")
    await service.refresh(order)
    assert (await service.shown(order))["dispute"] == "open"
    assert f"the buyer of order {order.id} disputes the payment" in caplog.text
    secret = operator_token(service.served.app.state.settings)
    headers = {"Authorization": f"Bearer {secret}"}
    body = {"orderId": order.id}
    answer = await service.served.ask("POST", "/api/payments/refunds", json=body, headers=headers)
    assert messages(answer, 409) == ["The buyer disputes this payment at the bank, so it can't be refunded"]


async def test_a_refund_that_was_requested_before_the_dispute_was_known_waits_for_the_bank(
    service: PaymentsService,
) -> None:
    order = await service.bought("tok_createDispute")
    payment = await service.payments.refund(order.id, relist=False)
    assert (payment.status, payment.dispute) == ("refunding", "open")
    evidence: Any = {"evidence": {"uncategorized_text": "winning_evidence"}}
    await service.shop.v1.disputes.update_async((await dispute(service, order)).id, evidence)
    await service.reconcile()
    assert (await service.shown(order))["status"] == "refunded"
    assert [refund.amount for refund in await service.refunds(order)] == [1999]


@pytest.mark.parametrize("is_refunding", [True, False])
async def test_a_lost_dispute_counts_as_a_refund(service: PaymentsService, is_refunding: bool) -> None:
    order = await service.bought("tok_createDispute")
    if is_refunding:
        await service.payments.refund(order.id, relist=False)
    await service.shop.v1.disputes.close_async((await dispute(service, order)).id)
    assert (await service.refresh(order)).status == "refunded"
    event = await last_event(service, order)
    assert (event["status"], event["dispute"], event["refundedAmount"]) == ("refunded", "lost", 1999)
    assert await service.refunds(order) == []


async def test_a_payment_stands_after_a_dispute_that_the_buyer_lost(service: PaymentsService) -> None:
    order = await service.bought("tok_createDispute")
    evidence: Any = {"evidence": {"uncategorized_text": "winning_evidence"}}
    await service.shop.v1.disputes.update_async((await dispute(service, order)).id, evidence)
    payment = await service.refresh(order)
    assert (payment.status, payment.dispute, payment.refunded_amount) == ("captured", "won", 0)


# --- Evidence ---


async def submit(service: PaymentsService, order: OrderEvent, text: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {operator_token(service.served.app.state.settings)}"}
    body = {"orderId": order.id, "text": text}
    return await service.served.ask("POST", "/api/payments/evidence", json=body, headers=headers)


async def test_an_operator_submits_evidence_about_an_open_dispute(service: PaymentsService) -> None:
    order = await service.bought("tok_createDispute")
    await service.refresh(order)
    assert (await submit(service, order, "Downloaded on Friday")).status_code == 200
    assert (await dispute(service, order)).evidence.uncategorized_text == "Downloaded on Friday"
    assert (await submit(service, order, "winning_evidence")).status_code == 200
    assert (await service.shown(order))["dispute"] == "won"
    assert messages(await submit(service, order, "More"), 409) == ["Nothing about this payment is disputed"]


async def test_evidence_that_comes_too_late_is_refused(service: PaymentsService) -> None:
    order = await service.bought("tok_createDispute")
    await service.refresh(order)
    await service.shop.v1.disputes.close_async((await dispute(service, order)).id)
    assert messages(await submit(service, order, "Too late"), 409) == [
        "Stripe accepts no more evidence about this dispute"
    ]


async def test_only_operators_submit_evidence(service: PaymentsService) -> None:
    order = await service.bought("tok_createDispute")
    body = {"orderId": order.id, "text": "It was me"}
    assert (await service.served.ask("POST", "/api/payments/evidence", json=body)).status_code == 401
