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


@pytest.mark.parametrize("body", [b"", b"not json", b"\xff"])
async def test_a_signed_webhook_that_is_no_event_is_refused(hooked: Till, body: bytes) -> None:
    assert messages(await deliver(hooked, body, signature(body)), 400)


async def test_without_a_secret_every_webhook_is_refused(till: Till) -> None:
    body = about({"id": "pi_1", "object": "payment_intent"})
    for secret in (SECRET, "None", "whsec_"):
        answer = await deliver(till, body, signature(body, secret=secret))
        assert messages(answer, 400) == ["Webhooks are refused: no STRIPE_WEBHOOK_SECRET is set"]
