import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import stripe

from tests.services.conftest import SettingsWith
from tests.services.served import messages, serving
from tests.services.till import Till

SECRET = "whsec_of_this_test"


@pytest.fixture
async def hooked(
    settings_with: SettingsWith, stripe_url: str, shop: stripe.StripeClient
) -> AsyncIterator[Till]:
    conf = settings_with(stripe_api_base=stripe_url, stripe_webhook_secret=SECRET)
    async with serving("payments", conf) as served:
        yield Till(served, shop, stripe_url)


def about(thing: dict[str, Any], kind: str = "payment_intent.amount_capturable_updated") -> bytes:
    return json.dumps({"id": "evt_1", "object": "event", "type": kind, "data": {"object": thing}}).encode()


def signature(body: bytes, *, secret: str = SECRET, age: int = 0) -> str:
    """As https://docs.stripe.com/webhooks#verify-manually describes it."""
    at = int(time.time()) - age
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


async def deliver(till: Till, body: bytes, signed: str | None) -> httpx.Response:
    headers = {"Content-Type": "application/json"} | ({"Stripe-Signature": signed} if signed else {})
    return await till.served.ask("POST", "/api/payments/webhook", content=body, headers=headers)


async def test_a_signed_webhook_brings_the_payment_on(hooked: Till) -> None:
    order = await hooked.order()
    await hooked.pay(order, "tok_threeDSecure2Required")
    await hooked.answer_check(order, "approve")
    (intent,) = await hooked.intents(order)
    body = about({"id": intent.id, "object": "payment_intent"})
    for _ in range(2):
        answer = await deliver(hooked, body, signature(body))
        assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert await hooked.told(order) == [
        ("payment.created", 0, "pending"),
        ("payment.updated", 1, "authorized"),
    ]


async def test_a_webhook_about_a_charge_brings_its_payment_on(hooked: Till) -> None:
    order = await hooked.order()
    await hooked.pay(order, "tok_threeDSecure2Required")
    await hooked.answer_check(order, "approve")
    (intent,) = await hooked.intents(order)
    body = about({"id": "ch_1", "object": "charge", "payment_intent": intent.id}, "charge.succeeded")
    assert (await deliver(hooked, body, signature(body))).status_code == 200
    assert (await hooked.shown(order))["status"] == "authorized"


async def test_a_webhook_is_believed_only_in_that_something_happened(hooked: Till) -> None:
    order = await hooked.order()
    await hooked.pay(order, "tok_threeDSecure2Required")
    (intent,) = await hooked.intents(order)
    body = about({"id": intent.id, "object": "payment_intent", "status": "succeeded"})
    assert (await deliver(hooked, body, signature(body))).status_code == 200
    assert (await hooked.shown(order))["status"] == "pending"


@pytest.mark.parametrize(
    "thing",
    [
        {"id": "pi_unknown", "object": "payment_intent"},
        {"id": "cus_1", "object": "customer"},
        {"id": "ch_1", "object": "charge", "payment_intent": None},
        {},
    ],
)
async def test_a_webhook_about_something_else_is_taken_and_does_nothing(
    hooked: Till, thing: dict[str, Any]
) -> None:
    body = about(thing)
    assert (await deliver(hooked, body, signature(body))).status_code == 200


async def test_a_webhook_may_take_a_few_minutes(hooked: Till) -> None:
    body = about({"id": "pi_unknown", "object": "payment_intent"})
    assert (await deliver(hooked, body, signature(body, age=200))).status_code == 200


async def test_a_webhook_that_is_not_signed_with_the_secret_is_refused(hooked: Till) -> None:
    body = about({"id": "pi_1", "object": "payment_intent"})
    for signed in (
        signature(body, secret="whsec_of_another"),
        signature(body + b" "),
        "t=1,v1=",
        "v1=abc",
        "made up",
        "t=now,v1=abc",
        None,
    ):
        answer = await deliver(hooked, body, signed)
        assert messages(answer, 400) == ["The webhook's signature isn't valid"], signed


async def test_a_stale_webhook_is_refused(hooked: Till) -> None:
    body = about({"id": "pi_1", "object": "payment_intent"})
    answer = await deliver(hooked, body, signature(body, age=400))
    assert messages(answer, 400) == ["The webhook's signature isn't valid"]


@pytest.mark.parametrize("body", [b"", b"not json", b"\xff", b"[]", b"7", b"{}", b'{"data": 7}'])
async def test_a_signed_webhook_that_is_no_event_is_refused(hooked: Till, body: bytes) -> None:
    assert messages(await deliver(hooked, body, signature(body)), 400)


async def test_without_a_secret_every_webhook_is_refused(till: Till) -> None:
    body = about({"id": "pi_1", "object": "payment_intent"})
    for secret in (SECRET, "None", "whsec_"):
        answer = await deliver(till, body, signature(body, secret=secret))
        assert messages(answer, 400) == ["Webhooks are refused: no STRIPE_WEBHOOK_SECRET is set"]
