"""What Stripe has of an order, and what its operator does about it."""

from typing import Any

import httpx
from playwright.async_api import Response

from e2e.visitors import Member
from tests.people import PATIENCE, until
from tests.stack import Stack

AGAIN = 3
"""Tries to see at once what was paid: the page waits two seconds for it, and the machine may be busy."""


def shows(url: str, answer: Response) -> bool:
    """Whether the answer is the page itself."""
    return answer.url == url and answer.ok


async def charges(stack: Stack, order: str) -> list[tuple[str, int]]:
    """Status and captured amount of everything that Stripe was asked for on behalf of an order."""
    async with httpx.AsyncClient(headers={"Authorization": "Bearer sk_test_e2e"}, timeout=PATIENCE) as stripe:
        answer = await stripe.get(f"{stack.settings.stripe_base}/v1/payment_intents", params={"limit": "100"})
    intents: list[dict[str, Any]] = answer.json()["data"]
    return [
        (intent["status"], intent["amount_received"])
        for intent in intents
        if f"(order {order})" in (intent["description"] or "")
    ]


async def charged_once(stack: Stack, buyer: Member, order: str) -> None:
    payment = await until(lambda: buyer.person.payment(order), lambda seen: seen["status"] == "captured")
    assert payment["amount"] == 4500
    assert await charges(stack, order) == [("succeeded", 4500)]


async def give_back(stack: Stack, order: str, *, relist: bool = False) -> None:
    """As an operator does."""
    async with httpx.AsyncClient(base_url=stack.settings.url_of("payments"), timeout=PATIENCE) as payments:
        answer = await payments.post(
            "/api/payments/refunds",
            json={"orderId": order, "relist": relist},
            headers={"Authorization": f"Bearer {stack.settings.operator_secret}"},
        )
    assert answer.status_code == 201, answer.text
