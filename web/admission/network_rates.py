"""Rejects sign-ins and sign-ups of a network above its limit, before they wait for a permit.

Auth applies the same limits, with counters that all processes share. Without a first check here, requests
that auth rejects would occupy the permits of passwords, of which there are few.
"""

import re

from kit.network_counts import NetworkCounts
from kit.networks import Networks
from settings import Settings

_SIGN_IN = re.compile(r"(?:/api/users)?/signin")
_SIGN_UP = re.compile(r"(?:/api/users)?/signup")


class NetworkRates:
    """Counts the requests of one process, by network, in the minutes in which auth counts them."""

    def __init__(self, settings: Settings, counts: NetworkCounts | None = None) -> None:
        self._limits = (
            ("sign-in", _SIGN_IN, settings.rate_sign_in),
            ("sign-up", _SIGN_UP, settings.rate_sign_up),
        )
        self._counts = counts or NetworkCounts()

    def retry_after(self, method: str, path: str, networks: Networks | None) -> int | None:
        """Count a request. None, or if it is above a limit, the seconds until the limit no longer applies.

        Args:
            path: normalized.
        """
        if networks is None or method != "POST":
            return None
        for action, paths, limit in self._limits:
            if limit and paths.fullmatch(path):
                return self._counts.retry_after(action, networks, limit)
        return None
