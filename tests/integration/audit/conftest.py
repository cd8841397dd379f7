from pathlib import Path

import pytest
from hypothesis import settings

from tests.integration.services.conftest import (  # noqa: F401 - fixtures
    fake_owners,
    fast_passwords,
    no_reconciler,
    orders,
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
