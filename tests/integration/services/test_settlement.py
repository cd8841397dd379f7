"""Settlement of payments when orders are completed or cancelled, and after bank checks."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import stripe
from prometheus_client import REGISTRY

from kit.errors import NotFound
from tests.support.events import an_order, next_event
from tests.support.payments import PaymentsService
from tests.support.service import new_id


async def test_completing_the_order_captures_the_payment_once(service: PaymentsService) -> None:
    order = await service.order()
    await service.pay(order)
    for _ in range(2):
        await service.becomes(order, "complete")
    (intent,) = await service.intents(order)
    assert (intent.status, intent.amount_received) == ("succeeded", 1999)
    assert await service.published(order) == [
        ("payment.updated", 1, "authorized"),
        ("payment.updated", 2, "captured"),
    ]
    again = await service.pay(order)
    assert (again.status_code, again.json()["status"]) == (201, "captured")


async def test_cancelling_the_order_voids_the_payment_once(service: PaymentsService) -> None:
    order = await service.order()
    await service.pay(order)
    for _ in range(2):
        await service.becomes(order, "cancelled")
    assert await service.statuses(order) == ["canceled"]
    assert await service.published(order) == [
        ("payment.updated", 1, "authorized"),
        ("payment.updated", 2, "voided"),
    ]
    assert (await service.pay(order)).status_code == 409


async def test_cancelling_the_order_during_the_bank_check_voids_the_payment(service: PaymentsService) -> None:
    order = await service.order()
    await service.pay(order, "tok_threeDSecure2Required")
    check = await service.shown(order)
    await service.becomes(order, "cancelled")
    assert await service.statuses(order) == ["canceled"]
    assert check["status"] == "pending"
    assert (await service.shown(order))["status"] == "voided"


async def test_cancelling_the_order_after_a_decline_voids_the_payment(service: PaymentsService) -> None:
    order = await service.order()
    assert (await service.pay(order, "tok_chargeDeclined")).status_code == 402
    await service.becomes(order, "cancelled")
    assert await service.statuses(order) == ["canceled"]
    assert (await service.shown(order))["status"] == "voided"


async def test_a_captured_payment_is_refunded_when_its_order_is_cancelled(service: PaymentsService) -> None:
    order = await service.order()
    await service.pay(order)
    await service.becomes(order, "complete")
    await service.payments.follow_order(next_event(next_event(order, "complete"), "cancelled"))
    (intent,) = await service.intents(order)
    refunds = await service.shop.v1.refunds.list_async({"payment_intent": intent.id})
    assert [refund.amount for refund in refunds.data] == [1999]
    assert [status for _, _, status in await service.published(order)] == [
        "authorized",
        "captured",
        "refunded",
    ]


async def test_a_payment_with_more_refunds_than_stripe_lists_at_once_is_refunded(
    service: PaymentsService,
) -> None:
    order = await service.order()
    await service.pay(order)
    await service.becomes(order, "complete")
    (intent,) = await service.intents(order)
    for amount in [1] * 100 + [1899]:
        await service.shop.v1.refunds.create_async({"payment_intent": intent.id, "amount": amount})
    assert (await service.payments.refund(order.id, relist=False)).status == "refunded"


async def test_cancelling_an_unpaid_order_creates_no_payment(service: PaymentsService) -> None:
    order = await service.order()
    await service.becomes(order, "cancelled")
    assert await service.intents(order) == []
    assert await service.served.database["payments"].count_documents({}) == 0


async def test_late_and_repeated_order_events_change_nothing(service: PaymentsService) -> None:
    order = await service.order()
    await service.pay(order)
    await service.becomes(order, "complete")
    before = await service.stored(order)
    await service.payments.follow_order(order)
    await service.becomes(order, "complete")
    await service.payments.follow_order(next_event(order, "cancelled"))  # the same version as the completion
    assert await service.stored(order) == before
    assert await service.statuses(order) == ["succeeded"]


async def test_concurrent_completion_events_capture_the_payment_once(service: PaymentsService) -> None:
    order = await service.order()
    await service.pay(order)
    await asyncio.gather(*(service.becomes(order, "complete") for _ in range(4)))
    (intent,) = await service.intents(order)
    assert intent.amount_received == 1999
    assert await service.published(order) == [
        ("payment.updated", 1, "authorized"),
        ("payment.updated", 2, "captured"),
    ]


async def test_a_concurrent_payment_and_cancellation_leave_no_authorization(service: PaymentsService) -> None:
    for _ in range(3):
        order = await service.order()
        answer, _ = await asyncio.gather(service.pay(order), service.becomes(order, "cancelled"))
        assert answer.status_code in (201, 409)
        await service.reconcile()
        assert {*await service.statuses(order)} <= {"canceled"}
        assert (await service.pay(order)).status_code == 409


async def test_an_intent_that_is_created_while_its_order_is_cancelled_is_cancelled_too(
    service: PaymentsService, shop: stripe.StripeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, intents = await service.order(), type(shop.v1.payment_intents)
    create: Callable[..., Awaitable[stripe.PaymentIntent]] = intents.create_async

    async def create_late(*arguments: Any) -> stripe.PaymentIntent:
        intent = await create(*arguments)
        await service.becomes(order, "cancelled")
        return intent

    monkeypatch.setattr(intents, "create_async", create_late)
    assert (await service.pay(order)).status_code == 409
    assert await service.statuses(order) == ["canceled"]
    assert (await service.shown(order))["status"] == "voided"


async def test_the_reconciler_reads_the_result_of_a_bank_check_from_stripe(service: PaymentsService) -> None:
    order = await service.order()
    await service.pay(order, "tok_threeDSecure2Required")
    assert len(await service.reconcile()) == 0
    await service.answer_check(order, "approve")
    assert len(await service.reconcile()) == 1
    assert (await service.shown(order))["status"] == "authorized"
    assert len(await service.reconcile()) == 0


async def test_paying_for_an_unknown_order_creates_no_payment(service: PaymentsService) -> None:
    order = an_order(new_id())
    with pytest.raises(NotFound):
        await service.payments.pay(order.id, "tok_visa", order.user_id, None)
    assert await service.served.database["payments"].count_documents({}) == 0


async def test_reading_a_payment_after_the_bank_check_returns_the_new_status(
    service: PaymentsService,
) -> None:
    order = await service.order()
    await service.pay(order, "tok_threeDSecure2Required")
    assert (await service.shown(order))["status"] == "pending"
    await service.answer_check(order, "approve")
    assert (await service.shown(order))["status"] == "authorized"


async def test_a_refused_bank_check_has_a_message_for_the_buyer(service: PaymentsService) -> None:
    order = await service.order()
    await service.pay(order, "tok_threeDSecure2Required")
    await service.answer_check(order, "refuse")
    payment = await service.shown(order)
    assert payment["status"] == "failed"
    assert payment["declineMessage"] == "Your bank didn't confirm the payment. Try again or use another card."


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("stagedoor_payments_total", {"outcome": outcome}) or 0


async def test_an_outcome_is_counted_once_however_many_tasks_settle_the_payment(
    service: PaymentsService,
) -> None:
    order = await service.order()
    before = {outcome: counted(outcome) for outcome in ("authorized", "captured", "voided")}
    await service.pay(order)
    await asyncio.gather(*(service.becomes(order, "complete") for _ in range(4)))
    await asyncio.gather(*(service.refresh(order) for _ in range(4)))
    counts = {outcome: counted(outcome) - count for outcome, count in before.items()}
    assert counts == {"authorized": 1, "captured": 1, "voided": 0}
