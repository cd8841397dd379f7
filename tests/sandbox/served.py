"""The sandbox as tests use it: with a bank that takes its time, and through Stripe's own package."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import stripe
from litestar import Litestar

import settings
from sandbox import processes
from sandbox.processes import Process, granian
from sandbox.stripe.app import create_app
from tests.people import PATIENCE

WEBHOOK_SECRET = "whsec_of_the_tests"
BANK_SECONDS, BANK_OPENS = "TEST_BANK_SECONDS", "TEST_BANK_OPENS"
STRIPES_OWN = "ignore:Use 'content=:DeprecationWarning"
"""A warning that httpx gives for each request of stripe 16.1."""
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


def process(
    port: int,
    folder: Path,
    *,
    bank_seconds: float | None = None,
    bank_opens: Path | None = None,
    shop: str | None = None,
) -> Process:
    """As `just up` starts it, unless the bank is to take its time, or to wait until there is a file;
    `shop` is told of events."""
    usual = processes.stripe(port, folder)
    # Port 9 is never listened on: without a shop, webhooks wait, as while payments is down.
    told = {"PAYMENTS_URL": shop or "http://127.0.0.1:9", "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET}
    usual = replace(usual, environment={**usual.environment, **told})
    if bank_seconds is None and bank_opens is None:
        return usual
    bank = {BANK_SECONDS: str(bank_seconds or 0), BANK_OPENS: str(bank_opens or folder)}
    return replace(
        usual,
        command=granian("tests.sandbox.served:slow_bank", "127.0.0.1", port),
        environment={**usual.environment, **bank},
    )


@asynccontextmanager
async def client(
    url: str, *, key: str = "sk_test_stagedoor", retries: int = 2
) -> AsyncIterator[stripe.StripeClient]:
    http: Any = stripe.HTTPXClient(timeout=PATIENCE)
    try:
        yield stripe.StripeClient(
            key, base_addresses={"api": url}, http_client=http, max_network_retries=retries
        )
    finally:
        await http.close_async()


def card(token: str) -> Any:
    """What pays: the parameters of a confirmation."""
    return {"payment_method_data": {"type": "card", "card": {"token": token}}, "return_url": SHOP}


async def opened(shop: stripe.StripeClient, **params: Any) -> stripe.PaymentIntent:
    """An intent to authorize 19.99, not confirmed yet."""
    order: Any = {"amount": 1999, "currency": "usd", "capture_method": "manual", **params}
    return await shop.v1.payment_intents.create_async(order)


async def paid_by(token: str, shop: stripe.StripeClient, **params: Any) -> stripe.PaymentIntent:
    """An intent that was confirmed with a card."""
    intent = await opened(shop, **params)
    return await shop.v1.payment_intents.confirm_async(intent.id, card(token))


def problem(error: stripe.StripeError) -> dict[str, Any]:
    """What the body of an error says."""
    body: Any = error.json_body
    return dict(body["error"])
