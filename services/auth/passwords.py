"""Password hashing with argon2id in threads, one per core."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

T = TypeVar("T")


class Passwords:
    """Hashes and verifies passwords with argon2-cffi's defaults: the low-memory profile of RFC 9106."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        # argon2 releases the GIL. More threads than cores would only use memory, 64 MiB each.
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="argon2")
        self._dummy_hash = self._hasher.hash("a password that nobody has")

    async def hash(self, password: str) -> str:
        return await self._run(partial(self._hasher.hash, password))

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether the password matches the hash.

        For an unknown user, whose hash is None, the answer is False and takes the same time, so that the time
        doesn't reveal which users exist.
        """
        return await self._run(partial(self._verify, password, password_hash))

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than new hashes are."""
        return self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password: str, password_hash: str | None) -> bool:
        try:
            self._hasher.verify(password_hash or self._dummy_hash, password)
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None

    async def _run(self, work: partial[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
