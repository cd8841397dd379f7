"""The sandbox's version of Stripe's hosted payment page, Stripe Checkout."""

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import stripe

from sandbox.stripe.checkout import rules
from sandbox.stripe.errors import StripeError
from sandbox.stripe.state import Line, Session
from tests.support.stripe_sandbox import HTTPX_WARNING

pytestmark = pytest.mark.filterwarnings(HTTPX_WARNING)

SUCCESS = "http://shop.test/orders/1?session={CHECKOUT_SESSION_ID}"
CANCEL = "http://shop.test/orders/1"
SEATS = {
    "price_data": {"currency": "usd", "unit_amount": 1999, "product_data": {"name": "A <b>night</b> out"}},
    "quantity": 2,
}


async def create_session(shop: stripe.StripeClient, **params: Any) -> stripe.checkout.Session:
    request: Any = {
        "mode": "payment",
        "line_items": [SEATS],
        "payment_intent_data": {"capture_method": "manual", "metadata": {"order_id": "o1"}},
        "client_reference_id": "o1",
        "success_url": SUCCESS,
        "cancel_url": CANCEL,
        **params,
    }
    return await shop.v1.checkout.sessions.create_async(request)


def path_of(session: stripe.checkout.Session) -> str:
    return urlsplit(str(session.url)).path


async def retrieve(shop: stripe.StripeClient, session: stripe.checkout.Session) -> stripe.checkout.Session:
    return await shop.v1.checkout.sessions.retrieve_async(
        session.id, {"expand": ["payment_intent.latest_charge"]}
    )


def payment_of(session: stripe.checkout.Session) -> stripe.PaymentIntent:
    assert isinstance(session.payment_intent, stripe.PaymentIntent)
    return session.payment_intent


async def test_a_new_session_is_open_and_has_no_payment_yet(shop: stripe.StripeClient) -> None:
    session = await create_session(shop, metadata={"order": "1"})
    assert session.id.startswith("cs_test_")
    assert (session.status, session.payment_status, session.payment_intent) == ("open", "unpaid", None)
    assert (session.amount_total, session.currency, session.client_reference_id) == (3998, "usd", "o1")
    assert session.metadata is not None
    assert session.metadata.to_dict() == {"order": "1"}
    assert session.expires_at == session.created + rules.MAX_DURATION


