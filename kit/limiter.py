"""A concurrency limiter with a short queue, which networks share fairly.

A network is busier than another if it holds more permits, or as many and has more requests waiting. The
wide networks of clients are compared first, and their narrow networks next (`kit.networks`).
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from kit.networks import Networks

Waiter = asyncio.Future[bool]


def share_of(limit: int, percent: int) -> int:
    """The most permits of a limiter that one network may hold; 0 for no limit."""
    return max(1, limit * percent // 100) if percent else 0


class Permit:
    """The permission to serve one request. Only the first call of `release` has an effect."""

    def __init__(self, limiter: "Limiter", networks: Networks | None) -> None:
        self._limiter: Limiter | None = limiter
        self._networks = networks

    def release(self) -> None:
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter.give_back(self._networks)


@dataclass
class Limiter:
    """Limits how many requests are served at the same time; a few more wait in a queue.

    A released permit goes to the newest request of the network that is least busy. When the queue is full,
    the oldest request of the busiest network is rejected. Without overload the order makes no difference.
    Under overload, the newest requests are served quickly and the others are rejected soon, so that their
    clients can retry. If the oldest request were served first, each request would wait almost until its
    timeout, when its client is about to give up.

    A client without networks competes with others as if it were the only client of a network.
    """

    limit: int
    """The most requests that are served at the same time."""
    queue_size: int
    timeout: float
    """Seconds that a request may wait in the queue."""
    share: int = 0
    """The most permits that one wide network may hold; 0 for no limit."""
    in_use: int = 0
    _held: Counter[str] = field(default_factory=Counter)
    """The number of permits by network."""
    _queue: dict[Waiter, Networks | None] = field(default_factory=dict)
    """The waiting requests, the oldest first."""

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def has_room(self, networks: Networks | None = None) -> bool:
        """Whether a request of these networks would get a permit without waiting."""
        return self.in_use < self.limit and self._may_hold_another(networks)

    async def acquire(self, networks: Networks | None = None) -> Permit | None:
        """Wait for a permit. Return None if the request is rejected."""
        if self.has_room(networks):
            self._grant(networks)
        elif not await self._wait(networks):
            return None
        return Permit(self, networks)

    def give_back(self, networks: Networks | None) -> None:
        """Pass a released permit on to a waiting request, if there is one whose network may hold it."""
        self.in_use -= 1
        self._held.subtract(networks or ())
        self._held += Counter()  # removes networks without permits
        while self.in_use < self.limit and (waiter := self._next()) is not None:
            self._grant(self._queue.pop(waiter))
            waiter.set_result(True)

    def _grant(self, networks: Networks | None) -> None:
        self.in_use += 1
        self._held.update(networks or ())

    def _may_hold_another(self, networks: Networks | None) -> bool:
        return networks is None or not self.share or self._held[networks.wide] < self.share

    def _next(self) -> Waiter | None:
        """The waiting request that gets the next permit, unless it is just being cancelled."""
        may = [
            waiter
            for waiter, networks in reversed(self._queue.items())
            if not waiter.done() and self._may_hold_another(networks)
        ]
        return min(may, key=self._loads().__getitem__, default=None)

    def _loads(self) -> dict[Waiter, tuple[int, ...]]:
        """How busy the wide network of each waiting request is, and then its narrow network."""
        waiting = Counter(name for networks in self._queue.values() for name in networks or ())
        return {
            waiter: (0, 1, 0, 1)
            if networks is None
            else tuple(count for name in reversed(networks) for count in (self._held[name], waiting[name]))
            for waiter, networks in self._queue.items()
        }

    async def _wait(self, networks: Networks | None) -> bool:
        if self.queue_size == 0:
            return False
        loop = asyncio.get_running_loop()
        waiter: Waiter = loop.create_future()
        self._queue[waiter] = networks
        if len(self._queue) > self.queue_size:
            self._reject(max(self._queue, key=self._loads().__getitem__))
        timer = loop.call_later(self.timeout, self._reject, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._queue.pop(waiter, None)
            if not waiter.cancelled() and waiter.result():
                self.give_back(networks)  # the permit arrived at the moment of the cancellation
            raise
        finally:
            timer.cancel()

    def _reject(self, waiter: Waiter) -> None:
        self._queue.pop(waiter, None)
        if not waiter.done():
            waiter.set_result(False)
