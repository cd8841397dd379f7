from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

# This import also imports all services before a test opens a database.
from tests.integration.services.conftest import fake_owners, no_reconciler
from tests.support.event_loop import use_one_event_loop
from tests.support.replica_set import ReplicaSet, replica_set

__all__ = ["fake_owners", "no_reconciler"]  # fixtures of all tests in this folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    use_one_event_loop(items, Path(__file__).parent)


@pytest_asyncio.fixture(scope="session")
async def shared_set(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ReplicaSet]:
    async with replica_set(tmp_path_factory.mktemp("replica_set")) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def members(shared_set: ReplicaSet) -> AsyncIterator[ReplicaSet]:
    """A healthy replica set, which is healthy again after the test."""
    yield shared_set
    await shared_set.replicate()
    await shared_set.elect()
    shared_set.is_standalone, shared_set.has_majority_reads = False, True
    shared_set.remembers_answers, shared_set.after_write = True, None
