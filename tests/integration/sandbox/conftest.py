from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
import stripe

from sandbox.testing import FAST_STOP, free_port, running
from tests.support.polling import TIMEOUT
from tests.support.stripe_sandbox import client, process


@pytest_asyncio.fixture(scope="session")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The URL of a sandbox that all tests share. Each test creates its own payments."""
    folder, port = tmp_path_factory.mktemp("stripe"), free_port()
    async with running(process(port, folder), folder / "log", FAST_STOP):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
async def shop(sandbox: str) -> AsyncIterator[stripe.StripeClient]:
    async with client(sandbox) as shop:
        yield shop


@pytest.fixture
async def http(sandbox: str) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client for requests and responses whose details the `stripe` package hides."""
    async with httpx.AsyncClient(base_url=sandbox, auth=("sk_test_http", ""), timeout=TIMEOUT) as http:
        yield http
