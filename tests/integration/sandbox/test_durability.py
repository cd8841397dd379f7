"""Every answered request survives a kill of the sandbox, and concurrent requests run one after another."""

import asyncio
import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import stripe

from sandbox.testing import free_port, running
from tests.support.polling import TIMEOUT
from tests.support.stripe_sandbox import HTTPX_WARNING, client, paid_by, process

pytestmark = pytest.mark.filterwarnings(HTTPX_WARNING)

SESSION: dict[str, Any] = {
    "mode": "payment",
    "success_url": "http://shop.test/",
    "payment_intent_data": {"capture_method": "manual"},
    "line_items": [
        {
            "price_data": {"currency": "usd", "unit_amount": 1999, "product_data": {"name": "A night out"}},
            "quantity": 1,
        }
    ],
}


async def test_a_session_its_bank_check_and_its_events_survive_a_kill(tmp_path: Path) -> None:
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", tmp_path / "log"
    create: Any = SESSION
    options: Any = {"idempotency_key": "order:1:session"}
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT) as browser, client(url) as shop:
        async with running(process(port, tmp_path), log, signal.SIGKILL):
            session = await shop.v1.checkout.sessions.create_async(create, options)
            pay = {"card": "tok_threeDSecure2Required"}
            check = await browser.post(urlsplit(str(session.url)).path, data=pay)
            before = await shop.v1.events.list_async()
        async with running(process(port, tmp_path), log, signal.SIGKILL):
            again = await shop.v1.checkout.sessions.create_async(create, options)
            assert again.to_dict() == session.to_dict()
            assert (await shop.v1.events.list_async()).to_dict() == before.to_dict()
            path = urlsplit(check.headers["location"]).path
            back = await browser.post(path, data={"answer": "approve"})
            assert back.headers["location"] == "http://shop.test/"
        async with running(process(port, tmp_path), log, signal.SIGKILL):
            session = await shop.v1.checkout.sessions.retrieve_async(session.id)
            assert session.status == "complete"
            intent = await shop.v1.payment_intents.retrieve_async(str(session.payment_intent))
            assert intent.status == "requires_capture"
            newest = (await shop.v1.events.list_async({"limit": 1})).data[0]
            assert newest.type == "checkout.session.completed"


async def test_a_session_that_is_paid_and_expired_concurrently_is_either_complete_or_expired(
    tmp_path: Path,
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    create: Any = SESSION
    slow = process(port, tmp_path, bank_seconds=0.05)
    async with (
        running(slow, tmp_path / "log", signal.SIGKILL),
        httpx.AsyncClient(base_url=url, timeout=TIMEOUT) as browser,
        client(url) as shop,
    ):
        for _ in range(10):
            session = await shop.v1.checkout.sessions.create_async(create)
            await asyncio.gather(
                browser.post(urlsplit(str(session.url)).path, data={"card": "tok_visa"}),
                shop.v1.checkout.sessions.expire_async(session.id),
                return_exceptions=True,
            )
            session = await shop.v1.checkout.sessions.retrieve_async(
                session.id, {"expand": ["payment_intent"]}
            )
            intent = session.payment_intent
            status = intent.status if isinstance(intent, stripe.PaymentIntent) else None
            assert (session.status, status) in [("complete", "requires_capture"), ("expired", None)]


async def test_a_repeated_partial_refund_request_refunds_once(shop: stripe.StripeClient) -> None:
    intent = await paid_by("tok_visa", shop, capture_method="automatic")
    part: Any = {"payment_intent": intent.id, "amount": 500}
    key: Any = {"idempotency_key": f"{intent.id}:refund"}
    refunds = [await shop.v1.refunds.create_async(part, key) for _ in range(3)]
    assert len({refund.id for refund in refunds}) == 1
    charge = await shop.v1.charges.retrieve_async(str(intent.latest_charge))
    assert (charge.amount_refunded, charge.refunded) == (500, False)


async def test_concurrent_refunds_never_exceed_the_captured_amount(shop: stripe.StripeClient) -> None:
    intent = await paid_by("tok_visa", shop, capture_method="automatic")
    part: Any = {"payment_intent": intent.id, "amount": 800}
    results = await asyncio.gather(
        *(shop.v1.refunds.create_async(part) for _ in range(5)), return_exceptions=True
    )
    assert len([refund for refund in results if isinstance(refund, stripe.Refund)]) == 2
    charge = await shop.v1.charges.retrieve_async(str(intent.latest_charge))
    assert charge.amount_refunded == 1600
