"""Rejects sign-ins and sign-ups of a network above its limit, before they wait for a permit.

Auth applies the same limits, with counters that all processes share. Without a first check here, requests
that auth rejects would occupy the permits of passwords, of which there are few.
"""

import re
import time
from collections.abc import Callable

from kit.networks import WIDE_FACTOR, Networks
from settings import Settings

MAX_NETWORKS = 20_000
"""Networks whose requests are counted, in about 4 MB. The networks counted first are forgotten."""

_WINDOW_SECONDS = 60

_SIGN_IN = re.compile(r"(?:/api/users)?/signin")
_SIGN_UP = re.compile(r"(?:/api/users)?/signup")


class NetworkRates:
    """Counts the requests of one process, by network, in the minutes in which auth counts them."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._limits = ((_SIGN_IN, settings.rate_sign_in), (_SIGN_UP, settings.rate_sign_up))
        self._clock = clock
        self._minute = 0
        self._counts: dict[tuple[int, str], int] = {}

    def retry_after(self, method: str, path: str, networks: Networks | None) -> int | None:
        """Count a request. None, or if it is above a limit, the seconds until the limit no longer applies.

        Args:
            path: normalized.
        """
        if networks is None or method != "POST":
            return None
        for number, (paths, limit) in enumerate(self._limits):
            if limit and paths.fullmatch(path):
                return self._count(number, networks, limit)
        return None

    def _count(self, number: int, networks: Networks, limit: int) -> int | None:
        second = self._clock()
        minute = int(second // _WINDOW_SECONDS)
        if minute != self._minute:
            self._minute = minute
            self._counts.clear()
        for name, most in zip(networks, (limit, limit * WIDE_FACTOR), strict=True):
            count = self._counts.get((number, name), 0)
            if count >= most:
                return int((minute + 1) * _WINDOW_SECONDS - second) + 1
            self._counts[number, name] = count + 1
        while len(self._counts) > MAX_NETWORKS:
            del self._counts[next(iter(self._counts))]
        return None
