"""Baselines of everything that isn't a page: a write to the database, and a message to a stream."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import median

import nats
from nats.js.api import StorageType, StreamConfig
from pymongo import AsyncMongoClient

from bench.market import BUYERS, Market
from bench.suite import Suite, with_cpu

TIMES = 100
SIZE = 1_000
"""Bytes of a document or a message."""
STREAM = "BENCH"

Work = Callable[[], Awaitable[None]]


@dataclass
class Baseline:
    """One value in each list for each run."""

    name: str
    milliseconds: list[float] = field(default_factory=list)
    """The median duration, one after the other."""
    cpu: list[float] = field(default_factory=list)
    """Milliseconds of CPU time of the server and the client."""
    rate: list[float] = field(default_factory=list)
    """How many per second, with as many at once as there are buyers."""


@asynccontextmanager
async def _insert(market: Market) -> AsyncIterator[Work]:
    async with AsyncMongoClient[dict[str, str]](market.stack.settings.database) as client:
        collection = client["bench"]["documents"]

        async def insert() -> None:
            await collection.insert_one({"text": "x" * SIZE})

        yield insert


@asynccontextmanager
async def _publish(market: Market) -> AsyncIterator[Work]:
    connection = await nats.connect(market.nats)
    js = connection.jetstream()
    await js.add_stream(StreamConfig(name=STREAM, subjects=["bench"], storage=StorageType.FILE))

    async def publish() -> None:
        await js.publish("bench", b"x" * SIZE)

    try:
        yield publish
    finally:
        await js.delete_stream(STREAM)
        await connection.close()


async def _measure(name: str, server: str, work: AbstractAsyncContextManager[Work], suite: Suite) -> Baseline:
    found = Baseline(name)
    async with work as once:
        await once()
        for _ in range(suite.effort.runs):
            own = time.process_time()
            taken, cpu = await with_cpu(suite.market, partial(_one_by_one, once))
            used = cpu[server] + time.process_time() - own
            found.milliseconds.append(median(taken))
            found.cpu.append(used * 1000 / TIMES)
            began = time.perf_counter()
            await asyncio.gather(*(_one_by_one(once) for _ in range(BUYERS)))
            found.rate.append(TIMES * BUYERS / (time.perf_counter() - began))
    return found


async def insert(suite: Suite) -> Baseline:
    """Insert documents with nothing but pymongo."""
    return await _measure("bare pymongo insert", "secantusd-py", _insert(suite.market), suite)


async def publish(suite: Suite) -> Baseline:
    """Publish messages with nothing but nats-py, and wait until the stream has stored each on disk."""
    return await _measure("bare nats-py publish", "nats-server", _publish(suite.market), suite)


async def _one_by_one(work: Work) -> list[float]:
    """Milliseconds of each call."""
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - began) * 1000)
    return taken
