"""The concurrency limiter: permits, the queue and its timeout."""

import asyncio
import random

import pytest

from kit.limiter import Limiter, Permit, share_of
from kit.networks import Networks
from tests.support.polling import until


def make_limiter(limit: int = 1, queue_size: int = 10, timeout: float = 60.0) -> Limiter:
    return Limiter(limit, queue_size, timeout)


async def queue_requests(limiter: Limiter, *names: str) -> dict[str, asyncio.Task[Permit | None]]:
    """Let a request wait in the queue for each name, in this order."""
    tasks = {}
    for position, name in enumerate(names):
        tasks[name] = asyncio.create_task(limiter.acquire())
        await _until_waiting(limiter, position + 1)
    return tasks


async def _until_waiting(limiter: Limiter, count: int) -> None:
    async def waiting_requests() -> int:
        return limiter.waiting

    await until(waiting_requests, lambda waiting: waiting == count, seconds=30)


def served(tasks: dict[str, asyncio.Task[Permit | None]]) -> list[str]:
    return [name for name, task in tasks.items() if task.done() and task.result()]


async def acquire(limiter: Limiter) -> Permit:
    permit = await limiter.acquire()
    assert permit is not None
    return permit


async def wait_for_tasks(*tasks: asyncio.Task[Permit | None]) -> None:
    async with asyncio.timeout(30):
        await asyncio.wait(tasks)


async def test_requests_are_served_up_to_the_limit() -> None:
    limiter = make_limiter(limit=3)
    assert all([await limiter.acquire() for _ in range(3)])
    await queue_requests(limiter, "a fourth")
    assert (limiter.in_use, limiter.waiting) == (3, 1)


async def test_the_newest_request_is_served_first() -> None:
    limiter = make_limiter()
    permit = await acquire(limiter)
    tasks = await queue_requests(limiter, "first", "second", "last")
    permit.release()
    await wait_for_tasks(tasks["last"])
    assert served(tasks) == ["last"]
    assert limiter.in_use == 1


async def test_a_full_queue_rejects_its_oldest_request() -> None:
    limiter = make_limiter(queue_size=2)
    await acquire(limiter)
    tasks = await queue_requests(limiter, "first", "second")
    third = asyncio.create_task(limiter.acquire())
    assert await tasks["first"] is None
    assert not tasks["second"].done()
    assert not third.done()
    assert limiter.waiting == 2


def networks(wide: int, narrow: int = 1) -> Networks:
    return Networks(f"8.8.{wide}.{narrow}/32", f"8.8.{wide}.0/24")


async def queue_from(limiter: Limiter, *clients: Networks | None) -> list[asyncio.Task[Permit | None]]:
    """Let a request wait in the queue for each of these clients, in this order."""
    tasks = []
    for client in clients:
        tasks.append(asyncio.create_task(limiter.acquire(client)))
        await _until_waiting(limiter, len(tasks))
    return tasks


async def test_a_network_that_fills_the_queue_does_not_delay_another_network() -> None:
    limiter = make_limiter()
    permit = await acquire(limiter)
    *flood, other, last = await queue_from(limiter, *[networks(1)] * 5, networks(2), networks(1))
    permit.release()
    await wait_for_tasks(other)
    assert other.result()
    assert not any(task.done() for task in (*flood, last))


async def test_control_without_networks_the_newest_request_is_served_first() -> None:
    limiter = make_limiter()
    permit = await acquire(limiter)
    *_, other, last = await queue_from(limiter, *[None] * 7)
    permit.release()
    await wait_for_tasks(last)
    assert not other.done()


@pytest.mark.parametrize("other", [networks(1, 9), networks(2), None], ids=["narrow", "wide", "exempt"])
async def test_a_full_queue_rejects_the_oldest_request_of_the_busiest_network(other: Networks | None) -> None:
    limiter = make_limiter(queue_size=4)
    await acquire(limiter)
    waiting = await queue_from(limiter, other, *[networks(1)] * 3)
    newest = asyncio.create_task(limiter.acquire(networks(1)))
    assert await waiting[1] is None
    assert not any(task.done() for task in (waiting[0], *waiting[2:], newest))


