"""Payments with a card at two imitations of Stripe."""

import pytest
import stripe

from tests.support.payments import PaymentsService
from tests.support.service import messages
from tests.support.stripe_sandbox import card, opened, problem


async def test_a_payment_is_authorized_and_captured(service: PaymentsService) -> None:
    order = await service.order()
    assert (await service.pay(order)).json()["status"] == "authorized"
    (intent,) = await service.intents(order)
    assert (intent.status, intent.amount_capturable, intent.amount_received) == ("requires_capture", 1999, 0)
    await service.becomes(order, "complete")
    (intent,) = await service.intents(order)
    assert (intent.status, intent.amount_capturable, intent.amount_received) == ("succeeded", 0, 1999)
    assert [status for _, _, status in await service.published(order)] == ["authorized", "captured"]


async def test_the_time_of_the_authorization_is_that_of_the_charge(service: PaymentsService) -> None:
    order = await service.order()
    await service.pay(order)
    (intent,) = await service.intents(order)
    charge = await service.shop.v1.charges.retrieve_async(str(intent.latest_charge))
    assert (await service.stored(order))["authorized_at"].timestamp() == charge.created


async def test_the_payment_of_a_cancelled_order_is_voided_and_nothing_counts_as_refunded(
    service: PaymentsService,
) -> None:
    order = await service.order()
    await service.pay(order)
    await service.becomes(order, "cancelled")
    shown = await service.shown(order)
    assert (shown["status"], shown["refundedAmount"]) == ("voided", 0)
    assert await service.statuses(order) == ["canceled"]


@pytest.mark.parametrize(
    ("token", "code", "message"),
    [
        ("tok_chargeDeclined", "generic_decline", "Your card was declined."),
        ("tok_chargeDeclinedInsufficientFunds", "insufficient_funds", "Your card has insufficient funds."),
        ("tok_chargeDeclinedExpiredCard", "expired_card", "Your card has expired."),
    ],
)
async def test_the_buyer_of_a_declined_card_reads_why_and_can_use_another(
    service: PaymentsService, token: str, code: str, message: str
) -> None:
    order = await service.order()
    assert messages(await service.pay(order, token), 402) == [message]
    assert (await service.stored(order))["decline_code"] == code
    assert (await service.refresh(order)).status == "failed"
    assert (await service.pay(order)).json()["status"] == "authorized"


async def test_the_answer_to_a_declined_card_has_the_fields_that_stripe_documents(
    shop: stripe.StripeClient,
) -> None:
    intent = await opened(shop)
    with pytest.raises(stripe.CardError) as caught:
        await shop.v1.payment_intents.confirm_async(intent.id, card("tok_chargeDeclined"))
    assert caught.value.http_status == 402
    error = problem(caught.value)
    assert {"charge", "payment_method", "payment_intent", "doc_url", "message"} < error.keys()
    assert (error["type"], error["code"], error["decline_code"]) == (
        "card_error",
        "card_declined",
        "generic_decline",
    )
    shown = error["payment_intent"]
    assert (shown["status"], shown["payment_method"]) == ("requires_payment_method", None)
    assert shown["last_payment_error"]["decline_code"] == "generic_decline"
    assert shown["latest_charge"] == error["charge"]


async def test_an_unknown_card_is_refused_like_a_declined_one(service: PaymentsService) -> None:
    order = await service.order()
    expected = ["That card can't be used. Try another one."]
    assert messages(await service.pay(order, "tok_unheardOf"), 402) == expected


@pytest.mark.parametrize(("answer", "status"), [("approve", "authorized"), ("refuse", "failed")])
async def test_the_buyer_is_redirected_to_the_bank_for_a_check(
    service: PaymentsService, answer: str, status: str
) -> None:
    order = await service.order()
    paying = (await service.pay(order, "tok_threeDSecure2Required")).json()
    assert (paying["status"], (await service.stored(order))["bank_check"]) == ("pending", True)
    await service.answer_check(order, answer)
    assert (await service.shown(order))["status"] == status
