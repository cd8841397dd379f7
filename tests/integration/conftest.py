"""A database server and a Stripe sandbox that the tests of several folders share."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from sandbox.testing import mongo_server, stripe_sandbox
from tests.support.kept_services import KeptServices
from tests.support.polling import TIMEOUT

TABLES = ("objects", "open_sessions", "open_refunds", "events", "webhooks", "answers", "balances", "timers")


class Sandbox(NamedTuple):
    url: str
    file: Path
    """The SQLite file in which the sandbox stores its objects."""

    def empty(self) -> None:
        """Delete everything that the sandbox has stored."""
        with closing(sqlite3.connect(self.file, timeout=TIMEOUT)) as connection, connection:
            for table in TABLES:
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - a name from the line above


@pytest_asyncio.fixture(scope="session")
async def mongo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The URL of one database server for all tests. Tests empty the databases that they use."""
    async with mongo_server(tmp_path_factory.mktemp("database") / "mongo") as url:
        yield url


@pytest_asyncio.fixture(scope="session")
async def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    """One Stripe sandbox for all tests of services."""
    folder = tmp_path_factory.mktemp("stripe") / "data"
    async with stripe_sandbox(folder) as url:
        yield Sandbox(url, folder / "stripe.sqlite3")


@pytest_asyncio.fixture(scope="session")
async def kept_services() -> AsyncIterator[KeptServices]:
    services = KeptServices()
    yield services
    await services.close()
