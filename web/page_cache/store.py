"""The bounded store of renderings, and what makes a rendering obsolete."""

from collections import OrderedDict
from collections.abc import Callable, Collection
from time import monotonic
from typing import NamedTuple

from prometheus_client import Gauge

from web.live.changes import Change, LastChanges, Topic
from web.page_cache.renderings import CATALOGUE, Rendering


class Key(NamedTuple):
    """What a rendering is stored under."""

    path: str
    query: bytes
    locale: str
    """The language and the country, such as de_AT."""
    is_for_members: bool = False
    """Whether the rendering is for users who are signed in."""


BRIEF_SECONDS = 2.0
"""How long a rendering is kept if events about it may have been missed."""

RENDERINGS = Gauge("stagedoor_web_page_cache_renderings", "Renderings in the page cache")
BYTES = Gauge("stagedoor_web_page_cache_bytes", "Estimated size of the renderings in the page cache")
IS_BRIEF = Gauge(
    "stagedoor_web_page_cache_is_brief",
    "1 while renderings are kept for 2 seconds, because events may be missed",
)


class Store:
    """Renderings by key, the least recently used first."""

    def __init__(self, max_bytes: int) -> None:
        self.on_change: Callable[[Collection[Topic] | None], None] = lambda topics: None
        """A function that is called with the topics whose renderings may be obsolete, including those that
        aren't stored yet, or with None for all renderings."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._renderings: OrderedDict[Key, tuple[Rendering, float]] = OrderedDict()
        self._keys: dict[Topic, set[Key]] = {}
        self._changes = LastChanges()
        RENDERINGS.set_function(lambda: len(self._renderings))
        BYTES.set_function(lambda: self._bytes)
        IS_BRIEF.set_function(lambda: not self._changes.is_complete)

    def get(self, key: Key) -> Rendering | None:
        found = self._renderings.get(key)
        if found is None:
            return None
        rendering, expires_at = found
        if monotonic() >= expires_at:
            self._remove(key)
            return None
        self._renderings.move_to_end(key)
        return rendering

    def put(self, key: Key, rendering: Rendering) -> bool:
        """Keep a rendering, unless it is obsolete already.

        The store may have received an event about the page's topics that its data doesn't contain yet.

        Returns whether the rendering is kept and certainly contains all events about its topics.
        """
        sharing = rendering.sharing
        missed = self._changes.since(sharing.topics, sharing.position)
        seconds = sharing.seconds if missed is not None else min(sharing.seconds, BRIEF_SECONDS)
        if missed or seconds <= 0 or rendering.size > self._max_bytes:
            return False
        self._remove(key)
        self._renderings[key] = (rendering, monotonic() + seconds)
        self._bytes += rendering.size
        for topic in sharing.topics:
            self._keys.setdefault(topic, set()).add(key)
        while self._bytes > self._max_bytes:
            self._remove(next(iter(self._renderings)))
        return missed is not None

    def invalidate(self, change: Change) -> None:
        """Drop the renderings of a ticket that changed, of its seller, of its event, and of all lists.

        Shared pages don't depend on events about anything else.
        """
        if any(kind == "ticket" for kind, _ in change.topics):
            topics = (*change.topics, CATALOGUE)
            self._changes.add(Change(change.number, topics))
            self.drop(*topics)

    def drop(self, *topics: Topic, keep: Collection[Key] = ()) -> None:
        for topic in topics:
            for key in self._keys.get(topic, set()).difference(keep):
                self._remove(key)
        self.on_change(topics)

    def clear(self) -> None:
        """Drop everything, because events may have been missed."""
        self._changes.forget()
        self._renderings.clear()
        self._keys.clear()
        self._bytes = 0
        self.on_change(None)

    def last_change(self, topic: Topic) -> int | None:
        """The number of the last known event about a topic."""
        return self._changes.last(topic)

    def confirm(self, number: int) -> None:
        """Declare that there was no event about a ticket after this number, except those received."""
        self._changes.confirm(number)

    def _remove(self, key: Key) -> None:
        found = self._renderings.pop(key, None)
        if found is None:
            return
        rendering, _ = found
        self._bytes -= rendering.size
        for topic in rendering.sharing.topics:
            keys = self._keys[topic]
            keys.discard(key)
            if not keys:
                del self._keys[topic]
