import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import stripe

# All of them before any database is opened: Beanie gives the base classes of documents attributes
# then, of which pydantic complains when another service's documents are declared later.
import streams.auth
import streams.orders
import streams.payments
import streams.tickets
from sandbox.testing import free_port, mongo_server, stripe_sandbox
from services.payments import actions
from services.payments.gateway import SANDBOX_KEY
from settings import Settings
from tests.sandbox.served import client
from tests.services.served import Served, cheap_passwords, serving
from tests.services.till import Till

SettingsWith = Callable[..., Settings]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mongo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """One database server for all tests, each of which finds it empty."""
    async with mongo_server(tmp_path_factory.mktemp("database") / "mongo") as url:
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stripe_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """One Stripe sandbox for all tests, which have their own orders in it."""
    async with stripe_sandbox(tmp_path_factory.mktemp("stripe") / "data") as url:
        yield url


@pytest.fixture
def settings_with(mongo: str, tmp_path: Path) -> SettingsWith:
    """Settings of a service without a bus, which is to disturb no request."""

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
def no_reconciler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests reconcile when they mean it: nothing settles a payment behind their back."""

    async def wait(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(streams.payments, "reconcile", wait)


@pytest.fixture(autouse=True)
def eager_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests read again at once."""
    monkeypatch.setattr(actions, "LOOK_AGAIN_AFTER", timedelta(0))


@pytest.fixture
async def auth(settings_with: SettingsWith) -> AsyncIterator[Served]:
    async with serving("auth", settings_with()) as served:
        yield served


@pytest.fixture
async def tickets(settings_with: SettingsWith) -> AsyncIterator[Served]:
    async with serving("tickets", settings_with()) as served:
        yield served


@pytest.fixture
async def orders(settings_with: SettingsWith) -> AsyncIterator[Served]:
    async with serving("orders", settings_with()) as served:
        yield served


@pytest.fixture
async def shop(stripe_url: str) -> AsyncIterator[stripe.StripeClient]:
    """Stripe's account of the shop, as its owner sees it."""
    async with client(stripe_url, key=SANDBOX_KEY) as shop:
        yield shop


@pytest.fixture
async def till(
    settings_with: SettingsWith, stripe_url: str, shop: stripe.StripeClient
) -> AsyncIterator[Till]:
    async with serving("payments", settings_with(stripe_api_base=stripe_url)) as served:
        yield Till(served, shop, stripe_url)
