"""Bank checks (3-D Secure) of the sandbox."""

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import stripe

from tests.support.stripe_sandbox import HTTPX_WARNING, SHOP, card, paid_by

pytestmark = pytest.mark.filterwarnings(HTTPX_WARNING)


def bank_page_of(intent: stripe.PaymentIntent) -> str:
    action = intent.next_action
    assert action is not None
    assert action.redirect_to_url is not None
    assert action.redirect_to_url.return_url == SHOP
    return urlsplit(str(action.redirect_to_url.url)).path


@pytest.mark.parametrize(
    "token",
    ["tok_threeDSecure2Required", "tok_threeDSecureRequired", "tok_authenticationRequired"],
)
async def test_an_approved_bank_check_authorizes_the_payment_and_redirects_to_the_shop(
    shop: stripe.StripeClient, http: httpx.AsyncClient, token: str
) -> None:
    intent = await paid_by(token, shop)
    assert (intent.status, intent.latest_charge) == ("requires_action", None)
    page = await http.get(bank_page_of(intent))
    assert "19.99 USD" in page.text
    assert "Approve" in page.text
    assert "Refuse" in page.text
    back = await http.post(bank_page_of(intent), data={"answer": "approve"})
    assert back.status_code == 303
    location = urlsplit(back.headers["location"])
    assert location.netloc == "shop.test"
    assert parse_qs(location.query) == {
        "tab": ["pay"],
        "payment_intent": [intent.id],
        "payment_intent_client_secret": [str(intent.client_secret)],
    }
    intent = await shop.v1.payment_intents.retrieve_async(intent.id)
    assert (intent.status, intent.next_action) == ("requires_capture", None)


async def test_an_approved_payment_with_automatic_capture_is_captured(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    intent = await paid_by("tok_threeDSecure2Required", shop, capture_method="automatic")
    await http.post(bank_page_of(intent), data={"answer": "approve"})
    assert (await shop.v1.payment_intents.retrieve_async(intent.id)).status == "succeeded"


async def test_a_refused_bank_check_charges_nothing_and_requires_another_card(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    intent = await paid_by("tok_threeDSecure2Required", shop)
    assert (await http.post(bank_page_of(intent), data={"answer": "refuse"})).status_code == 303
    intent = await shop.v1.payment_intents.retrieve_async(intent.id)
    assert (intent.status, intent.latest_charge) == ("requires_payment_method", None)
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.code == "payment_intent_authentication_failure"
    intent = await shop.v1.payment_intents.confirm_async(intent.id, card("tok_visa"))
    assert intent.status == "requires_capture"


async def test_a_card_can_be_declined_after_an_approved_bank_check(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    intent = await paid_by("tok_threeDSecureRequiredChargeDeclined", shop)
    await http.post(bank_page_of(intent), data={"answer": "approve"})
    intent = await shop.v1.payment_intents.retrieve_async(intent.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.decline_code == "generic_decline"


async def test_only_the_first_answer_to_a_bank_check_counts(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    intent = await paid_by("tok_threeDSecure2Required", shop)
    page = bank_page_of(intent)
    await http.post(page, data={"answer": "approve"})
    settled = await shop.v1.payment_intents.retrieve_async(intent.id)
    for answer in ("approve", "refuse"):
        assert (await http.post(page, data={"answer": answer})).status_code == 303
    assert (await shop.v1.payment_intents.retrieve_async(intent.id)).to_dict() == settled.to_dict()
    page_again = await http.get(page)
    assert page_again.status_code == 200
    assert "Approve" not in page_again.text
    assert f"payment_intent={intent.id}" in page_again.text


async def test_the_bank_page_of_an_earlier_attempt_has_no_effect(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    intent = await paid_by("tok_threeDSecure2Required", shop)
    earlier = bank_page_of(intent)
    intent = await shop.v1.payment_intents.confirm_async(intent.id, card("tok_threeDSecure2Required"))
    assert bank_page_of(intent) != earlier
    assert (await http.post(earlier, data={"answer": "approve"})).status_code == 303
    assert (await shop.v1.payment_intents.retrieve_async(intent.id)).status == "requires_action"


async def test_the_bank_check_of_a_canceled_payment_has_no_effect(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    intent = await paid_by("tok_threeDSecure2Required", shop)
    page = bank_page_of(intent)
    await shop.v1.payment_intents.cancel_async(intent.id)
    await http.post(page, data={"answer": "approve"})
    assert (await shop.v1.payment_intents.retrieve_async(intent.id)).status == "canceled"


async def test_submitting_a_bank_check_without_an_answer_shows_the_page_again(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    page = bank_page_of(await paid_by("tok_threeDSecure2Required", shop))
    again = await http.post(page, data={"answer": "maybe"}, follow_redirects=True)
    assert "Approve" in again.text


async def test_an_unknown_bank_check_is_not_found(http: httpx.AsyncClient) -> None:
    assert (await http.get("/3d_secure/tds_guess")).status_code == 404
    assert (await http.post("/3d_secure/tds_guess", data={"answer": "approve"})).status_code == 404
