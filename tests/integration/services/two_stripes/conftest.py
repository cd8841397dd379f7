"""A payments service at two imitations of Stripe: the sandbox, and one made of Stripe's own fixtures.

The sandbox and the gateway have the same authors, who may be wrong in both. So both imitations are held to
the same behavior.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import stripe

from tests.integration.conftest import Sandbox
from tests.support.fixture_stripe.server import FixtureStripe, serving_fixtures
from tests.support.payments import PaymentsService
from tests.support.service import SettingsWith, serving
from tests.support.webhooks import SECRET


@pytest_asyncio.fixture(loop_scope="session")
async def fixture_stripe() -> AsyncIterator[FixtureStripe]:
    async with serving_fixtures() as served:
        yield served


@pytest.fixture(params=["sandbox", "fixtures"])
def stripe_url(request: pytest.FixtureRequest, shared_sandbox: Sandbox, fixture_stripe: FixtureStripe) -> str:
    return shared_sandbox.url if request.param == "sandbox" else fixture_stripe.account.url


@pytest_asyncio.fixture(loop_scope="session")
async def service(
    settings_with: SettingsWith, stripe_url: str, shop: stripe.StripeClient
) -> AsyncIterator[PaymentsService]:
    conf = settings_with(stripe_api_base=stripe_url, stripe_webhook_secret=SECRET)
    async with serving("payments", conf) as served:
        yield PaymentsService(served, shop, stripe_url)


@pytest_asyncio.fixture(loop_scope="session")
async def page_service(
    settings_with: SettingsWith, stripe_url: str, shop: stripe.StripeClient
) -> AsyncIterator[PaymentsService]:
    """A payments service that sends buyers to Stripe Checkout."""
    conf = settings_with(stripe_api_base=stripe_url, payment_page="checkout")
    async with serving("payments", conf) as served:
        yield PaymentsService(served, shop, stripe_url)
