import asyncio
import logging
from collections.abc import Callable

import pytest
from pymongo.errors import DuplicateKeyError, ServerSelectionTimeoutError

from kit.periodic import every
from tests.support.polling import TIMEOUT

AN_HOUR = 3600


class Work:
    """Counts its runs. Each run raises the next of the `failures`, if there is one."""

    def __init__(self, *failures: Exception | None) -> None:
        self.runs = 0
        self.during: Callable[[int], None] = lambda _: None
        self._failures = failures
        self._ran = asyncio.Event()

    async def run(self) -> None:
        self.runs += 1
        self._ran.set()
        self.during(self.runs)
        if self.runs <= len(self._failures) and (failure := self._failures[self.runs - 1]):
            raise failure

    async def has_run(self, times: int) -> None:
        async with asyncio.timeout(TIMEOUT):
            while self.runs < times:
                self._ran.clear()
                await self._ran.wait()


async def stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    async with asyncio.timeout(TIMEOUT):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_work_runs_at_the_start_and_after_each_interval() -> None:
    work = Work()
    task = asyncio.create_task(every(0, work.run))
    await work.has_run(3)
    await stop(task)


async def test_work_waits_for_its_interval() -> None:
    work = Work()
    task = asyncio.create_task(every(AN_HOUR, work.run))
    await work.has_run(1)
    for _ in range(10):
        await asyncio.sleep(0)
    assert work.runs == 1
    await stop(task)


async def test_a_wake_up_runs_work_before_its_interval_is_over() -> None:
    work, wake = Work(), asyncio.Event()
    task = asyncio.create_task(every(AN_HOUR, work.run, wake))
    for runs in (1, 2, 3):
        await work.has_run(runs)
        assert not wake.is_set()
        wake.set()
    await stop(task)


async def test_a_wake_up_during_a_run_causes_another_run() -> None:
    work, wake = Work(), asyncio.Event()
    work.during = lambda run: wake.set() if run == 1 else None
    task = asyncio.create_task(every(AN_HOUR, work.run, wake))
    await work.has_run(2)
    await stop(task)


async def test_an_unavailable_database_is_logged_in_one_line_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work = Work(ServerSelectionTimeoutError("no server"))
    task = asyncio.create_task(every(0, work.run))
    await work.has_run(2)
    await stop(task)
    (record,) = caplog.records
    assert record.getMessage().startswith("Work.run failed, the database is unavailable: no server")
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)


@pytest.mark.parametrize("failure", [LookupError("unexpected"), DuplicateKeyError("unexpected")])
async def test_any_other_error_is_logged_with_its_traceback_and_work_continues(
    caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    work = Work(failure, None)
    task = asyncio.create_task(every(0, work.run))
    await work.has_run(3)
    await stop(task)
    (record,) = caplog.records
    assert record.getMessage() == "Work.run failed"
    assert record.exc_info is not None
    assert record.exc_info[1] is failure


async def test_cancelling_the_task_stops_running_work() -> None:
    started = asyncio.Event()

    async def never_ends() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(every(0, never_ends))
    await started.wait()
    await stop(task)
