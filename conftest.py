"""What several folders of tests share."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.stack import Stack, stagedoor


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """One running marketplace for all tests that leave it as they found it: running."""
    async with stagedoor(tmp_path_factory.mktemp("stagedoor") / "data") as stack:
        yield stack
