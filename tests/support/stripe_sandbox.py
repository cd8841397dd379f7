"""The Stripe sandbox as a process, optionally with a slow bank, and Stripe's client for it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import stripe
from litestar import Litestar

import settings
from kit.stripe.client import StripeHttp
from sandbox import processes
from sandbox.processes import Process, granian
from sandbox.stripe.app import create_app, payouts_endpoint
from sandbox.stripe.events.webhooks import Endpoint
from tests.support.polling import TIMEOUT

WEBHOOK_SECRET, PAYOUTS_WEBHOOK_SECRET = "whsec_of_the_tests", "whsec_of_payouts_in_the_tests"
BANK_SECONDS, BANK_OPENS = "TEST_BANK_SECONDS", "TEST_BANK_OPENS"
PAYMENTS, PAYOUTS = "TEST_PAYMENTS", "TEST_PAYOUTS"
HTTPX_WARNING = "ignore:Use 'content=:DeprecationWarning"
"""A filter for httpx's warning about each request of stripe 16.1."""
SHOP = "http://shop.test/orders/1?tab=pay"


def slow_bank() -> Litestar:
    conf = settings.load()

    async def bank() -> None:
        await asyncio.sleep(float(os.environ[BANK_SECONDS]))
        while not Path(os.environ[BANK_OPENS]).exists():  # noqa: ASYNC110 another process makes it
            await asyncio.sleep(0.01)

    return create_app(
        conf.data_dir / "stripe.sqlite3",
        base_url=f"http://127.0.0.1:{conf.stripe_sandbox_port}",
        bank=bank,
    )


def two_endpoints() -> Litestar:
    """The sandbox with one endpoint of payments and one of payouts."""
    conf = settings.load()
    return create_app(
        conf.data_dir / "stripe.sqlite3",
        base_url=f"http://127.0.0.1:{conf.stripe_sandbox_port}",
        endpoint=Endpoint(f"{os.environ[PAYMENTS]}/api/payments/webhook", WEBHOOK_SECRET),
        payouts_endpoint=payouts_endpoint(os.environ[PAYOUTS], PAYOUTS_WEBHOOK_SECRET),
    )


def process(
    port: int,
    folder: Path,
    *,
    bank_seconds: float | None = None,
    bank_opens: Path | None = None,
    shop: str | None = None,
    payouts: str | None = None,
) -> Process:
    """The sandbox as `just up` starts it. The bank responds after `bank_seconds`, and not before the file
    `bank_opens` exists. Webhooks go to `shop`, and those about connected accounts to `payouts`."""
    usual = processes.stripe(port, folder)
    # If no `shop` is given, webhooks go to port 9, where nothing listens. They stay pending, as when payments
    # is down.
    addresses = {"PAYMENTS_URL": shop or "http://127.0.0.1:9", "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET}
    usual = replace(usual, environment={**usual.environment, **addresses})
    if payouts is not None:
        addresses = {PAYMENTS: shop or "http://127.0.0.1:9", PAYOUTS: payouts}
        return replace(
            usual,
            command=granian("tests.support.stripe_sandbox:two_endpoints", "127.0.0.1", port),
            environment={**usual.environment, **addresses},
        )
    if bank_seconds is None and bank_opens is None:
        return usual
    bank = {BANK_SECONDS: str(bank_seconds or 0), BANK_OPENS: str(bank_opens or folder)}
    return replace(
        usual,
        command=granian("tests.support.stripe_sandbox:slow_bank", "127.0.0.1", port),
        environment={**usual.environment, **bank},
    )


@asynccontextmanager
async def client(
    url: str, *, key: str = "sk_test_stagedoor", retries: int = 2
) -> AsyncIterator[stripe.StripeClient]:
    http = StripeHttp(timeout=aiohttp.ClientTimeout(total=TIMEOUT))
    try:
        yield stripe.StripeClient(
            key, base_addresses={"api": url}, http_client=http, max_network_retries=retries
        )
    finally:
        await http.close_async()  # type: ignore[no-untyped-call] # stripe leaves it untyped


def card(token: str) -> Any:
    """The parameters of a confirmation with this card."""
    return {"payment_method_data": {"type": "card", "card": {"token": token}}, "return_url": SHOP}


async def opened(shop: stripe.StripeClient, **params: Any) -> stripe.PaymentIntent:
    """An unconfirmed payment intent of 19.99."""
    order: Any = {"amount": 1999, "currency": "usd", "capture_method": "manual", **params}
    return await shop.v1.payment_intents.create_async(order)


async def paid_by(token: str, shop: stripe.StripeClient, **params: Any) -> stripe.PaymentIntent:
    """A payment intent confirmed with a card."""
    intent = await opened(shop, **params)
    return await shop.v1.payment_intents.confirm_async(intent.id, card(token))


def problem(error: stripe.StripeError) -> dict[str, Any]:
    """The error object in the body of an error response."""
    body: Any = error.json_body
    return dict(body["error"])
