"""Attempts to pay that end at Stripe while their order still awaits payment, and attempts after them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import stripe

from contracts.events import OrderEvent
from services.payments.documents import Payment
from services.payments.settlement import Settlement
from tests.support.payments import PaymentsService
from tests.support.service import messages


async def cancelled_at_stripe(service: PaymentsService, order: OrderEvent) -> None:
    """Begin a bank check, and cancel the PaymentIntent at Stripe meanwhile."""
    assert (await service.pay(order, "tok_threeDSecure2Required")).status_code == 201
    (intent,) = await service.intents(order)
    await service.shop.v1.payment_intents.cancel_async(intent.id)


@pytest.mark.parametrize("is_known", [True, False])
async def test_the_buyer_can_pay_again_after_the_intent_was_cancelled_during_the_bank_check(
    service: PaymentsService, is_known: bool
) -> None:
    order = await service.order()
    await cancelled_at_stripe(service, order)
    if is_known:
        await service.reconcile()
        assert (await service.shown(order))["status"] == "voided"
    answer = await service.pay(order)
    assert (answer.status_code, answer.json()["status"]) == (201, "authorized")
    await service.becomes(order, "complete")
    assert sorted(await service.statuses(order)) == ["canceled", "succeeded"]
    assert [status for _, _, status in await service.published(order)][-2:] == ["authorized", "captured"]


async def test_concurrent_attempts_after_a_cancelled_intent_lead_to_one_capture(
    service: PaymentsService,
) -> None:
    order = await service.order()
    await cancelled_at_stripe(service, order)
    answers = await asyncio.gather(*(service.pay(order) for _ in range(5)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    await service.pay(order)
    await service.becomes(order, "complete")
    assert sorted(await service.statuses(order)) == ["canceled", "succeeded"]


async def test_an_outcome_of_the_cancelled_intent_that_arrives_late_does_not_end_the_new_attempt(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await service.order()
    await cancelled_at_stripe(service, order)
    record: Callable[..., Awaitable[Payment]] = Settlement._record
    delayed: list[tuple[Any, ...]] = []

    async def keep(settlement: Settlement, payment: Payment, *rest: Any) -> Payment:
        delayed.append((settlement, payment, *rest))
        return payment

    with monkeypatch.context() as patched:
        patched.setattr(Settlement, "_record", keep)
        await service.reconcile()
    assert (await service.pay(order)).json()["status"] == "authorized"
    for late in delayed:
        await record(*late)
    assert delayed
    assert (await service.shown(order))["status"] == "authorized"


async def test_an_intent_whose_creation_is_answered_after_the_next_attempt_began_is_cancelled(
    service: PaymentsService, shop: stripe.StripeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, intents = await service.order(), type(shop.v1.payment_intents)
    create: Callable[..., Awaitable[stripe.PaymentIntent]] = intents.create_async
    began = False

    async def create_late(*arguments: Any) -> stripe.PaymentIntent:
        nonlocal began
        intent = await create(*arguments)
        if not began:
            began = True
            changes = {"status": "pending", "attempt": 2}
            await Payment.get_pymongo_collection().update_one({"order_id": order.id}, {"$set": changes})
            assert (await service.pay(order)).json()["status"] == "authorized"
        return intent

    monkeypatch.setattr(intents, "create_async", create_late)
    await service.pay(order)
    assert sorted(await service.statuses(order)) == ["canceled", "requires_capture"]


async def test_a_page_that_expired_at_stripe_is_replaced_by_another_one(checkout: PaymentsService) -> None:
    order = await checkout.order()
    first = (await checkout.pay(order, None)).json()["pageUrl"]
    session = (await checkout.stored(order))["session_id"]
    await checkout.shop.v1.checkout.sessions.expire_async(session)
    again = (await checkout.pay(order, None)).json()
    assert again["status"] == "pending"
    assert again["pageUrl"] not in (None, first)
    assert (await checkout.stored(order))["ended"] == [session]


async def test_the_payment_of_a_cancelled_order_cannot_be_attempted_again(service: PaymentsService) -> None:
    order = await service.order()
    await cancelled_at_stripe(service, order)
    await service.becomes(order, "cancelled")
    assert messages(await service.pay(order), 409) == ["Cannot pay for a cancelled order"]


async def test_a_complete_order_whose_authorization_lapsed_can_be_paid_again(
    service: PaymentsService, caplog: pytest.LogCaptureFixture
) -> None:
    order = await service.order()
    await service.pay(order)
    (intent,) = await service.intents(order)
    await service.shop.v1.payment_intents.cancel_async(intent.id)
    await service.becomes(order, "complete")
    assert (await service.shown(order))["status"] == "voided"
    assert f"order {order.id} is complete, but its payment was voided" in caplog.text
    assert (await service.pay(order)).json()["status"] == "captured"
    assert sorted(await service.statuses(order)) == ["canceled", "succeeded"]
