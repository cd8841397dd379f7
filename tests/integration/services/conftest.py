from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import stripe

# Import all services before a test opens a database, because Beanie then adds attributes to the base classes
# of documents, after which pydantic rejects further document classes.
import streams.auth
import streams.orders
import streams.payments
import streams.payouts
import streams.processes
from kit.periodic import every
from kit.stripe.client import SANDBOX_KEY
from sandbox.testing import free_port
from services.payments import actions
from settings import Settings
from tests.integration.conftest import Sandbox
from tests.support.event_loop import use_one_event_loop
from tests.support.kept_services import KeptServices
from tests.support.owners import FakeOwner
from tests.support.payments import PaymentsService
from tests.support.payouts import PayoutsService
from tests.support.service import Served, SettingsWith, cheap_passwords, serving
from tests.support.stripe_sandbox import client


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    use_one_event_loop(items, Path(__file__).parent)


@pytest.fixture
def stripe_url(shared_sandbox: Sandbox) -> str:
    """The URL of the Stripe sandbox. Each test uses its own orders."""
    return shared_sandbox.url


@pytest.fixture
def settings_with(mongo: str, tmp_path: Path) -> SettingsWith:
    """A function that makes settings, with a NATS address where no server runs."""

    def make(**changes: Any) -> Settings:
        given = {
            "data_dir": tmp_path,
            "mongo_url": mongo,
            "nats_url": f"nats://127.0.0.1:{free_port()}",
            "log_level": "WARNING",
            "reconcile_seconds": 3600,
            **changes,
        }
        return Settings(_env_file=None, **given)

    return make


@pytest.fixture(autouse=True)
def fast_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams.auth, "Passwords", cheap_passwords)


@pytest.fixture(autouse=True)
def fake_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let orders and payments ask a fake, because the services that they would ask don't run."""
    for process in (streams.orders, streams.payments):
        monkeypatch.setattr(process, "Owner", FakeOwner)


@pytest.fixture(autouse=True)
def no_reconciler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the periodic reconciler, so that it runs only when a test calls it."""

    async def do_nothing(*_: object) -> None:
        """Do nothing in place of the reconciler."""

    for process in (streams.payments, streams.payouts):
        monkeypatch.setattr(
            process,
            "every",
            lambda seconds, work, wake=None: every(seconds, work if wake else do_nothing, wake),
        )


@pytest.fixture(autouse=True)
def no_refresh_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every read of a payment query Stripe, without a minimum interval."""
    monkeypatch.setattr(actions, "REFRESH_INTERVAL", timedelta(0))


@pytest_asyncio.fixture(loop_scope="session")
async def auth(kept_services: KeptServices, settings_with: SettingsWith) -> AsyncIterator[Served]:
    async with kept_services.serving("auth", settings_with()) as served:
        yield served


@pytest_asyncio.fixture(loop_scope="session")
async def mail(kept_services: KeptServices, settings_with: SettingsWith) -> AsyncIterator[Served]:
    async with kept_services.serving("mail", settings_with()) as served:
        yield served


@pytest_asyncio.fixture(loop_scope="session")
async def tickets(kept_services: KeptServices, settings_with: SettingsWith) -> AsyncIterator[Served]:
    async with kept_services.serving("tickets", settings_with()) as served:
        yield served


@pytest_asyncio.fixture(loop_scope="session")
async def orders(kept_services: KeptServices, settings_with: SettingsWith) -> AsyncIterator[Served]:
    async with kept_services.serving("orders", settings_with()) as served:
        yield served


@pytest_asyncio.fixture(loop_scope="session")
async def shop(stripe_url: str) -> AsyncIterator[stripe.StripeClient]:
    """A Stripe client with the shop's key."""
    async with client(stripe_url, key=SANDBOX_KEY) as shop:
        yield shop


@pytest_asyncio.fixture(loop_scope="session")
async def service(
    kept_services: KeptServices, settings_with: SettingsWith, stripe_url: str, shop: stripe.StripeClient
) -> AsyncIterator[PaymentsService]:
    async with kept_services.serving("payments", settings_with(stripe_api_base=stripe_url)) as served:
        yield PaymentsService(served, shop, stripe_url)


@pytest_asyncio.fixture(loop_scope="session")
async def payouts(
    kept_services: KeptServices, settings_with: SettingsWith, stripe_url: str, shop: stripe.StripeClient
) -> AsyncIterator[PayoutsService]:
    """A payouts service that keeps 5 % of each sale."""
    conf = settings_with(stripe_api_base=stripe_url, fee_percent="5", payout_countries="US,DE")
    async with kept_services.serving("payouts", conf) as served:
        yield PayoutsService(served, shop)


@pytest_asyncio.fixture(loop_scope="session")
async def checkout(
    settings_with: SettingsWith, stripe_url: str, shop: stripe.StripeClient
) -> AsyncIterator[PaymentsService]:
    """A payments service that sends buyers to Stripe Checkout."""
    conf = settings_with(stripe_api_base=stripe_url, payment_page="checkout")
    async with serving("payments", conf) as served:
        yield PaymentsService(served, shop, stripe_url)
