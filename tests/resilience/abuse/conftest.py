from pathlib import Path

import pytest

from tests.support.event_loop import use_one_event_loop


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    use_one_event_loop(items, Path(__file__).parent)
