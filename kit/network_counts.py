"""Counts requests per network and minute in this process, which costs microseconds.

Counters in the database (`kit.rate_limits`) are shared by all processes, but cost two writes.
"""

from collections.abc import Callable

from contracts.wire import now
from kit.networks import WIDE_FACTOR, Networks

WINDOW_SECONDS = 60

MAX_COUNTED = 50_000
"""Counters of one minute: about 10 MB. Above it, the first ones are forgotten."""


class NetworkCounts:
    """The requests of the current minute, by action and network."""

    def __init__(self, clock: Callable[[], float] = lambda: now().timestamp()) -> None:
        self._clock = clock
        self._minute = 0
        self._counts: dict[tuple[str, str], int] = {}

    def retry_after(self, action: str, networks: Networks, limit: int) -> int | None:
        """Count a request. None, or the seconds to wait if it is above the limit."""
        second = self._clock()
        minute = int(second // WINDOW_SECONDS)
        if minute != self._minute:
            self._minute = minute
            self._counts.clear()
        for name, most in zip(networks, (limit, limit * WIDE_FACTOR), strict=True):
            times = self._counts.get((action, name), 0)
            if times >= most:
                return int((minute + 1) * WINDOW_SECONDS - second) + 1
            self._counts[action, name] = times + 1
        while len(self._counts) > MAX_COUNTED:
            del self._counts[next(iter(self._counts))]
        return None
