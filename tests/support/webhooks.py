"""Signed webhooks of Stripe."""

import hashlib
import hmac
import time

import httpx

from tests.support.payments import PaymentsService

SECRET = "whsec_of_these_tests"


def signature(body: bytes, *, secret: str = SECRET, age: int = 0) -> str:
    """The signature header of a webhook, as https://docs.stripe.com/webhooks#verify-manually describes it."""
    at = int(time.time()) - age
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


async def deliver(service: PaymentsService, body: bytes, signed: str | None) -> httpx.Response:
    headers = {"Content-Type": "application/json"} | ({"Stripe-Signature": signed} if signed else {})
    return await service.served.ask("POST", "/api/payments/webhook", content=body, headers=headers)
