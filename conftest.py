"""Fixtures and options for all tests."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from e2e.browser import can_record_video
from tests.support.stack import Stack, stagedoor

LONGEST_FIRST = (
    "tests/resilience/chaos",
    "tests/resilience/overload",
    "tests/integration/backup",
    "tests/resilience/fuzz",
    "e2e/test_accessibility.py",
    "tests/resilience/saga",
    "tests/system",
    "e2e",
    "tests/integration/audit",
    "tests/integration/demo",
)
"""Paths of slow tests, the slowest first. They start before all others, so that no worker is left with them
at the end."""


NO_AUTHORITY = Path(__file__).parent / "tests" / "support" / "no_authority.pem"
"""A list of trusted certificate authorities. No test needs one, and a complete list takes every process and
every HTTP client 20 ms to parse."""


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("SSL_CERT_FILE", str(NO_AUTHORITY))
    if config.option.video == "off" and can_record_video():
        config.option.video = "retain-on-failure"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the files for several workers, each of which takes the next file when it has finished one."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    turns = (turn for turn, where in enumerate(LONGEST_FIRST) if item.nodeid.startswith(where))
    return next(turns, len(LONGEST_FIRST))


@pytest_asyncio.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A running marketplace shared by all tests that keep it running."""
    async with stagedoor(tmp_path_factory.mktemp("stagedoor") / "data") as stack:
        yield stack
