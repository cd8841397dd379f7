"""Malformed webhooks, signed or not, are refused instead of failing."""

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.service import Served, SettingsWith, messages, serving

SECRET = "whsec_of_this_test"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
RESOURCES = st.fixed_dictionaries(
    {},
    optional={
        "object": st.just("payment_intent") | JSON,
        "id": JSON,
        "payment_intent": JSON,
        "status": st.just("succeeded") | JSON,
        "metadata": st.fixed_dictionaries({"order_id": JSON}) | JSON,
    },
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text() | JSON,
        "type": st.text() | JSON,
        "data": st.fixed_dictionaries({"object": RESOURCES}) | JSON,
    },
)


@pytest_asyncio.fixture(loop_scope="session")
async def payments(settings_with: SettingsWith) -> AsyncIterator[Served]:
    async with serving("payments", settings_with(stripe_webhook_secret=SECRET)) as served:
        yield served


def signature(body: bytes) -> bytes:
    at = int(time.time())
    digest = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}".encode()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS | JSON)
@example({"id": 5, "type": "charge.refunded", "data": {"object": {}}})
@example({"id": "", "data": {"object": {}}})
@example({"id": "evt_1" * 40_000, "data": {"object": {}}})
@example({"id": "evt_long", "data": {"object": {"payment_intent": "pi_1" * 40_000}}})
@example({"id": "evt_nul\x00", "data": {"object": {"metadata": {"order_id": "\x00"}}}})
@example({"id": "evt_surrogate\ud800", "data": {"object": {}}})
@example({"id": "evt_huge", "data": {"object": {"id": 10**400, "object": "payment_intent"}}})
async def test_a_signed_webhook_is_accepted_or_refused_whatever_it_contains(
    payments: Served, event: object
) -> None:
    body = json.dumps(event).encode()
    headers = {"Content-Type": "application/json", "Stripe-Signature": signature(body)}
    answer = await payments.ask("POST", "/api/payments/webhook", content=body, headers=headers)
    assert answer.status_code in {200, 400}, (body, answer.text)


@pytest.mark.parametrize(
    "signed",
    [
        "t=1,v1=é".encode(),
        b"t=9999999999,v1=\xff",
        b"t=" + b"9" * 5_000 + b",v1=a",
        b"t=1" + b",v1=a" * 1_000,
    ],
)
async def test_a_malformed_signature_is_refused(payments: Served, signed: bytes) -> None:
    headers: Any = {b"Content-Type": b"application/json", b"Stripe-Signature": signed}
    answer = await payments.http.post("/api/payments/webhook", content=b"{}", headers=headers)
    assert messages(answer, 400) == ["The webhook's signature isn't valid"]


async def test_a_webhook_above_256_kilobytes_is_refused_before_its_signature_is_checked(
    payments: Served,
) -> None:
    for size, status in ((262_144, 400), (262_145, 413)):
        answer = await payments.ask("POST", "/api/payments/webhook", content=b"x" * size)
        assert answer.status_code == status, size


@pytest.mark.parametrize("key", [None, 5, True, ["evt_1"], {"id": "evt_1"}, "", "e" * 256])
async def test_a_signed_webhook_whose_id_stripe_would_not_use_is_refused(
    payments: Served, key: object
) -> None:
    for event_id, status in ((key, 400), ("e" * 255, 200)):
        body = json.dumps({"id": event_id, "type": "charge.refunded", "data": {"object": {}}}).encode()
        headers = {"Content-Type": "application/json", "Stripe-Signature": signature(body)}
        answer = await payments.ask("POST", "/api/payments/webhook", content=body, headers=headers)
        assert answer.status_code == status, answer.text
