"""The workaround for a pymongo lock that is never released, and which errors count as an outage."""

import asyncio
import sys
from contextlib import suppress

import pymongo.lock
import pytest
from pymongo import errors

import kit.mongo
from kit.mongo import is_outage
from tests.support.polling import until


async def lock_stays_locked() -> bool:
    """Whether pymongo's lock is never released after a task that waits for its condition is cancelled.

    The task times out while waiting for news of the server. It then has to acquire the lock again, which
    another task holds, and is cancelled at the moment when the other task releases the lock.
    """
    lock = pymongo.lock._async_create_lock()
    news = pymongo.lock._async_create_condition(lock)
    waits = asyncio.Event()

    async def wait_for_news() -> None:
        async with lock:
            waits.set()
            await pymongo.lock._async_cond_wait(news, 0.05)

    async def lock_waiters() -> int:
        return len(lock._waiters or ())

    waiting = asyncio.create_task(wait_for_news())
    await waits.wait()
    await lock.acquire()  # possible because a wait releases the lock
    await until(lock_waiters, bool)  # after its timeout, the wait acquires the lock again
    waiting.cancel()
    lock.release()
    await asyncio.wait({waiting})
    with suppress(asyncio.CancelledError, RuntimeError):  # the control releases a lock that it does not hold
        await waiting
    try:
        async with asyncio.timeout(1):
            await lock.acquire()
    except TimeoutError:
        return True
    return False


async def test_the_lock_is_released_when_a_wait_is_cancelled_at_its_timeout() -> None:
    assert not await lock_stays_locked()


async def test_control_with_wait_for_of_asyncio_the_lock_stays_locked_before_python_3_12(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pymongo.lock, "wait_for", asyncio.wait_for)
    assert await lock_stays_locked() == (sys.version_info < (3, 12))


async def test_a_wait_returns_whether_it_was_notified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pymongo.lock, "wait_for", kit.mongo.wait_for)
    lock = pymongo.lock._async_create_lock()
    news = pymongo.lock._async_create_condition(lock)

    async def notify() -> None:
        async with lock:
            news.notify_all()

    async with lock:
        assert await pymongo.lock._async_cond_wait(news, 0) is False
        assert lock.locked()
        notification = asyncio.create_task(notify())
        assert await pymongo.lock._async_cond_wait(news, 30) is True
    await notification


@pytest.mark.parametrize(
    "error",
    [
        errors.NotPrimaryError("not primary"),
        errors.NetworkTimeout("timed out"),
        errors.WaitQueueTimeoutError("no connection is free"),
        errors.ServerSelectionTimeoutError("no server is available"),
        errors.ProtocolError("half a message"),
        errors.ExecutionTimeout("operation exceeded time limit", 50),
        errors.WriteConcernError("not enough data-bearing nodes", 100),
        errors.WTimeoutError("waiting for replication timed out", 64),
        errors.WriteError("not primary", 10107),
        errors.OperationFailure("Authentication failed.", 18),
        errors.OperationFailure("No space left on device", 14031),
        errors.OperationFailure("interrupted at shutdown", 11600),
    ],
    ids=repr,
)
def test_temporary_errors_count_as_an_outage(error: Exception) -> None:
    assert is_outage(error)


@pytest.mark.parametrize(
    "error",
    [
        errors.DuplicateKeyError("E11000 duplicate key error", 11000),
        errors.WriteError("Document failed validation", 121),
        errors.DocumentTooLarge("BSON document too large"),
        errors.OperationFailure("unknown operator: $where", 2),
        ValueError("not an error of the database"),
    ],
    ids=repr,
)
def test_permanent_errors_do_not_count_as_an_outage(error: Exception) -> None:
    assert not is_outage(error)
