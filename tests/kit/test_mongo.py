"""A cancellation just as a wait is over leaves no lock behind; an outage of the database is known as one."""

import asyncio
import sys
from contextlib import suppress

import pymongo.lock
import pytest
from pymongo import errors

import services.kit.mongo
from services.kit.mongo import is_outage
from tests.people import until


async def is_lost() -> bool:
    """Whether pymongo's lock is taken for good, once one who waited with it was cancelled at a bad moment.

    As in an outage: all wait for news of the server, one has waited long enough while another has the
    lock, and its request is given up just as that one lets go of it.
    """
    lock = pymongo.lock._async_create_lock()
    news = pymongo.lock._async_create_condition(lock)
    waits = asyncio.Event()

    async def wait_for_news() -> None:
        async with lock:
            waits.set()
            await pymongo.lock._async_cond_wait(news, 0.05)

    async def who_wants_it() -> int:
        return len(lock._waiters or ())

    waiting = asyncio.create_task(wait_for_news())
    await waits.wait()
    await lock.acquire()  # a wait lets go of it
    await until(who_wants_it, bool)  # and when its time is over it wants it back
    waiting.cancel()
    lock.release()
    await asyncio.wait({waiting})
    with suppress(asyncio.CancelledError, RuntimeError):  # the control lets go of what it hasn't got
        await waiting
    try:
        async with asyncio.timeout(1):
            await lock.acquire()
    except TimeoutError:
        return True
    return False


async def test_a_wait_that_is_cancelled_as_its_time_is_over_gives_the_lock_back() -> None:
    assert not await is_lost()


async def test_with_asyncios_own_wait_the_lock_is_lost_up_to_python_3_11(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control of the test before."""
    monkeypatch.setattr(pymongo.lock, "wait_for", asyncio.wait_for)
    assert await is_lost() == (sys.version_info < (3, 12))


async def test_a_wait_tells_whether_there_was_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pymongo.lock, "wait_for", services.kit.mongo.wait_for)
    lock = pymongo.lock._async_create_lock()
    news = pymongo.lock._async_create_condition(lock)

    async def tell() -> None:
        async with lock:
            news.notify_all()

    async with lock:
        assert await pymongo.lock._async_cond_wait(news, 0) is False
        assert lock.locked()
        telling = asyncio.create_task(tell())
        assert await pymongo.lock._async_cond_wait(news, 30) is True
    await telling


@pytest.mark.parametrize(
    "error",
    [
        errors.NotPrimaryError("not primary"),
        errors.NetworkTimeout("timed out"),
        errors.WaitQueueTimeoutError("no connection is free"),
        errors.ServerSelectionTimeoutError("nobody is there"),
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
def test_an_outage_is_known_as_one(error: Exception) -> None:
    assert is_outage(error)


@pytest.mark.parametrize(
    "error",
    [
        errors.DuplicateKeyError("E11000 duplicate key error", 11000),
        errors.WriteError("Document failed validation", 121),
        errors.DocumentTooLarge("BSON document too large"),
        errors.OperationFailure("unknown operator: $where", 2),
        ValueError("not of the database at all"),
    ],
    ids=repr,
)
def test_what_will_not_get_better_is_no_outage(error: Exception) -> None:
    assert not is_outage(error)
