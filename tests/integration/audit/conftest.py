from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import settings
from pymongo import AsyncMongoClient

from tests.integration.services.conftest import (  # noqa: F401 - fixtures
    fake_owners,
    fast_passwords,
    no_reconciler,
    orders,
    payouts,
    service,
    settings_with,
    shop,
    stripe_url,
)
from tests.support.event_loop import use_one_event_loop

# Generate the same examples on every machine, and don't limit the time of an example.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    use_one_event_loop(items, Path(__file__).parent)


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def no_payouts(mongo: str) -> None:
    """Begin without the database of payouts, so that only tests of payouts compare with it."""
    client: AsyncMongoClient[Any] = AsyncMongoClient(mongo)
    await client.drop_database("payouts")
    await client.close()
