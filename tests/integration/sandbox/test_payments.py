"""PaymentIntents, charges and refunds of the sandbox."""

import pytest
import stripe

from tests.support.stripe_sandbox import HTTPX_WARNING, card, opened, paid_by, problem

pytestmark = pytest.mark.filterwarnings(HTTPX_WARNING)


async def test_an_authorized_payment_is_captured(shop: stripe.StripeClient) -> None:
    intent = await opened(shop, metadata={"orderId": "o1"})
    assert intent.status == "requires_payment_method"
    intent = await shop.v1.payment_intents.confirm_async(intent.id, card("tok_visa"))
    assert (intent.status, intent.amount_capturable, intent.amount_received) == ("requires_capture", 1999, 0)
    intent = await shop.v1.payment_intents.capture_async(intent.id)
    assert (intent.status, intent.amount_capturable, intent.amount_received) == ("succeeded", 0, 1999)
    charge = await shop.v1.charges.retrieve_async(str(intent.latest_charge))
    assert (charge.captured, charge.amount_captured, charge.metadata["orderId"]) == (True, 1999, "o1")


async def test_a_payment_with_automatic_capture_is_captured_at_once(shop: stripe.StripeClient) -> None:
    intent = await paid_by("tok_mastercard", shop, capture_method="automatic")
    assert (intent.status, intent.amount_received) == ("succeeded", 1999)


async def test_one_request_can_create_and_confirm_an_intent(shop: stripe.StripeClient) -> None:
    intent = await opened(shop, confirm=True, **card("tok_amex"))
    assert intent.status == "requires_capture"


async def test_an_intent_gets_a_copy_of_a_test_payment_method(shop: stripe.StripeClient) -> None:
    intent = await opened(shop, payment_method="pm_card_visa", allowed_payment_method_types=["card"])
    assert intent.status == "requires_confirmation"
    intent = await shop.v1.payment_intents.confirm_async(
        intent.id, {"expand": ["payment_method", "latest_charge"]}
    )
    assert isinstance(intent.payment_method, stripe.PaymentMethod)
    assert intent.payment_method.id.startswith("pm_")
    assert intent.payment_method.id != "pm_card_visa"
    assert isinstance(intent.latest_charge, stripe.Charge)
    assert intent.latest_charge.payment_method == intent.payment_method.id


async def test_a_capture_can_be_smaller_than_the_authorization_but_not_larger(
    shop: stripe.StripeClient,
) -> None:
    intent = await paid_by("tok_visa", shop)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 2000})
    assert caught.value.code == "amount_too_large"
    intent = await shop.v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 999})
    assert (intent.status, intent.amount_received) == ("succeeded", 999)


async def test_a_canceled_authorization_cannot_be_captured(shop: stripe.StripeClient) -> None:
    intent = await paid_by("tok_visa", shop)
    intent = await shop.v1.payment_intents.cancel_async(intent.id, {"cancellation_reason": "abandoned"})
    assert (intent.status, intent.amount_capturable) == ("canceled", 0)
    assert intent.cancellation_reason == "abandoned"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.v1.payment_intents.capture_async(intent.id)
    assert caught.value.http_status == 400
    assert caught.value.code == "payment_intent_unexpected_state"
    assert problem(caught.value)["payment_intent"]["status"] == "canceled"


async def test_a_captured_payment_cannot_be_canceled_confirmed_or_captured_again(
    shop: stripe.StripeClient,
) -> None:
    intent = await paid_by("tok_visa", shop, capture_method="automatic")
    intents = shop.v1.payment_intents
    for request in (
        intents.cancel_async(intent.id),
        intents.capture_async(intent.id),
        intents.confirm_async(intent.id, card("tok_visa")),
        intents.update_async(intent.id, {"amount": 1}),
    ):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            await request
        assert caught.value.code == "payment_intent_unexpected_state"
        assert problem(caught.value)["payment_intent"]["id"] == intent.id


async def test_an_intent_without_a_card_cannot_be_confirmed(shop: stripe.StripeClient) -> None:
    intent = await opened(shop)
    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method"):
        await shop.v1.payment_intents.confirm_async(intent.id, {"return_url": "http://shop.test/"})
    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method"):
        await opened(shop, confirm=True)


async def test_payment_methods_that_may_redirect_require_a_return_url(shop: stripe.StripeClient) -> None:
    pay = {"confirm": True, "payment_method": "pm_card_visa"}
    with pytest.raises(stripe.InvalidRequestError, match="you must provide a `return_url`"):
        await opened(shop, **pay)
    never = {"enabled": True, "allow_redirects": "never"}
    assert (await opened(shop, **pay, automatic_payment_methods=never)).status == "requires_capture"
    assert (await opened(shop, **pay, allowed_payment_method_types=["card"])).status == "requires_capture"


