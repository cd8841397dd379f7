"""What Stripe has charged for an order, and a refund by an operator."""

from typing import Any

import httpx
from playwright.async_api import Response

from e2e.visitors import Member
from kit.secrets import operator_token
from tests.support.polling import TIMEOUT, until
from tests.support.stack import Stack

ATTEMPTS = 3
"""How often a test pays until the first page after the payment shows the outcome.

A page waits two seconds for the outcome, which may be too short on a busy machine.
"""


def shows(url: str, answer: Response) -> bool:
    """Whether `answer` is the successful response to the request for the page `url`."""
    return answer.url == url and answer.ok


async def charges(stack: Stack, order: str) -> list[tuple[str, int]]:
    """Status and captured amount of each PaymentIntent that Stripe has for an order."""
    async with httpx.AsyncClient(headers={"Authorization": "Bearer sk_test_e2e"}, timeout=TIMEOUT) as stripe:
        answer = await stripe.get(f"{stack.settings.stripe_base}/v1/payment_intents", params={"limit": "100"})
    intents: list[dict[str, Any]] = answer.json()["data"]
    return [
        (intent["status"], intent["amount_received"])
        for intent in intents
        if f"(order {order})" in (intent["description"] or "")
    ]


async def assert_charged_once(stack: Stack, buyer: Member, order: str) -> None:
    """Wait for the capture, then check that Stripe has charged exactly one payment for the order."""
    payment = await until(lambda: buyer.person.payment(order), lambda seen: seen["status"] == "captured")
    assert payment["amount"] == 4500
    assert await charges(stack, order) == [("succeeded", 4500)]


async def refund(stack: Stack, order: str, *, relist: bool = False) -> None:
    """Refund the order as an operator."""
    async with httpx.AsyncClient(base_url=stack.settings.url_of("payments"), timeout=TIMEOUT) as payments:
        answer = await payments.post(
            "/api/payments/refunds",
            json={"orderId": order, "relist": relist},
            headers={"Authorization": f"Bearer {operator_token(stack.settings)}"},
        )
    assert answer.status_code == 201, answer.text
