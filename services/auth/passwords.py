"""Password hashing with argon2id in threads, one per core."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from contracts.passwords import normalized

T = TypeVar("T")


@dataclass(frozen=True)
class Match:
    """A password that matches a hash."""

    is_outdated: bool
    """Whether to replace the hash: it was made with other parameters than new hashes, or from a password that
    wasn't normalized."""


class Passwords:
    """Hashes and verifies passwords with argon2-cffi's defaults: the low-memory profile of RFC 9106."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        # argon2 releases the GIL. More threads than cores would only use memory, 64 MiB each.
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="argon2")
        self._dummy_hash = self._hasher.hash("a password that nobody has")

    async def hash(self, password: str) -> str:
        return await self._run(partial(self._hasher.hash, normalized(password)))

    async def matches(self, password: str, password_hash: str | None) -> bool:
        return await self.match(password, password_hash) is not None

    async def match(self, password: str, password_hash: str | None) -> Match | None:
        """Compare a password, as typed, with a hash. None if it doesn't match.

        For an unknown user, whose hash is None, the answer is None and takes the same time, so that the time
        doesn't reveal which users exist.
        """
        return await self._run(partial(self._match, password, password_hash))

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

    async def _run(self, work: partial[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
