"""Which renderings the page cache keeps, and until when."""

from time import monotonic
from typing import Any

import pytest

from web.live.changes import Change, Topic
from web.page_cache.renderings import CATALOGUE, Rendering, Sharing
from web.page_cache.store import BRIEF_SECONDS, Key, Store

TICKET: Topic = ("ticket", "a" * 24)
OTHER: Topic = ("ticket", "b" * 24)
KEY: Key = Key("/tickets/a", b"", "en_US", False)
LIST: Key = Key("/", b"", "en_US", False)


def rendering(*topics: Topic, position: int = 5, seconds: float = 60.0, size: int = 0) -> Rendering:
    return Rendering(b"x" * size, [], Sharing(frozenset(topics), position, seconds))


def store(confirmed: int | None = 0, max_bytes: int = 1_000_000) -> Store:
    store = Store(max_bytes)
    if confirmed is not None:
        store.confirm(confirmed)
    return store


def after(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    moment = monotonic() + seconds
    monkeypatch.setattr("web.page_cache.store.monotonic", lambda: moment)


def test_a_change_of_a_ticket_drops_its_page_and_all_lists_and_keeps_other_pages() -> None:
    pages = store()
    other: Key = Key("/tickets/b", b"", "en_US", False)
    pages.put(KEY, rendering(TICKET))
    pages.put(other, rendering(OTHER))
    pages.put(LIST, rendering(CATALOGUE))
    pages.invalidate(Change(6, (TICKET,)))
    assert (pages.get(KEY), pages.get(LIST)) == (None, None)
    assert pages.get(other) is not None


def test_an_event_about_an_order_or_a_session_drops_nothing() -> None:
    pages = store()
    pages.put(KEY, rendering(TICKET))
    pages.put(LIST, rendering(CATALOGUE))
    pages.invalidate(Change(6, (("order", "o"), ("buyer", "u"))))
    pages.invalidate(Change(7, (("session", "s"),)))
    assert pages.get(KEY) is not None
    assert pages.get(LIST) is not None


def test_a_page_from_data_that_is_older_than_the_last_change_is_not_kept() -> None:
    pages = store()
    pages.invalidate(Change(6, (TICKET,)))
    pages.put(KEY, rendering(TICKET, position=5))
    assert pages.get(KEY) is None
    pages.put(KEY, rendering(TICKET, position=6))
    assert pages.get(KEY) is not None


def test_a_later_change_of_another_ticket_does_not_matter_to_a_page() -> None:
    pages = store()
    pages.invalidate(Change(6, (OTHER,)))
    pages.put(KEY, rendering(TICKET, position=5))
    pages.put(LIST, rendering(CATALOGUE, position=5))
    assert pages.get(KEY) is not None
    assert pages.get(LIST) is None


def test_pages_are_kept_briefly_while_events_may_be_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = store(confirmed=None)
    pages.put(KEY, rendering(TICKET))
    assert pages.get(KEY) is not None
    after(monkeypatch, BRIEF_SECONDS)
    assert pages.get(KEY) is None


def test_a_page_is_kept_until_its_content_changes_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = store()
    pages.put(KEY, rendering(TICKET, seconds=60))
    after(monkeypatch, 59)
    assert pages.get(KEY) is not None
    after(monkeypatch, 61)
    assert pages.get(KEY) is None
    pages.put(KEY, rendering(TICKET, seconds=0))
    assert pages.get(KEY) is None


def test_data_from_before_the_confirmed_position_is_kept_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event between the two may have been missed."""
    pages = store(confirmed=9)
    pages.put(KEY, rendering(TICKET, position=8))
    pages.put(LIST, rendering(CATALOGUE, position=9))
    after(monkeypatch, BRIEF_SECONDS)
    assert pages.get(KEY) is None
    assert pages.get(LIST) is not None


def test_clearing_drops_everything_and_forgets_the_position(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = store()
    pages.put(KEY, rendering(TICKET))
    pages.clear()
    assert pages.get(KEY) is None
    pages.put(KEY, rendering(TICKET))
    after(monkeypatch, BRIEF_SECONDS)
    assert pages.get(KEY) is None


def test_the_least_recently_used_page_makes_room() -> None:
    first, second, third = (Key("/", name, "en_US") for name in (b"1", b"2", b"3"))
    pages = store(max_bytes=15_000)
    for key in (first, second):
        pages.put(key, rendering(CATALOGUE, size=1_000))
    assert pages.get(first) is not None
    pages.put(third, rendering(CATALOGUE, size=1_000))
    assert pages.get(second) is None
    assert pages.get(first) is not None
    assert pages.get(third) is not None


def test_a_page_larger_than_the_cache_is_not_kept() -> None:
    pages = store(max_bytes=10_000)
    pages.put(KEY, rendering(TICKET, size=20_000))
    assert pages.get(KEY) is None


def test_a_store_without_memory_keeps_nothing() -> None:
    pages = store(max_bytes=0)
    pages.put(KEY, rendering(TICKET))
    assert pages.get(KEY) is None


def test_the_size_of_the_store_does_not_grow_with_replaced_and_dropped_pages() -> None:
    pages: Any = store()
    for number in range(100):
        pages.put(KEY, rendering(TICKET, position=number))
        pages.invalidate(Change(number + 1, (TICKET,)))
    assert (pages._bytes, dict(pages._renderings), pages._keys) == (0, {}, {})
