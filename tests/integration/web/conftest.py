"""A web app in this process, and fake services to which it sends requests."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import pytest
import pytest_asyncio
from jinja2 import BytecodeCache, Environment
from jinja2.bccache import Bucket
from litestar.types import ASGIApp

from contracts.api import User
from contracts.wire import now
from tests.integration.web.page_client import PageClient, page_client
from tests.integration.web.shared_site import Site
from tests.support.asgi import alive
from tests.support.event_loop import use_one_event_loop
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services, services_running
from web.admission.middleware import AdmissionControl
from web.app import web_app
from web.page_cache.middleware import PageCache
from web.rendering import templating


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    use_one_event_loop(items, Path(__file__).parent)


class CompiledTemplates(BytecodeCache):
    """Keeps compiled templates in memory, because compiling them again for each test's app would be slow."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._codes[bucket.key, bucket.checksum] = bucket.code


@pytest.fixture(scope="session", autouse=True)
def templates_compiled_once() -> Iterator[None]:
    environment = partial(Environment, bytecode_cache=CompiledTemplates())
    with patch.object(templating, "Environment", environment):
        yield


@pytest_asyncio.fixture(scope="session")
async def shared_services() -> AsyncIterator[Services]:
    async with services_running(Market()) as services:
        yield services


@pytest_asyncio.fixture(scope="session")
async def shared_app(
    shared_services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ASGIApp]:
    nowhere = "nats://127.0.0.1:9"  # pages need no bus
    settings = shared_services.settings(data_dir=tmp_path_factory.mktemp("web"), nats_url=nowhere)
    app = web_app(settings)
    async with alive(app):
        yield app


@pytest.fixture
def market(shared_services: Services) -> Market:
    """The state of the fake services, without users and tickets."""
    shared_services.market.reset()
    return shared_services.market


@pytest_asyncio.fixture(loop_scope="session")
async def services(shared_services: Services, market: Market) -> AsyncIterator[Services]:
    yield shared_services
    await shared_services.restore()


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Stop the clock of pages and fake services, so that a page shows exactly the expected remaining time."""
    time = now()
    for module in (
        "web.rendering.templating",
        "web.pages.orders",
        "web.pages.purchases",
        "tests.support.fakes.market",
    ):
        monkeypatch.setattr(f"{module}.now", lambda: time)
    return time


@pytest_asyncio.fixture(loop_scope="session")
async def client(services: Services, shared_app: ASGIApp) -> AsyncIterator[PageClient]:
    """A browser without cookies."""
    async with page_client(shared_app) as client:
        yield client


@pytest.fixture
def buyer(client: PageClient, market: Market) -> User:
    """A buyer, who is signed in."""
    buyer, token = market.user("buyer@example.com")
    client.sign_in_as(token)
    return buyer


@pytest_asyncio.fixture(loop_scope="session")
async def site(services: Services, market: Market, tmp_path: Path) -> AsyncIterator[Site]:
    market.position = 10
    seller, _ = market.user("seller@example.com")
    ticket = market.ticket(seller, "Nick Cave")
    nowhere = "nats://127.0.0.1:9"
    app = cast("PageCache", web_app(services.settings(data_dir=tmp_path, nats_url=nowhere)))
    async with alive(app), page_client(app) as client:
        app.pages.confirm(10)
        feed = cast("AdmissionControl", app.app)._app.state.feed  # type: ignore[attr-defined]
        yield Site(client, app, market, feed, ticket, seller)