async def test_the_page_shows_the_line_items_the_amount_and_the_cards(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    page = await http.get(path_of(await create_session(shop)))
    assert page.status_code == 200
    assert "2 x A &lt;b&gt;night&lt;/b&gt; out" in page.text
    assert "Pay 39.98 USD" in page.text
    assert page.text.count('type="radio"') == 4
    assert f'href="{CANCEL}"' in page.text
    assert "Sandbox payments" in page.text


async def test_paying_authorizes_the_payment_and_redirects_to_the_shop(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    session = await create_session(shop)
    answer = await http.post(path_of(session), data={"card": "tok_visa"})
    assert answer.status_code == 303
    assert answer.headers["location"] == SUCCESS.replace("{CHECKOUT_SESSION_ID}", session.id)
    session = await retrieve(shop, session)
    assert (session.status, session.payment_status, session.url) == ("complete", "unpaid", None)
    intent = payment_of(session)
    assert (intent.status, intent.amount_capturable) == ("requires_capture", 3998)
    assert intent.metadata.to_dict() == {"order_id": "o1"}
    assert isinstance(intent.latest_charge, stripe.Charge)
    await shop.v1.payment_intents.capture_async(intent.id)
    assert (await retrieve(shop, session)).payment_status == "paid"


async def test_a_session_with_automatic_capture_is_paid_at_once(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    session = await create_session(shop, payment_intent_data={"description": "Two seats"})
    await http.post(path_of(session), data={"card": "tok_visa"})
    session = await retrieve(shop, session)
    assert (session.status, session.payment_status) == ("complete", "paid")
    assert payment_of(session).description == "Two seats"


async def test_submitting_the_payment_page_several_times_charges_once(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    session = await create_session(shop)
    path = path_of(session)
    answers = await asyncio.gather(*(http.post(path, data={"card": "tok_visa"}) for _ in range(5)))
    assert {(answer.status_code, answer.headers["location"]) for answer in answers} == {
        (303, SUCCESS.replace("{CHECKOUT_SESSION_ID}", session.id))
    }
    charges = await shop.v1.events.list_async({"type": "charge.succeeded", "limit": 100})
    intent = payment_of(await retrieve(shop, session))
    charged_intents = [event.data.object.to_dict()["payment_intent"] for event in charges.data]
    assert charged_intents.count(intent.id) == 1
    page_again = await http.get(path)
    assert "Payment received" in page_again.text
    assert "<form" not in page_again.text


async def test_after_a_decline_another_card_can_be_used_on_the_same_page(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    session = await create_session(shop)
    answer = await http.post(path_of(session), data={"card": "tok_chargeDeclinedInsufficientFunds"})
    assert answer.status_code == 402
    assert 'role="alert"' in answer.text
    assert "Your card has insufficient funds." in answer.text
    assert "Your card has insufficient funds." in (await http.get(path_of(session))).text
    declined = await retrieve(shop, session)
    assert (declined.status, payment_of(declined).status) == ("open", "requires_payment_method")
    assert (await http.post(path_of(session), data={"card": "tok_visa"})).status_code == 303
    paid = await retrieve(shop, session)
    assert (paid.status, payment_of(paid).status) == ("complete", "requires_capture")
    assert payment_of(paid).id == payment_of(declined).id


@pytest.mark.parametrize("data", [{}, {"card": "tok_amex"}, {"card[x]": "tok_visa"}])
async def test_the_page_asks_for_a_card_if_none_is_chosen(
    shop: stripe.StripeClient, http: httpx.AsyncClient, data: dict[str, str]
) -> None:
    session = await create_session(shop)
    answer = await http.post(path_of(session), data=data)
    assert (answer.status_code, "Choose a card." in answer.text) == (400, True)
    assert (await retrieve(shop, session)).payment_intent is None


async def pay_with_bank_check(http: httpx.AsyncClient, session: stripe.checkout.Session) -> str:
    """Pay with a card that requires a bank check, and return the path of the bank's page."""
    answer = await http.post(path_of(session), data={"card": "tok_threeDSecure2Required"})
    assert answer.status_code == 303
    return urlsplit(answer.headers["location"]).path


async def test_an_approved_bank_check_completes_the_session(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    session = await create_session(shop)
    check = await pay_with_bank_check(http, session)
    waiting = await retrieve(shop, session)
    assert (waiting.status, payment_of(waiting).status) == ("open", "requires_action")
    action = payment_of(waiting).next_action
    assert action is not None
    assert (action.type, "redirect_to_url" in action) == ("use_stripe_sdk", False)
    assert check in (await http.get(path_of(session))).text
    for _ in range(2):
        back = await http.post(check, data={"answer": "approve"})
        assert back.headers["location"] == SUCCESS.replace("{CHECKOUT_SESSION_ID}", session.id)
    paid = await retrieve(shop, session)
    assert (paid.status, payment_of(paid).status) == ("complete", "requires_capture")


async def test_after_a_refused_bank_check_the_buyer_returns_to_the_payment_page(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    session = await create_session(shop)
    back = await http.post(await pay_with_bank_check(http, session), data={"answer": "refuse"})
    assert urlsplit(back.headers["location"]).path == path_of(session)
    refused = await retrieve(shop, session)
    assert (refused.status, payment_of(refused).status) == ("open", "requires_payment_method")
    assert "didn&#x27;t confirm" in (await http.get(path_of(session))).text
    await http.post(path_of(session), data={"card": "tok_visa"})
    assert (await retrieve(shop, session)).status == "complete"


async def test_the_api_cannot_change_the_payment_of_an_open_session(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    session = await create_session(shop)
    await pay_with_bank_check(http, session)
    intents, id_ = shop.v1.payment_intents, payment_of(await retrieve(shop, session)).id
    pay: Any = {"payment_method": "pm_card_visa"}
    for verb, forbidden in (
        ("cancel", intents.cancel_async(id_)),
        ("confirm", intents.confirm_async(id_, pay)),
        ("update", intents.update_async(id_, {"amount": 1})),
    ):
        with pytest.raises(stripe.InvalidRequestError, match=f"cannot {verb} .* created by Checkout"):
            await forbidden
    assert (await intents.retrieve_async(id_)).status == "requires_action"


async def test_the_payment_of_a_complete_session_can_be_canceled(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    session = await create_session(shop)
    await http.post(path_of(session), data={"card": "tok_visa"})
    intent = await shop.v1.payment_intents.cancel_async(payment_of(await retrieve(shop, session)).id)
    assert intent.status == "canceled"
    session = await retrieve(shop, session)
    assert (session.status, session.payment_status) == ("complete", "unpaid")


async def test_expiring_a_session_cancels_its_payment_and_bank_check(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    session = await create_session(shop)
    path, check = path_of(session), await pay_with_bank_check(http, session)
    expired = await shop.v1.checkout.sessions.expire_async(session.id)
    assert (expired.status, expired.url) == ("expired", None)
    back = await http.post(check, data={"answer": "approve"})
    assert urlsplit(back.headers["location"]).path == path
    assert payment_of(await retrieve(shop, session)).status == "canceled"
    page = await http.get(path)
    assert "This page has expired" in page.text
    assert "<form" not in page.text
    late = await http.post(path, data={"card": "tok_visa"})
    assert (late.status_code, "Nothing was charged" in late.text) == (410, True)
    assert payment_of(await retrieve(shop, session)).latest_charge is None


async def test_only_an_open_session_can_be_expired(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    complete, expired = await create_session(shop), await create_session(shop)
    await http.post(path_of(complete), data={"card": "tok_visa"})
    await shop.v1.checkout.sessions.expire_async(expired.id)
    for session, status in ((complete, "complete"), (expired, "expired")):
        with pytest.raises(stripe.InvalidRequestError, match=f"has a status of `{status}`") as caught:
            await shop.v1.checkout.sessions.expire_async(session.id)
        assert caught.value.http_status == 400


async def test_a_session_can_be_found_by_its_payment(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    sessions = [await create_session(shop) for _ in range(2)]
    for session in sessions:
        await http.post(path_of(session), data={"card": "tok_visa"})
    intent = payment_of(await retrieve(shop, sessions[0]))
    found = await shop.v1.checkout.sessions.list_async(
        {"payment_intent": intent.id, "expand": ["data.payment_intent"]}
    )
    assert [(session.id, payment_of(session).id) for session in found.data] == [(sessions[0].id, intent.id)]
    newest = await shop.v1.checkout.sessions.list_async({"limit": 2})
    assert [session.id for session in newest.data] == [sessions[1].id, sessions[0].id]


async def test_an_unknown_session_has_no_page(http: httpx.AsyncClient) -> None:
    assert (await http.get("/c/pay/cs_test_guess")).status_code == 404
    assert (await http.post("/c/pay/cs_test_guess", data={"card": "tok_visa"})).status_code == 404


@pytest.mark.parametrize(
    ("seconds", "message"), [(60, "at least 30 minutes"), (90_000, "less than 24 hours")]
)
async def test_a_session_can_be_open_for_30_minutes_to_24_hours(
    shop: stripe.StripeClient, seconds: int, message: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=message) as caught:
        await create_session(shop, expires_at=int(time.time()) + seconds)
    assert caught.value.param == "expires_at"
    at = int(time.time()) + 1900
    assert (await create_session(shop, expires_at=at)).expires_at == at


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"line_items": []}, "line_items"),
        ({"line_items": [{"quantity": 1}]}, "line_items[0][price_data]"),
        ({"line_items": [{"price_data": SEATS["price_data"]}]}, "line_items[0][quantity]"),
        ({"line_items": [SEATS | {"quantity": 99_999}]}, "line_items"),
        ({"success_url": "shop"}, "success_url"),
        ({"cancel_url": "javascript:alert(1)"}, "cancel_url"),
        ({"mode": "setup"}, "mode"),
        ({"payment_intent_data": {"colour": "red"}}, "payment_intent_data[colour]"),
    ],
)
async def test_the_error_for_an_invalid_session_parameter_names_the_parameter(
    shop: stripe.StripeClient, params: dict[str, Any], param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await create_session(shop, **params)
    assert caught.value.param == param


OPEN = Session("cs_1", 0, rules.MAX_DURATION, "usd", (Line("li_1", "A night out", 1999, 1),), SUCCESS)


def test_a_payment_does_not_complete_an_expired_session() -> None:
    intent = rules.create_intent(
        OPEN, intent_id="pi_1", client_secret="s", page="http://sandbox/c/pay/cs_1", now=1
    )
    assert rules.after_attempt(OPEN, intent).status == "open"
    expired, canceled = rules.expire(rules.after_attempt(OPEN, intent), intent, now=2)
    assert canceled is not None
    assert (expired.status, canceled.status, canceled.cancellation_reason) == (
        "expired",
        "canceled",
        "expired",
    )
    assert rules.after_attempt(expired, intent).status == "expired"
    with pytest.raises(StripeError):
        rules.expire(expired, canceled, now=3)
