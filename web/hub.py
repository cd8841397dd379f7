"""Who watches what in this process: a signal about a thing reaches those who asked for it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Literal

MAX_WAITING = 256
"""Signals kept for one slow browser. One per thing is enough, since a signal carries no state."""
MAX_WATCHERS = 5_000

Kind = Literal["order", "ticket"]
Topic = tuple[Kind, str]


@dataclass(frozen=True)
class Signal:
    """Something about a thing has changed; the browser fetches what, with its own rights."""

    name: str
    id: str = ""
    sequence: str = ""

    def encode(self) -> bytes:
        number = f"id: {self.sequence}\n" if self.sequence else ""
        return f"{number}event: {self.name}\ndata: {self.id}\n\n".encode()


RESYNC = Signal("resync")
"""Signals may have been missed: fetch everything that is on screen."""


class Watcher:
    """One browser's open stream."""

    def __init__(self, topics: Iterable[Topic], buyer: str | None) -> None:
        self.topics = frozenset(topics)
        self.buyer = buyer
        """Whose orders these are."""
        self._waiting: dict[tuple[str, str], Signal] = {}
        self._woken = asyncio.Event()
        self._closed = False

    def tell(self, signal: Signal) -> None:
        """Never waits: a signal replaces an earlier one about the same thing, the oldest gives way."""
        self._waiting.pop((signal.name, signal.id), None)
        self._waiting[signal.name, signal.id] = signal
        if len(self._waiting) > MAX_WAITING:
            self._waiting.pop(next(iter(self._waiting)))
        self._woken.set()

    def close(self) -> None:
        self._closed = True
        self._woken.set()

    async def signals(self, heartbeat: float) -> AsyncIterator[Signal | None]:
        """Ends when the hub closes; None after each `heartbeat` seconds of silence."""
        while not self._closed:
            try:
                async with asyncio.timeout(heartbeat):
                    await self._woken.wait()
            except TimeoutError:
                yield None
                continue
            self._woken.clear()
            while self._waiting and not self._closed:
                yield self._waiting.pop(next(iter(self._waiting)))


class Hub:
    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()
        self._by_topic: dict[Topic, set[Watcher]] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._watchers)

    @property
    def full(self) -> bool:
        return len(self._watchers) >= MAX_WATCHERS

    def add(self, watcher: Watcher) -> None:
        self._watchers.add(watcher)
        for topic in watcher.topics:
            self._by_topic.setdefault(topic, set()).add(watcher)
        if self._closed:
            watcher.close()

    def remove(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)
        for topic in watcher.topics:
            watching = self._by_topic.get(topic, set())
            watching.discard(watcher)
            if not watching:
                self._by_topic.pop(topic, None)

    def tell(self, topic: Topic, sequence: str, *, buyer: str | None = None) -> None:
        """Signal those who watch a topic; with a `buyer`, those of them who are the buyer."""
        signal = Signal(*topic, sequence)
        for watcher in self._by_topic.get(topic, ()):
            if buyer is None or watcher.buyer == buyer:
                watcher.tell(signal)

    def tell_all(self, signal: Signal) -> None:
        for watcher in self._watchers:
            watcher.tell(signal)

    def close(self) -> None:
        """End every stream, now and from now on."""
        self._closed = True
        for watcher in self._watchers:
            watcher.close()
