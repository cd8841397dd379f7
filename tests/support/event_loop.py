"""One event loop for the tests of a folder that share a running marketplace or browser."""

from pathlib import Path

import pytest
import pytest_asyncio


def use_one_event_loop(items: list[pytest.Item], folder: Path) -> None:
    """Run the folder's tests on the session's event loop. Call this in `pytest_collection_modifyitems`."""
    for item in items:
        if item.path.is_relative_to(folder) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
