"""Refunds and disputes at two imitations of Stripe."""

import json
from typing import Any

import pytest

from contracts.events import OrderEvent
from tests.support.payments import PaymentsService
from tests.support.polling import until
from tests.support.webhooks import deliver, signature


async def test_a_refund_succeeds(service: PaymentsService) -> None:
    order = await service.bought()
    refunded = await service.payments.refund(order.id, relist=False)
    assert (refunded.status, refunded.refunded_amount) == ("refunded", 1999)
    assert [refund.amount for refund in await service.refunds(order)] == [1999]
    assert (await service.refresh(order)).status == "refunded"


async def test_a_refund_is_pending_until_the_bank_decides(service: PaymentsService) -> None:
    order = await service.bought("tok_pendingRefund")
    assert (await service.payments.refund(order.id, relist=False)).status == "refunding"
    await service.newest_refund_becomes(order, "succeeded")
    assert (await service.refresh(order)).status == "refunded"
    assert len(await service.refunds(order)) == 1


async def test_a_failed_refund_is_shown_and_not_repeated(service: PaymentsService) -> None:
    order = await service.bought("tok_refundFail")
    await service.payments.refund(order.id, relist=False)
    await service.newest_refund_becomes(order, "failed")
    failed = await service.refresh(order)
    assert (failed.status, failed.refund_failed, failed.refunded_amount) == ("refunding", True, 0)
    await service.reconcile()
    assert len(await service.refunds(order)) == 1


async def event_of(service: PaymentsService, order: OrderEvent, type_: str) -> bytes:
    """The newest event of this type about the order's payment, as a webhook contains it."""
    (intent,) = await service.intents(order)
    for event in (await service.shop.v1.events.list_async({"type": type_, "limit": 100})).data:
        if event.data.object["payment_intent"] == intent.id:
            return json.dumps(event.to_dict()).encode()
    raise AssertionError(f"there is no event {type_}")


@pytest.mark.parametrize(
    ("evidence", "status", "dispute"), [("winning", "captured", "won"), ("losing", "refunded", "lost")]
)
async def test_webhooks_tell_of_a_dispute_and_its_end(
    service: PaymentsService, evidence: str, status: str, dispute: str
) -> None:
    order = await service.bought("tok_createDispute")

    async def becomes(type_: str, *expected: str) -> None:
        body = await event_of(service, order, type_)
        assert (await deliver(service, body, signature(body))).status_code == 200

        async def state() -> tuple[str, str]:
            shown = await service.shown(order)
            return shown["status"], shown["dispute"]

        await until(state, lambda found: found == expected)

    await becomes("charge.dispute.created", "captured", "open")
    (intent,) = await service.intents(order)
    (found,) = (await service.shop.v1.disputes.list_async({"payment_intent": intent.id})).data
    given: Any = {"evidence": {"uncategorized_text": f"{evidence}_evidence"}}
    await service.shop.v1.disputes.update_async(found.id, given)
    await becomes("charge.dispute.closed", status, dispute)


async def test_a_disputed_payment_cannot_be_refunded(service: PaymentsService) -> None:
    order = await service.bought("tok_createDispute")
    refunding = await service.payments.refund(order.id, relist=False)
    assert (refunding.status, refunding.dispute) == ("refunding", "open")
    assert await service.refunds(order) == []
