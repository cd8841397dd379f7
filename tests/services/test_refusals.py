"""Stripe answers, and the answer is no to what we ask for: not to the buyer's card."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import stripe

from contracts.events import OrderEvent
from services.payments.gateway import PaymentsUnavailable
from tests.services.market import minor
from tests.services.served import messages
from tests.services.till import Till


def refusal(kind: type[stripe.StripeError], code: str, status: int) -> stripe.StripeError:
    """As Stripe's package raises it for such an answer."""
    more: dict[str, Any] = (
        {"param": "amount"} if kind in (stripe.InvalidRequestError, stripe.CardError) else {}
    )
    return kind("It can't be done", code=code, http_status=status, **more)


TOO_SMALL = refusal(stripe.InvalidRequestError, "amount_too_small", 400)
REFUSALS = [
    TOO_SMALL,
    refusal(stripe.AuthenticationError, "api_key_expired", 401),
    refusal(stripe.PermissionError, "account_invalid", 403),
    refusal(stripe.CardError, "card_declined", 402),
]
OURS = "Payments are unavailable for a moment. Your reservation stands"

RefuseTo = Callable[[str, Exception], None]


@pytest.fixture
def refuse_to(shop: stripe.StripeClient, monkeypatch: pytest.MonkeyPatch) -> RefuseTo:
    """Have Stripe refuse a kind of request about amounts below half a dollar, and about nothing else."""
    intents = type(shop.v1.payment_intents)

    def refuse(request: str, error: Exception) -> None:
        ask: Callable[..., Awaitable[stripe.PaymentIntent]] = getattr(intents, f"{request}_async")

        async def refusing(service: Any, *given: Any, **options: Any) -> stripe.PaymentIntent:
            amount = (
                given[0]["amount"] if request == "create" else (await service.retrieve_async(given[0])).amount
            )
            if amount < 50:
                raise error
            return await ask(service, *given, **options)

        monkeypatch.setattr(intents, f"{request}_async", refusing)

    return refuse


async def waits_for_the_bank_and_has_its_answer(till: Till) -> OrderEvent:
    """An order whose payment only has to be looked at."""
    order = await till.order()
    await till.pay(order, "tok_threeDSecure2Required")
    await till.answer_check(order, "approve")
    return order


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
async def test_what_stripe_will_not_open_is_our_matter_and_keeps_the_reservation(
    till: Till, refuse_to: RefuseTo, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    refuse_to("create", error)
    order = await till.order(price="0.01")
    for _ in range(2):
        answer = await till.pay(order)
        assert messages(answer, 503) == [OURS]
        assert answer.json()["type"] == "/problems/payments-unavailable"
    assert "Stripe refuses a request of ours" in caplog.text
    assert (await till.shown(order))["status"] == "pending"
    assert (await till.told(order), minor(order)) == ([], 1)


async def test_what_stripe_refused_is_ended_with_its_order(till: Till, refuse_to: RefuseTo) -> None:
    refuse_to("create", TOO_SMALL)
    order = await till.order(price="0.01")
    await till.pay(order)
    await till.becomes(order, "cancelled")
    assert await till.told(order) == [("payment.created", 0, "voided")]


@pytest.mark.parametrize("request_to", ["confirm", "capture", "cancel"])
async def test_a_refusal_of_a_later_request_is_our_matter_too(
    till: Till, refuse_to: RefuseTo, request_to: str
) -> None:
    refuse_to(request_to, refusal(stripe.InvalidRequestError, "parameter_unknown", 400))
    order = await till.order(price="0.01")
    answer = await till.pay(order)
    if request_to == "confirm":
        assert messages(answer, 503) == [OURS]
        assert (await till.shown(order))["status"] == "pending"
    else:
        with pytest.raises(PaymentsUnavailable):
            await till.becomes(order, "complete" if request_to == "capture" else "cancelled")
        assert len(await till.payments.reconcile()) == 0
        assert (await till.shown(order))["status"] == "authorized"


@pytest.mark.parametrize(
    "error", [*REFUSALS, ValueError("a mistake of ours")], ids=lambda e: type(e).__name__
)
async def test_a_payment_that_cannot_be_settled_keeps_no_other_from_it(
    till: Till, refuse_to: RefuseTo, error: Exception
) -> None:
    refuse_to("create", error)
    stuck = [await till.order(price="0.01") for _ in range(2)]
    await till.pay(stuck[0])
    good = await waits_for_the_bank_and_has_its_answer(till)
    await till.pay(stuck[1])
    assert len(await till.payments.reconcile()) == 1
    assert (await till.shown(good))["status"] == "authorized"
    assert [(await till.shown(order))["status"] for order in stuck] == ["pending", "pending"]
    assert len(await till.payments.reconcile()) == 0
