from collections.abc import Iterator

import pytest
from hypothesis import settings

from services.tickets.search_index import SearchIndex

# Generate the same cases everywhere and accept slow machines.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def closed_indexes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the indexes that a test has opened. Python 3.13 warns about databases that stay open."""
    opened: list[SearchIndex] = []
    open_ = SearchIndex.__init__

    def remember(index: SearchIndex) -> None:
        open_(index)
        opened.append(index)

    monkeypatch.setattr(SearchIndex, "__init__", remember)
    yield
    for index in opened:
        index.close()
