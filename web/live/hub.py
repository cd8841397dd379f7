"""The hub: the open streams of this process by topic, and the last changes for browsers that reconnect."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from time import monotonic, time

from kit.networks import WIDE_FACTOR, Networks, networks_of
from web.live.changes import MAX_TOPICS, Change, LastChanges, Topic

MAX_WATCHERS = 5_000
MAX_WATCHERS_PER_NETWORK = 40
"""The most streams of one network. A browser needs one, and several people may share an address. A wide
network (`kit.networks`) may have five times as many."""
MAX_LAG = 1.0
"""Seconds after which all responses of a service reflect an event. Lists may lag by up to 0.3 seconds."""

HEARTBEAT_SECONDS = 14.0
"""Seconds after which a silent stream gets a message. Proxies may close it after a silent minute."""
BEAT_SECONDS = 1.0
"""How often silent streams are looked for. No stream is silent for more than 15 seconds."""

BATCH_SECONDS = 0.1
"""Minimum time between two messages to a browser. Signals that come sooner wait for each other."""

MINE = "me"
"""Sent instead of the user's id in `buyer`, `seller` and `alerts` signals: users can watch only what is
theirs."""


@dataclass(frozen=True)
class Signal:
    """A message to a browser, usually that a topic has changed. The browser then fetches the change."""

    name: str
    id: str = ""
    number: int | None = None
    """The sequence number up to which the browser has received all changes after this signal."""

    @property
    def encoded(self) -> bytes:
        """The signal as it is sent now. Only `here` contains the time."""
        return self._encode() if self.name == "here" else self._encoded_once

    @cached_property
    def _encoded_once(self) -> bytes:
        return self._encode()

    def _encode(self) -> bytes:
        number = "" if self.number is None else f"id: {self.number}\n"
        data = str(int(time() * 1000)) if self.name == "here" else self.id
        return f"{number}event: {self.name}\ndata: {data}\n\n".encode()

    @classmethod
    def about(cls, topic: Topic, number: int) -> "Signal":
        kind, about = topic
        return cls(kind, MINE if kind in {"buyer", "seller", "alerts"} else about, number)


class Watcher:
    """The open stream of one browser.

    Args:
        is_allowed: returns whether the token and the session of the stream are still valid.
    """

    def __init__(
        self,
        topics: Iterable[Topic],
        viewer: str | None,
        address: str = "",
        is_allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        self.topics = frozenset(topics)
        self.viewer = viewer
        # Addresses to which limits per network don't apply have a limit of their own here.
        self.networks = networks_of(address) or Networks(address, f"around {address}")
        self.is_allowed = is_allowed
        self._queued: dict[tuple[str, str], Signal] = {}
        self._woken = asyncio.Event()
        self._closed = False
        self._sent_at = 0.0
        """When the last signals were sent, on the monotonic clock."""

    def receive(self, change: Change, topic: Topic, signal: Signal) -> None:
        """Queue the signal of a change about one of the topics, if the viewer may see it."""
        if topic[0] == "session":
            self.close()
        elif topic[0] != "order" or change.buyer is None or change.buyer == self.viewer:
            self.send(signal)

    def send(self, signal: Signal) -> None:
        """Queue a signal. It replaces an earlier signal about the same topic, as signals contain no state.

        The queue of a slow browser therefore never exceeds its number of topics, and no topic is missed.
        """
        self._queued.pop((signal.name, signal.id), None)
        self._queued[signal.name, signal.id] = signal
        self._woken.set()

    def close(self) -> None:
        self._closed = True
        self._woken.set()

    def is_silent_since(self, moment: float) -> bool:
        return self._sent_at < moment and not self._queued

    async def batches(self) -> AsyncIterator[Sequence[Signal]]:
        """The signals until the stream is closed, those that come within `BATCH_SECONDS` together."""
        while True:
            await self._woken.wait()
            if self._closed:
                return
            self._woken.clear()
            batch = tuple(self._queued.values())
            self._queued.clear()
            self._sent_at = monotonic()
            yield batch
            await asyncio.sleep(BATCH_SECONDS)


class Positions:
    """Remembers which sequence number was the newest at any moment of the last second (`MAX_LAG`)."""

    def __init__(self) -> None:
        self._received: deque[tuple[float, int]] = deque()
        """The time at which each number was received, and the number. The first was received more than
        `MAX_LAG` ago, if possible."""

    @property
    def last(self) -> int | None:
        return self._received[-1][1] if self._received else None

    def add(self, change: Change) -> None:
        self._received.append((change.received_at, change.number))
        while len(self._received) > 1 and self._received[1][0] < monotonic() - MAX_LAG:
            self._received.popleft()

    def before(self, moment: float) -> int | None:
        """The last number received before a moment, or the number before the first one."""
        for received_at, number in reversed(self._received):
            if received_at < moment:
                return number
        return self._received[0][1] - 1 if self._received else None

    def forget(self) -> None:
        self._received.clear()


class Hub:
    def __init__(self, max_topics: int = MAX_TOPICS) -> None:
        self._watchers: set[Watcher] = set()
        self._by_topic: dict[Topic, set[Watcher]] = {}
        self._of_network: Counter[str] = Counter()
        self._changes = LastChanges(max_topics)
        self._positions = Positions()
        self._closed = False

    def __len__(self) -> int:
        return len(self._watchers)

    def admits(self, watcher: Watcher) -> bool:
        """Whether the limits of the process and of the client's networks allow another stream."""
        return len(self._watchers) < MAX_WATCHERS and all(
            self._of_network[network] < MAX_WATCHERS_PER_NETWORK * factor
            for network, factor in zip(watcher.networks, (1, WIDE_FACTOR), strict=True)
        )

    @property
    def position(self) -> int | None:
        """The number of the last change; None before the first."""
        return self._positions.last

    @property
    def position_of_pages(self) -> int | None:
        """A page that is rendered now certainly reflects all changes up to this number."""
        return self._positions.before(monotonic() - MAX_LAG)

    def here(self) -> Signal:
        """A signal that the browser is connected and has received all changes up to `number`.

        It contains the server's time in milliseconds, by which browsers count down on shared pages.
        """
        return Signal("here", number=self.position)

    def add(self, watcher: Watcher, since: int | None = None) -> None:
        """Start a stream. If `since` is given, first send the changes after that sequence number."""
        self._watchers.add(watcher)
        self._of_network.update(watcher.networks)
        for topic in watcher.topics:
            self._by_topic.setdefault(topic, set()).add(watcher)
        if since is not None:
            self._repeat(watcher, since)
        watcher.send(self.here())
        if self._closed:
            watcher.close()

    def _repeat(self, watcher: Watcher, since: int) -> None:
        is_known = self.position is not None and since <= self.position
        missed = self._changes.since(watcher.topics, since) if is_known else None
        if missed is None:
            watcher.send(self._resync())
        for change in missed or ():
            for topic in change.topics:
                if topic in watcher.topics:
                    watcher.receive(change, topic, Signal.about(topic, change.number))

    def remove(self, watcher: Watcher) -> None:
        self._watchers.remove(watcher)
        for network in watcher.networks:
            self._of_network[network] -= 1
            if not self._of_network[network]:
                del self._of_network[network]
        for topic in watcher.topics:
            watching = self._by_topic.get(topic, set())
            watching.discard(watcher)
            if not watching:
                self._by_topic.pop(topic, None)

    def misses_events_before(self, number: int) -> bool:
        """Whether there is a gap between the last change and the one with this number."""
        return self.position is not None and number != self.position + 1

    def publish(self, change: Change) -> None:
        """Signal the watchers of the change's topics. After a gap, all watchers resynchronize."""
        is_gap = self.misses_events_before(change.number)
        if is_gap:
            self._forget()
        self._changes.add(change)
        self._positions.add(change)
        if is_gap:
            self._resync_all()
        for topic in change.topics:
            signal = Signal.about(topic, change.number)
            for watcher in self._by_topic.get(topic, ()):
                watcher.receive(change, topic, signal)

    def resync(self) -> None:
        """Forget the kept changes and have all browsers fetch everything, because changes may be missing."""
        self._forget()
        self._resync_all()

    async def keep_alive(self) -> None:
        """Send `here` on silent streams, and end those that aren't allowed any more, until cancelled."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            self.beat()

    def beat(self) -> None:
        """Send `here` on streams that have been silent for `HEARTBEAT_SECONDS`, and end those not allowed.

        It contains the position, so it must not overtake a queued signal: a browser that reconnects after it
        wouldn't get that signal again.
        """
        here, since = self.here(), monotonic() - HEARTBEAT_SECONDS
        for watcher in self._watchers:
            if not watcher.is_allowed():
                watcher.close()
            elif watcher.is_silent_since(since):
                watcher.send(here)

    def _forget(self) -> None:
        self._changes.forget()
        self._positions.forget()

    def _resync_all(self) -> None:
        resync = self._resync()
        for watcher in self._watchers:
            watcher.send(resync)

    def _resync(self) -> Signal:
        """A signal that makes a browser fetch everything on its pages: it may have missed changes."""
        return Signal("resync", number=self.position)

    def close(self) -> None:
        """End all streams, including those that are added later."""
        self._closed = True
        for watcher in self._watchers:
            watcher.close()
