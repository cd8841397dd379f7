"""Password hashing with argon2id in threads, one per core, and one for known devices.

The networks of clients share the threads fairly. A device on which the user has signed in before gets a
further thread when all others are busy: an attacker from many networks could keep them all busy. All methods
raise Unavailable if too many passwords wait.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from contracts.passwords import normalized
from kit.errors import Unavailable
from kit.limiter import Limiter, share_of
from kit.networks import Networks

T = TypeVar("T")

QUEUE_SIZE, QUEUE_TIMEOUT = 64, 10.0
"""How many passwords wait for a thread, and for how many seconds at most."""
QUEUE_RETRY_SECONDS = 5


@dataclass(frozen=True)
class Match:
    """A password that matches a hash."""

    is_outdated: bool
    """Whether to replace the hash: it was made with other parameters than new hashes, or from a password that
    wasn't normalized."""


class Passwords:
    """Hashes and verifies passwords with argon2-cffi's defaults: the low-memory profile of RFC 9106."""

    def __init__(self, hasher: PasswordHasher | None = None, *, network_share: int = 0) -> None:
        """
        Args:
            network_share: the percentage of threads that one network may occupy; 0 for no limit.
        """
        self._hasher = hasher or PasswordHasher()
        # argon2 releases the GIL. More threads than cores would only use memory, 64 MiB each.
        count = os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(count + 1, thread_name_prefix="argon2")
        self._limiter = Limiter(count, QUEUE_SIZE, QUEUE_TIMEOUT, share_of(count, network_share))
        self._of_known_devices = Limiter(1, QUEUE_SIZE, QUEUE_TIMEOUT)
        self._dummy_hash = self._hasher.hash("a password that nobody has")

    async def hash(
        self, password: str, networks: Networks | None = None, *, is_known_device: bool = False
    ) -> str:
        work = partial(self._hasher.hash, normalized(password))
        return await self._run(work, networks, is_known_device=is_known_device)

    async def matches(
        self,
        password: str,
        password_hash: str | None,
        networks: Networks | None = None,
        *,
        is_known_device: bool = False,
    ) -> bool:
        match = await self.match(password, password_hash, networks, is_known_device=is_known_device)
        return match is not None

    async def match(
        self,
        password: str,
        password_hash: str | None,
        networks: Networks | None = None,
        *,
        is_known_device: bool = False,
    ) -> Match | None:
        """Compare a password, as typed, with a hash. None if it doesn't match.

        For an unknown user, whose hash is None, the answer is None and takes the same time, so that the time
        doesn't reveal which users exist.
        """
        work = partial(self._match, password, password_hash)
        return await self._run(work, networks, is_known_device=is_known_device)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _match(self, password: str, password_hash: str | None) -> Match | None:
        """Try the normalized password, and then the typed one: older hashes were made from that."""
        for attempt in dict.fromkeys((normalized(password), password)):
            if self._verify(attempt, password_hash or self._dummy_hash) and password_hash is not None:
                is_outdated = self._hasher.check_needs_rehash(password_hash)
                return Match(is_outdated or attempt != normalized(password))
        return None

    def _verify(self, password: str, password_hash: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: partial[T], networks: Networks | None, *, is_known_device: bool) -> T:
        is_busy = not self._limiter.has_room(networks)
        limiter = self._of_known_devices if is_known_device and is_busy else self._limiter
        permit = await limiter.acquire(networks)
        if permit is None:
            raise Unavailable(retry_after=QUEUE_RETRY_SECONDS)
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        # Not when the caller is cancelled: a thread can't be stopped
        running.add_done_callback(lambda _: permit.release())
        return await asyncio.shield(running)
