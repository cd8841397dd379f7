import signal
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
import stripe

from sandbox.testing import free_port, running
from tests.people import PATIENCE
from tests.sandbox.served import client, process


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of a sandbox that the tests share: they have their own payments in it."""
    folder, port = tmp_path_factory.mktemp("stripe"), free_port()
    async with running(process(port, folder), folder / "log", signal.SIGKILL):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
async def shop(sandbox: str) -> AsyncIterator[stripe.StripeClient]:
    async with client(sandbox) as shop:
        yield shop


@pytest.fixture
async def wire(sandbox: str) -> AsyncIterator[httpx.AsyncClient]:
    """Plain HTTP with a key, for what Stripe's package hides."""
    async with httpx.AsyncClient(base_url=sandbox, auth=("sk_test_wire", ""), timeout=PATIENCE) as wire:
        yield wire
