"""Who watches what in this process: a change reaches those who asked for it, also if they come back later."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from itertools import islice
from time import monotonic
from typing import Literal

MAX_WATCHERS = 5_000
MAX_OF_ONE = 40
"""Streams of one address. A browser needs one, and some people share an address."""
MAX_RECENT = 2_000
"""Changes kept for browsers that come back: about a megabyte."""

CATCHING_UP = 1.0
"""Seconds within which what a service shows agrees with what it has said: lists may be 0.3 behind."""

Kind = Literal["order", "ticket", "buyer", "seller", "session"]
Topic = tuple[Kind, str]
"""An order, a ticket, all orders of a buyer, all tickets of a seller, a session's end: with its id."""

MINE = "me"
"""What a buyer or seller is called in what is sent: everybody watches their own only."""


@dataclass(frozen=True)
class Change:
    """The message of the bus with this number was about these topics, if about any that can be watched."""

    number: int
    topics: tuple[Topic, ...] = ()
    buyer: str | None = None
    """Who alone hears of the order; None if whoever watches it has been found to be its buyer."""
    heard_at: float = field(default_factory=monotonic, compare=False)


@dataclass(frozen=True)
class Signal:
    """Something about a thing has changed; the browser fetches what, with its own rights."""

    name: str
    id: str = ""
    number: int | None = None
    """Up to where the browser knows everything, once it has this."""

    def encode(self) -> bytes:
        number = "" if self.number is None else f"id: {self.number}\n"
        return f"{number}event: {self.name}\ndata: {self.id}\n\n".encode()


class Watcher:
    """One browser's open stream."""

    def __init__(self, topics: Iterable[Topic], viewer: str | None, address: str = "") -> None:
        self.topics = frozenset(topics)
        self.viewer = viewer
        self.address = address
        self._waiting: dict[tuple[str, str], Signal] = {}
        self._woken = asyncio.Event()
        self._closed = False

    def hear(self, change: Change) -> None:
        for topic in change.topics:
            if topic in self.topics and self._may_hear(topic, change):
                kind, about = topic
                if kind == "session":
                    self.close()
                else:
                    self.tell(Signal(kind, MINE if kind in {"buyer", "seller"} else about, change.number))

    def _may_hear(self, topic: Topic, change: Change) -> bool:
        return topic[0] != "order" or change.buyer is None or change.buyer == self.viewer

    def tell(self, signal: Signal) -> None:
        """Never waits: a signal replaces an earlier one about the same thing, since it carries no state.

        So a slow browser keeps no more of them than it watches things, and misses none.
        """
        self._waiting.pop((signal.name, signal.id), None)
        self._waiting[signal.name, signal.id] = signal
        self._woken.set()

    def close(self) -> None:
        self._closed = True
        self._woken.set()

    async def signals(self, heartbeat: float) -> AsyncIterator[Signal | None]:
        """Ends when the hub closes or the session is over; None after each `heartbeat` seconds of silence."""
        while not self._closed:
            try:
                async with asyncio.timeout(heartbeat):
                    await self._woken.wait()
            except TimeoutError:
                if not self._waiting:  # else it knows less than a heartbeat would say
                    yield None
                continue
            self._woken.clear()
            while self._waiting and not self._closed:
                yield self._waiting.pop(next(iter(self._waiting)))


class Recent:
    """The last changes, with no gap between them."""

    def __init__(self, limit: int) -> None:
        self._changes: deque[Change] = deque(maxlen=limit)

    @property
    def last(self) -> int | None:
        return self._changes[-1].number if self._changes else None

    def keep(self, change: Change) -> bool:
        """False if it isn't the one after the last: what was before it is of no use any more."""
        follows = self.last is None or change.number == self.last + 1
        if not follows:
            self.forget()
        self._changes.append(change)
        return follows

    def after(self, number: int) -> list[Change] | None:
        """All since the one with this number; None if that can't be told."""
        if not self._changes:
            return None
        skipped = number + 1 - self._changes[0].number
        return list(islice(self._changes, skipped, None)) if 0 <= skipped <= len(self._changes) else None

    def before(self, moment: float) -> int | None:
        """The number of the last one that was heard before, or of the one before the first that is kept."""
        for change in reversed(self._changes):
            if change.heard_at < moment:
                return change.number
        return self._changes[0].number - 1 if self._changes else None

    def forget(self) -> None:
        self._changes.clear()


class Hub:
    def __init__(self, max_recent: int = MAX_RECENT) -> None:
        self._watchers: set[Watcher] = set()
        self._by_topic: dict[Topic, set[Watcher]] = {}
        self._of_address: Counter[str] = Counter()
        self._recent = Recent(max_recent)
        self._closed = False

    def __len__(self) -> int:
        return len(self._watchers)

    def has_room_for(self, watcher: Watcher) -> bool:
        """Nobody alone can take the places of all others."""
        return len(self._watchers) < MAX_WATCHERS and self._of_address[watcher.address] < MAX_OF_ONE

    @property
    def position(self) -> int | None:
        """The number of the last change that is known; None before the first."""
        return self._recent.last

    @property
    def position_of_pages(self) -> int | None:
        """Up to where a page that is made now surely knows everything."""
        return self._recent.before(monotonic() - CATCHING_UP)

    def here(self) -> Signal:
        """Nothing to fetch: you are still connected, and know everything up to this number."""
        return Signal("here", number=self.position)

    def add(self, watcher: Watcher, since: int | None = None) -> None:
        """With the number of the last change that it knows, it hears of what it missed first."""
        self._watchers.add(watcher)
        self._of_address[watcher.address] += 1
        for topic in watcher.topics:
            self._by_topic.setdefault(topic, set()).add(watcher)
        if since is not None:
            self._repeat(watcher, since)
        watcher.tell(self.here())
        if self._closed:
            watcher.close()

    def _repeat(self, watcher: Watcher, since: int) -> None:
        missed = self._recent.after(since)
        if missed is None:
            watcher.tell(self._resync())
        for change in missed or ():
            watcher.hear(change)

    def remove(self, watcher: Watcher) -> None:
        self._watchers.remove(watcher)
        self._of_address[watcher.address] -= 1
        if not self._of_address[watcher.address]:
            del self._of_address[watcher.address]
        for topic in watcher.topics:
            watching = self._by_topic.get(topic, set())
            watching.discard(watcher)
            if not watching:
                self._by_topic.pop(topic, None)

    def tell(self, change: Change) -> None:
        """Signal those who watch; everyone, if the bus said something before that wasn't heard here."""
        if not self._recent.keep(change):
            self._resync_all()
        watching = (self._by_topic.get(topic, ()) for topic in change.topics)
        for watcher in set[Watcher]().union(*watching):
            watcher.hear(change)

    def lose_track(self) -> None:
        """Changes may have been missed: what was kept is of no use, and browsers fetch all they show."""
        self._recent.forget()
        self._resync_all()

    def _resync_all(self) -> None:
        for watcher in self._watchers:
            watcher.tell(self._resync())

    def _resync(self) -> Signal:
        """Signals may have been missed: fetch everything that is on screen."""
        return Signal("resync", number=self.position)

    def close(self) -> None:
        """End every stream, now and from now on."""
        self._closed = True
        for watcher in self._watchers:
            watcher.close()