async def test_the_network_that_holds_fewer_permits_is_served_first() -> None:
    limiter = make_limiter(limit=2)
    held = [await limiter.acquire(networks(1, narrow)) for narrow in (1, 2)]
    first, second = await queue_from(limiter, networks(2), networks(1, 3))
    permit = held[0]
    assert permit
    permit.release()
    await wait_for_tasks(first)
    assert not second.done()


async def test_a_network_never_holds_more_than_its_share() -> None:
    limiter = Limiter(4, queue_size=10, timeout=60.0, share=3)
    held = [await limiter.acquire(networks(1, narrow)) for narrow in range(3)]
    (fourth,) = await queue_from(limiter, networks(1, 9))
    assert await limiter.acquire(networks(2))
    assert limiter.in_use == 4
    permit = held[0]
    assert permit
    permit.release()
    await wait_for_tasks(fourth)
    assert fourth.result()


async def test_clients_without_networks_have_no_share() -> None:
    limiter = Limiter(4, queue_size=0, timeout=60.0, share=1)
    assert all([await limiter.acquire() for _ in range(4)])


def test_a_share_of_a_few_permits_is_at_least_one() -> None:
    assert [share_of(limit, 75) for limit in (1, 2, 4, 16)] == [1, 1, 3, 12]
    assert share_of(16, 0) == 0


async def test_without_a_queue_a_request_over_the_limit_is_rejected_at_once() -> None:
    limiter = make_limiter(queue_size=0)
    await acquire(limiter)
    assert await limiter.acquire() is None


async def test_a_request_that_waits_too_long_is_rejected() -> None:
    limiter = make_limiter(timeout=0.01)
    await acquire(limiter)
    async with asyncio.timeout(30):
        assert await limiter.acquire() is None
    assert limiter.waiting == 0


async def test_releasing_a_permit_twice_releases_only_one_permit() -> None:
    limiter = make_limiter(limit=2)
    first, _ = await acquire(limiter), await acquire(limiter)
    first.release()
    first.release()
    assert limiter.in_use == 1


async def test_a_cancelled_request_leaves_the_queue() -> None:
    limiter = make_limiter()
    permit = await acquire(limiter)
    tasks = await queue_requests(limiter, "waiting", "cancelled")
    tasks["cancelled"].cancel()
    await wait_for_tasks(tasks["cancelled"])
    permit.release()
    await wait_for_tasks(tasks["waiting"])
    assert served({"waiting": tasks["waiting"]}) == ["waiting"]


async def test_a_permit_passed_to_a_request_that_is_being_cancelled_goes_to_the_next() -> None:
    limiter = make_limiter()
    permit = await acquire(limiter)
    tasks = await queue_requests(limiter, "waiting", "cancelled")
    permit.release()
    tasks["cancelled"].cancel()  # the task has received the permit but has not run yet
    await wait_for_tasks(*tasks.values())
    assert tasks["cancelled"].cancelled()
    assert limiter.in_use == 1
    assert served({"waiting": tasks["waiting"]}) == ["waiting"]


async def test_all_permits_are_released_when_requests_fail_time_out_or_are_cancelled() -> None:
    rng = random.Random(7)  # noqa: S311 - repeatable
    limiter = Limiter(3, queue_size=4, timeout=0.002, share=2)
    maximum = 0

    async def send_request() -> None:
        nonlocal maximum
        client = rng.choice((None, networks(1), networks(1, 2), networks(2)))
        if (permit := await limiter.acquire(client)) is None:
            return
        try:
            maximum = max(maximum, limiter.in_use)
            await asyncio.sleep(rng.choice((0, 0.001)))
            if rng.random() < 0.2:
                raise RuntimeError
        finally:
            permit.release()

    requests = set()
    for _ in range(2_000):
        requests.add(asyncio.create_task(send_request()))
        if rng.random() < 0.5:
            await asyncio.sleep(0)
        if rng.random() < 0.3:
            rng.choice([*requests]).cancel()
    await asyncio.gather(*requests, return_exceptions=True)
    assert maximum == 3
    assert (limiter.in_use, limiter.waiting) == (0, 0)
    assert [await limiter.acquire(networks(wide)) is not None for wide in (1, 1, 2)] == [True] * 3
