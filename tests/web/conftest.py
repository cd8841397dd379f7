"""Pages in this process against services on real sockets."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar

from contracts.api import User
from contracts.identity import SESSION_COOKIE
from contracts.wire import now
from sandbox.processes import Process
from sandbox.processes import web as web_process
from sandbox.testing import free_port
from tests.web.market import Market
from tests.web.served import Services, services_running
from web.app import create


@pytest.fixture
def market() -> Market:
    return Market()


@pytest.fixture
async def services(market: Market) -> AsyncIterator[Services]:
    async with services_running(market) as services:
        yield services


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """For pages and their market no time goes by: what is left of it is what a test gave."""
    moment = now()
    for module in ("web.templating", "web.pages.orders", "web.pages.purchases", "tests.web.market"):
        monkeypatch.setattr(f"{module}.now", lambda: moment)
    return moment


class Browser:
    """What a person's browser keeps: cookies, and the form token of the last page."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    def sign_in_as(self, token: str) -> None:
        self.http.cookies.set(SESSION_COOKIE, token)

    async def get(self, path: str, *, target: str | None = None, **headers: str) -> httpx.Response:
        return await self.http.get(path, headers={**_htmx(target), **headers})

    async def submit(
        self, path: str, *, target: str | None = None, follow: bool = False, **fields: str
    ) -> httpx.Response:
        """Send a form as our own page does: with its token."""
        if "csrf" not in self.http.cookies:
            await self.http.get("/developers")
        data = {"_csrf_token": self.http.cookies["csrf"], **fields}
        return await self.http.post(path, data=data, headers=_htmx(target), follow_redirects=follow)


def _htmx(target: str | None) -> dict[str, str]:
    """The headers of an htmx request for a part of the page."""
    if target is None:
        return {}
    return {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": target}


@pytest.fixture
async def browser(services: Services, tmp_path: Path) -> AsyncIterator[Browser]:
    nowhere = "nats://127.0.0.1:9"  # pages need no bus
    app = create(services.settings(data_dir=tmp_path, nats_url=nowhere))
    async with alive(app), open_browser(app) as browser:
        yield browser


@pytest.fixture
def buyer(browser: Browser, market: Market) -> User:
    """Who is signed in, in tests about buying."""
    buyer, token = market.user("buyer@example.com")
    browser.sign_in_as(token)
    return buyer


@asynccontextmanager
async def alive(app: Litestar) -> AsyncIterator[None]:
    """The app between its start and its shutdown, which have to happen in one task."""
    started, over = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            started.set()
            await over.wait()

    task = asyncio.create_task(live())
    starting = asyncio.create_task(started.wait())
    await asyncio.wait({task, starting}, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield
    finally:
        over.set()
        starting.cancel()
        await task


@asynccontextmanager
async def open_browser(app: Litestar) -> AsyncIterator[Browser]:
    transport = httpx.ASGITransport(
        cast("Any", app), raise_app_exceptions=False, client=("203.0.113.7", 40000)
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://stagedoor.test") as http:
        yield Browser(http)


def web_of(services: Services, bus: str, folder: Path) -> Process:
    """The web tier as it really runs."""
    settings = services.settings(data_dir=folder, web_port=free_port())
    process = web_process(settings)
    urls = {f"{name.upper()}_URL": f"http://127.0.0.1:{port}" for name, port in services.ports.items()}
    environment = {**process.environment, **urls, "NATS_URL": bus, "DATA_DIR": str(folder)}
    return Process(process.name, process.command, process.ready, process.port, environment=environment)


def text_of(response: httpx.Response) -> str:
    """What a reader sees: without tags, with single spaces."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.text).split())


def is_page(response: httpx.Response) -> bool:
    return "<!doctype html>" in response.text
