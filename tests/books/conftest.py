from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import stripe
from hypothesis import settings

from sandbox.testing import stripe_sandbox
from services.payments.gateway import SANDBOX_KEY
from tests.sandbox.served import client
from tests.services.conftest import (  # noqa: F401 - fixtures
    fast_passwords,
    mongo,
    no_reconciler,
    orders,
    settings_with,
    till,
)

# The same cases on every machine, however slow that is.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture
async def stripe_url(tmp_path: Path) -> AsyncIterator[str]:
    """A Stripe sandbox for each test: its books are compared as a whole."""
    async with stripe_sandbox(tmp_path / "stripe") as url:
        yield url


@pytest.fixture
async def shop(stripe_url: str) -> AsyncIterator[stripe.StripeClient]:
    """Stripe's account of the shop, as its owner sees it."""
    async with client(stripe_url, key=SANDBOX_KEY) as shop:
        yield shop
