"""Payments whose requests Stripe refuses, as opposed to a decline of the buyer's card."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import stripe

from contracts.events import OrderEvent
from kit.stripe.errors import RequestRefused
from tests.support.events import minor
from tests.support.payments import PaymentsService
from tests.support.service import messages


def refusal(kind: type[stripe.StripeError], code: str, status: int) -> stripe.StripeError:
    """An error of the stripe package with this code and status."""
    arguments: dict[str, Any] = (
        {"param": "amount"} if kind in (stripe.InvalidRequestError, stripe.CardError) else {}
    )
    return kind("Refused", code=code, http_status=status, **arguments)


TOO_LARGE = refusal(stripe.InvalidRequestError, "amount_too_large", 400)
REFUSALS = [
    TOO_LARGE,
    refusal(stripe.AuthenticationError, "api_key_expired", 401),
    refusal(stripe.PermissionError, "account_invalid", 403),
    refusal(stripe.CardError, "card_declined", 402),
]
UNAVAILABLE = "Payments are unavailable for a moment. Your reservation stands"

RefuseTo = Callable[[str, Exception], None]


@pytest.fixture
def refuse_to(shop: stripe.StripeClient, monkeypatch: pytest.MonkeyPatch) -> RefuseTo:
    """A function that makes Stripe refuse one kind of request for amounts below a dollar."""
    intents = type(shop.v1.payment_intents)

    def refuse(request: str, error: Exception) -> None:
        original: Callable[..., Awaitable[stripe.PaymentIntent]] = getattr(intents, f"{request}_async")

        async def refuse_small_amounts(service: Any, *arguments: Any, **options: Any) -> stripe.PaymentIntent:
            amount = (
                arguments[0]["amount"]
                if request == "create"
                else (await service.retrieve_async(arguments[0])).amount
            )
            if amount < 100:
                raise error
            return await original(service, *arguments, **options)

        monkeypatch.setattr(intents, f"{request}_async", refuse_small_amounts)

    return refuse


async def order_with_approved_bank_check(service: PaymentsService) -> OrderEvent:
    """An order whose bank check is approved at Stripe, while its payment is still pending here."""
    order = await service.order()
    await service.pay(order, "tok_threeDSecure2Required")
    await service.answer_check(order, "approve")
    return order


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
async def test_if_stripe_refuses_an_intent_the_buyer_gets_503_and_the_payment_stays_pending(
    service: PaymentsService, refuse_to: RefuseTo, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    refuse_to("create", error)
    order = await service.order(price="0.50")
    for _ in range(2):
        answer = await service.pay(order)
        assert messages(answer, 503) == [UNAVAILABLE]
        assert answer.json()["type"] == "/problems/payments-unavailable"
    assert "Stripe refuses a request of ours" in caplog.text
    assert (await service.shown(order))["status"] == "pending"
    assert (await service.published(order), minor(order)) == ([], 50)


async def test_a_payment_whose_intent_was_refused_is_voided_when_its_order_is_cancelled(
    service: PaymentsService, refuse_to: RefuseTo
) -> None:
    refuse_to("create", TOO_LARGE)
    order = await service.order(price="0.50")
    await service.pay(order)
    await service.becomes(order, "cancelled")
    assert await service.published(order) == [("payment.updated", 1, "voided")]


@pytest.mark.parametrize("request_to", ["confirm", "capture", "cancel"])
async def test_a_refused_confirmation_capture_or_cancellation_does_not_change_the_payment_status(
    service: PaymentsService, refuse_to: RefuseTo, request_to: str
) -> None:
    refuse_to(request_to, refusal(stripe.InvalidRequestError, "parameter_unknown", 400))
    order = await service.order(price="0.50")
    answer = await service.pay(order)
    if request_to == "confirm":
        assert messages(answer, 503) == [UNAVAILABLE]
        assert (await service.shown(order))["status"] == "pending"
    else:
        with pytest.raises(RequestRefused):
            await service.becomes(order, "complete" if request_to == "capture" else "cancelled")
        assert len(await service.reconcile()) == 0
        assert (await service.shown(order))["status"] == "authorized"


@pytest.mark.parametrize("error", [*REFUSALS, ValueError("a bug")], ids=lambda e: type(e).__name__)
async def test_a_payment_that_stripe_refuses_does_not_delay_other_payments(
    service: PaymentsService, refuse_to: RefuseTo, error: Exception
) -> None:
    refuse_to("create", error)
    refused = [await service.order(price="0.50") for _ in range(2)]
    await service.pay(refused[0])
    other = await order_with_approved_bank_check(service)
    await service.pay(refused[1])
    assert len(await service.reconcile()) == 1
    assert (await service.shown(other))["status"] == "authorized"
    assert [(await service.shown(order))["status"] for order in refused] == ["pending", "pending"]
    assert len(await service.reconcile()) == 0
