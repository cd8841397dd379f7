import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Literal

import pytest
from argon2 import PasswordHasher

from kit.networks import networks_of
from services.auth.passwords import Match, Passwords


class CountingHasher(PasswordHasher):
    """Hashes as cheaply as argon2 can, and records verifications."""

    def __init__(self, *, time_cost: int = 1) -> None:
        super().__init__(time_cost=time_cost, memory_cost=8, parallelism=1)
        self.verified: list[str | bytes] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - argon2's name
        self.verified.append(hash)
        return super().verify(hash, password)


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.fixture
def passwords(hasher: CountingHasher) -> Iterator[Passwords]:
    with closing(Passwords(hasher)) as passwords:
        yield passwords


async def test_only_the_right_password_matches_a_hash(passwords: Passwords) -> None:
    password_hash = await passwords.hash("correct horse")
    assert await passwords.matches("correct horse", password_hash)
    assert not await passwords.matches("correct horse ", password_hash)
    assert not await passwords.matches("", password_hash)


async def test_the_same_password_is_hashed_differently_each_time(passwords: Passwords) -> None:
    first, second = await asyncio.gather(passwords.hash("correct horse"), passwords.hash("correct horse"))
    assert first != second
    assert "correct horse" not in first
    assert first.startswith("$argon2id$")


async def test_an_unknown_user_costs_one_verification_like_a_wrong_password(
    passwords: Passwords, hasher: CountingHasher
) -> None:
    password_hash = await passwords.hash("correct horse")
    assert not await passwords.matches("guess", password_hash)
    wrong = len(hasher.verified)
    assert not await passwords.matches("guess", None)
    assert (wrong, len(hasher.verified)) == (1, 2)
    assert not hasher.check_needs_rehash(str(hasher.verified[-1])), (
        "the hash for unknown users costs as much as a user's"
    )


async def test_no_password_matches_without_a_stored_hash(passwords: Passwords) -> None:
    assert not await passwords.matches("the password of an unknown user", None)


@pytest.mark.parametrize("stored", ["", "plain text", "$argon2id$v=19$", "$2b$12$abcdefghijklmnopqrstuv"])
async def test_no_password_matches_an_invalid_stored_hash(passwords: Passwords, stored: str) -> None:
    assert not await passwords.matches("plain text", stored)


async def test_a_hash_is_outdated_but_still_valid_after_a_change_of_parameters(passwords: Passwords) -> None:
    password_hash = await passwords.hash("correct horse")
    assert await passwords.match("correct horse", password_hash) == Match(is_outdated=False)
    with closing(Passwords(CountingHasher(time_cost=2))) as stricter:
        assert await stricter.match("correct horse", password_hash) == Match(is_outdated=True)


@pytest.mark.parametrize(
    "variant", ["1234567e\u0301", "\uff11234567\u00e9"], ids=["decomposed", "full width"]
)
async def test_a_password_matches_however_its_characters_are_composed(
    passwords: Passwords, variant: str
) -> None:
    usual = "1234567\u00e9"
    for signed_up, typed in ((usual, variant), (variant, usual)):
        assert await passwords.match(typed, await passwords.hash(signed_up)) == Match(is_outdated=False)


async def test_a_hash_of_a_password_that_was_not_normalized_still_matches_and_is_outdated(
    passwords: Passwords, hasher: CountingHasher
) -> None:
    decomposed = "1234567e\u0301"
    old_hash = hasher.hash(decomposed)
    assert await passwords.match(decomposed, old_hash) == Match(is_outdated=True)
    assert await passwords.match("1234567\u00e9", old_hash) is None


async def test_an_unknown_user_costs_as_many_verifications_as_a_wrong_password_in_two_spellings(
    passwords: Passwords, hasher: CountingHasher
) -> None:
    password_hash = await passwords.hash("correct horse")
    assert not await passwords.matches("guess\u0301", password_hash)
    wrong = len(hasher.verified)
    assert not await passwords.matches("guess\u0301", None)
    assert (wrong, len(hasher.verified)) == (2, 4)


HASH = CountingHasher().hash("x")


class HasherWithBarrier(CountingHasher):
    """A verification succeeds only if `parties` verifications run concurrently."""

    def __init__(self, parties: int, *, timeout: float) -> None:
        super().__init__()
        self.barrier = threading.Barrier(parties, timeout=timeout)

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - argon2's name
        self.barrier.wait()
        return True


async def verify_concurrently(parties: int, *, within: float) -> list[Any]:
    with closing(Passwords(HasherWithBarrier(parties, timeout=within))) as passwords:
        work = [passwords.matches("x", HASH) for _ in range(parties)]
        return await asyncio.gather(*work, return_exceptions=True)


async def test_as_many_verifications_as_cores_run_concurrently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert await verify_concurrently(3, within=60) == [True] * 3


async def test_no_more_verifications_than_cores_run_concurrently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    outcomes = await verify_concurrently(3, within=0.2)
    assert {type(outcome) for outcome in outcomes} == {threading.BrokenBarrierError}


@pytest.mark.parametrize("is_known_device", [True, False])
async def test_only_a_known_device_gets_a_thread_while_all_others_are_busy(
    monkeypatch: pytest.MonkeyPatch, is_known_device: bool
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    with closing(Passwords(HasherWithBarrier(3, timeout=60 if is_known_device else 0.2))) as passwords:
        attack = [passwords.matches("x", HASH, networks_of(f"9.9.{n}.9")) for n in range(2)]
        owner = passwords.matches("x", HASH, networks_of("8.8.8.8"), is_known_device=is_known_device)
        outcomes = await asyncio.gather(*attack, owner, return_exceptions=True)
    met = [outcome is True for outcome in outcomes]
    assert met == [is_known_device] * 3


async def test_the_event_loop_is_not_blocked_while_a_password_is_verified() -> None:
    """The barrier opens only if the verifying thread and the event loop reach it concurrently."""
    hasher = HasherWithBarrier(2, timeout=60)
    with closing(Passwords(hasher)) as passwords:
        verifying = asyncio.ensure_future(passwords.matches("x", HASH))
        await asyncio.to_thread(hasher.barrier.wait)
        assert await verifying