@pytest.mark.parametrize(
    ("token", "code", "decline_code", "message"),
    [
        ("tok_chargeDeclined", "card_declined", "generic_decline", "Your card was declined."),
        ("tok_visa_chargeDeclined", "card_declined", "generic_decline", "Your card was declined."),
        (
            "tok_chargeDeclinedInsufficientFunds",
            "card_declined",
            "insufficient_funds",
            "Your card has insufficient funds.",
        ),
        ("tok_visa_chargeDeclinedLostCard", "card_declined", "lost_card", "Your card was declined."),
        ("tok_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card", "Your card was declined."),
        ("tok_chargeDeclinedExpiredCard", "expired_card", None, "Your card has expired."),
        ("tok_chargeDeclinedIncorrectCvc", "incorrect_cvc", None, "Your card's security code is incorrect."),
        (
            "tok_chargeDeclinedProcessingError",
            "processing_error",
            None,
            "An error occurred while processing your card. Try again in a little bit.",
        ),
    ],
)
async def test_an_intent_can_be_paid_with_another_card_after_a_decline(
    shop: stripe.StripeClient, token: str, code: str, decline_code: str | None, message: str
) -> None:
    intent = await opened(shop)
    with pytest.raises(stripe.CardError) as caught:
        await shop.v1.payment_intents.confirm_async(intent.id, card(token))
    error = problem(caught.value)
    assert caught.value.http_status == 402
    assert (error["type"], error["code"], error.get("decline_code")) == ("card_error", code, decline_code)
    assert error["message"] == message
    intent = await shop.v1.payment_intents.retrieve_async(intent.id)
    assert error["payment_intent"] == intent.to_dict()
    assert intent.status == "requires_payment_method"
    assert intent.payment_method is None
    assert intent.last_payment_error is not None
    assert (intent.last_payment_error.code, intent.last_payment_error.message) == (code, message)
    charge = await shop.v1.charges.retrieve_async(error["charge"])
    assert (charge.paid, charge.status, charge.failure_code) == (False, "failed", code)
    intent = await shop.v1.payment_intents.confirm_async(intent.id, card("tok_visa"))
    assert (intent.status, intent.last_payment_error) == ("requires_capture", None)


async def test_a_decline_on_creation_still_creates_the_intent(shop: stripe.StripeClient) -> None:
    pay = {
        "confirm": True,
        "payment_method": "pm_card_visa_chargeDeclined",
        "allowed_payment_method_types": ["card"],
    }
    with pytest.raises(stripe.CardError) as caught:
        await opened(shop, **pay)
    intent = await shop.v1.payment_intents.retrieve_async(problem(caught.value)["payment_intent"]["id"])
    assert intent.status == "requires_payment_method"


@pytest.mark.parametrize("token", ["tok_x", "tok_chargedeclined", "pm_card_visa"])
async def test_an_unknown_token_is_refused(shop: stripe.StripeClient, token: str) -> None:
    intent = await opened(shop)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.v1.payment_intents.confirm_async(intent.id, card(token))
    assert (caught.value.http_status, caught.value.code) == (400, "resource_missing")
    assert problem(caught.value)["message"] == f"No such token: '{token}'"


async def test_refunds_never_exceed_the_captured_amount(shop: stripe.StripeClient) -> None:
    intent = await paid_by("tok_visa", shop, capture_method="automatic")
    refunds = shop.v1.refunds
    first = await refunds.create_async({"payment_intent": intent.id, "amount": 1500})
    assert (first.status, first.amount, first.charge) == ("succeeded", 1500, intent.latest_charge)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        await refunds.create_async({"payment_intent": intent.id, "amount": 500})
    rest = await refunds.create_async({"charge": str(intent.latest_charge), "reason": "duplicate"})
    assert rest.amount == 499
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await refunds.create_async({"payment_intent": intent.id})
    assert caught.value.code == "charge_already_refunded"
    listed = await refunds.list_async({"payment_intent": intent.id})
    assert [refund.id for refund in listed.data] == [rest.id, first.id]
    assert (await refunds.retrieve_async(rest.id)).reason == "duplicate"
    charge = await shop.v1.charges.retrieve_async(str(intent.latest_charge))
    assert (charge.refunded, charge.amount_refunded) == (True, 1999)


async def test_a_payment_that_is_not_captured_cannot_be_refunded(shop: stripe.StripeClient) -> None:
    for intent in (await opened(shop), await paid_by("tok_visa", shop)):
        with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
            await shop.v1.refunds.create_async({"payment_intent": intent.id})


async def test_an_update_merges_metadata_and_changes_the_amount(shop: stripe.StripeClient) -> None:
    intent = await opened(shop, metadata={"a": "1", "b": "2"})
    intent = await shop.v1.payment_intents.update_async(
        intent.id, {"amount": 2500, "metadata": {"b": "", "c": "3"}}
    )
    assert intent.amount == 2500
    assert intent.metadata.to_dict() == {"a": "1", "c": "3"}


async def test_intents_are_listed_in_pages_newest_first(shop: stripe.StripeClient) -> None:
    oldest, middle, newest = [(await opened(shop)).id for _ in range(3)]
    intents = shop.v1.payment_intents
    page = await intents.list_async({"limit": 2})
    assert [intent.id for intent in page.data] == [newest, middle]
    assert page.has_more
    after = await intents.list_async({"limit": 1, "starting_after": middle})
    assert [intent.id for intent in after.data] == [oldest]
    before = await intents.list_async({"limit": 5, "ending_before": oldest})
    assert [intent.id for intent in before.data] == [newest, middle]
    assert not before.has_more
