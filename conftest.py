"""What several folders of tests share."""

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.stack import Stack, stagedoor

LONGEST_FIRST = (
    *("tests/chaos", "tests/overload", "tests/backup", "tests/fuzz"),
    *("e2e/test_accessibility.py", "tests/saga", "tests/system", "e2e", "tests/books", "tests/demo"),
)
"""Where tests take long. A worker that came to them last would work alone, the other being done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several workers each takes the next file when it is done with one."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    turns = (turn for turn, where in enumerate(LONGEST_FIRST) if item.nodeid.startswith(where))
    return next(turns, len(LONGEST_FIRST))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """One running marketplace for all tests that leave it as they found it: running."""
    async with stagedoor(tmp_path_factory.mktemp("stagedoor") / "data") as stack:
        yield stack
