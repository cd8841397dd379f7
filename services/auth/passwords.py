"""Password hashes: argon2id, off the event loop, as many at once as there are cores."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

T = TypeVar("T")


class Passwords:
    """Hashes and verifies. Parameters are argon2-cffi's defaults: RFC 9106's low-memory profile."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        # argon2 lets go of the GIL. More threads than cores would only take memory, 64 MiB each.
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="argon2")
        self._nobodys_hash = self._hasher.hash("a password that nobody has")

    async def hash(self, password: str) -> str:
        return await self._run(partial(self._hasher.hash, password))

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the password. None, for an unknown user, is False after the same time."""
        return await self._run(partial(self._verify, password, password_hash))

    def is_outdated(self, password_hash: str) -> bool:
        """Whether it was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password: str, password_hash: str | None) -> bool:
        try:
            self._hasher.verify(password_hash or self._nobodys_hash, password)
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None

    async def _run(self, work: partial[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
