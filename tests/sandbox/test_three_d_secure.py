from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import stripe

from tests.sandbox.served import SHOP, STRIPES_OWN, card, paid_by

pytestmark = pytest.mark.filterwarnings(STRIPES_OWN)


def page_of(intent: stripe.PaymentIntent) -> str:
    action = intent.next_action
    assert action is not None
    assert action.redirect_to_url is not None
    assert action.redirect_to_url.return_url == SHOP
    return urlsplit(str(action.redirect_to_url.url)).path


@pytest.mark.parametrize(
    "token",
    ["tok_threeDSecure2Required", "tok_threeDSecureRequired", "tok_authenticationRequired"],
)
async def test_an_approved_check_authorizes_and_leads_back(
    shop: stripe.StripeClient, wire: httpx.AsyncClient, token: str
) -> None:
    intent = await paid_by(token, shop)
    assert (intent.status, intent.latest_charge) == ("requires_action", None)
    page = await wire.get(page_of(intent))
    assert "19.99 USD" in page.text
    assert "Approve" in page.text
    assert "Refuse" in page.text
    back = await wire.post(page_of(intent), data={"answer": "approve"})
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


async def test_automatic_capture_follows_an_approved_check(
    shop: stripe.StripeClient, wire: httpx.AsyncClient
) -> None:
    intent = await paid_by("tok_threeDSecure2Required", shop, capture_method="automatic")
    await wire.post(page_of(intent), data={"answer": "approve"})
    assert (await shop.v1.payment_intents.retrieve_async(intent.id)).status == "succeeded"


async def test_a_refused_check_charges_nothing_and_asks_for_another_card(
    shop: stripe.StripeClient, wire: httpx.AsyncClient
) -> None:
    intent = await paid_by("tok_threeDSecure2Required", shop)
    assert (await wire.post(page_of(intent), data={"answer": "refuse"})).status_code == 303
    intent = await shop.v1.payment_intents.retrieve_async(intent.id)
    assert (intent.status, intent.latest_charge) == ("requires_payment_method", None)
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.code == "payment_intent_authentication_failure"
    intent = await shop.v1.payment_intents.confirm_async(intent.id, card("tok_visa"))
    assert intent.status == "requires_capture"


async def test_a_card_can_be_declined_after_an_approved_check(
    shop: stripe.StripeClient, wire: httpx.AsyncClient
) -> None:
    intent = await paid_by("tok_threeDSecureRequiredChargeDeclined", shop)
    await wire.post(page_of(intent), data={"answer": "approve"})
    intent = await shop.v1.payment_intents.retrieve_async(intent.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.decline_code == "generic_decline"


async def test_only_the_first_answer_counts(shop: stripe.StripeClient, wire: httpx.AsyncClient) -> None:
    intent = await paid_by("tok_threeDSecure2Required", shop)
    page = page_of(intent)
    await wire.post(page, data={"answer": "approve"})
    settled = await shop.v1.payment_intents.retrieve_async(intent.id)
    for answer in ("approve", "refuse"):
        assert (await wire.post(page, data={"answer": answer})).status_code == 303
    assert (await shop.v1.payment_intents.retrieve_async(intent.id)).to_dict() == settled.to_dict()
    gone_back = await wire.get(page)
    assert gone_back.status_code == 200
    assert "Approve" not in gone_back.text
    assert f"payment_intent={intent.id}" in gone_back.text


async def test_the_page_of_an_earlier_attempt_decides_nothing(
    shop: stripe.StripeClient, wire: httpx.AsyncClient
) -> None:
    intent = await paid_by("tok_threeDSecure2Required", shop)
    earlier = page_of(intent)
    intent = await shop.v1.payment_intents.confirm_async(intent.id, card("tok_threeDSecure2Required"))
    assert page_of(intent) != earlier
    assert (await wire.post(earlier, data={"answer": "approve"})).status_code == 303
    assert (await shop.v1.payment_intents.retrieve_async(intent.id)).status == "requires_action"


async def test_a_check_of_a_canceled_payment_cannot_be_passed(
    shop: stripe.StripeClient, wire: httpx.AsyncClient
) -> None:
    intent = await paid_by("tok_threeDSecure2Required", shop)
    page = page_of(intent)
    await shop.v1.payment_intents.cancel_async(intent.id)
    await wire.post(page, data={"answer": "approve"})
    assert (await shop.v1.payment_intents.retrieve_async(intent.id)).status == "canceled"


async def test_a_form_without_an_answer_shows_the_check_again(
    shop: stripe.StripeClient, wire: httpx.AsyncClient
) -> None:
    page = page_of(await paid_by("tok_threeDSecure2Required", shop))
    again = await wire.post(page, data={"answer": "maybe"}, follow_redirects=True)
    assert "Approve" in again.text


async def test_there_is_no_check_with_a_made_up_address(wire: httpx.AsyncClient) -> None:
    assert (await wire.get("/3d_secure/tds_guess")).status_code == 404
    assert (await wire.post("/3d_secure/tds_guess", data={"answer": "approve"})).status_code == 404
