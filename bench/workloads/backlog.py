"""Whether events that wait in outboxes delay the event of a new order.

A relay of orders runs in this process, with a database and a NATS server of its own. New orders are written
at a constant rate, first without a backlog, then while the relay's sweep publishes the backlog. A latency
counts from the beginning of the write until a subscriber has the event.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import count, islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import nats
from bson import ObjectId
from faststream.nats import NatsBroker
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from bench.failure import Failed
from bench.figures import Figure, quantile
from bench.suite import Suite, Workload
from contracts.wire import now
from kit.background import running
from kit.lease import Lease
from kit.mongo import Database, database
from kit.nats import EVENTS
from kit.outbox import HAS_OUTBOX_MESSAGES, Outbox
from ops.migrate import create_indexes
from ops.provision import provision
from sandbox.testing import mongo_server, nats_server
from services.orders.documents import Order
from streams.app import SWEEP_LEASE
from streams.orders import service
from streams.publishers import Publishers
from streams.relay import Relay
from tests.support.polling import until

RATE = 10.0
"""New orders per second."""
LONGER = 10
"""Multiple of `Effort.seconds` that one run takes, so that it has enough orders."""
SWEEP_SECONDS = 5.0
ORDERS_AT_ONCE = 1_000
AGE = timedelta(hours=1)
"""The time during which the events of the backlog were written, until now."""

_hold = count(1)


def _new_order() -> Order:
    """An order of another ticket and buyer than any other."""
    return Order(
        user_id=str(ObjectId()),
        ticket_id=str(ObjectId()),
        ticket_version=0,
        ticket_title="Low Roar",
        price_minor=1999,
        hold=next(_hold),
        code=uuid4().hex,
        expires_at=now() + timedelta(minutes=15),
        slot=1,
        held=False,
    )


def _unpublished(written_at: datetime) -> dict[str, Any]:
    """An ended order as it is stored, whose event has been waiting in the outbox since then."""
    order = _new_order().model_copy(update={"active": False, "live": False, "code": None})
    event = order.event()
    entry = {
        "id": str(uuid4()),
        "subject": event.subject,
        "about": event.about,
        "time": written_at,
        "traceparent": f"00-{uuid4().hex}-{uuid4().hex[:16]}-01",
        "body": event.to_json(),
    }
    return {**order.model_dump(by_alias=True), "outbox": [entry]}


class Arrivals:
    """When the events of orders reach a subscriber."""

    def __init__(self) -> None:
        self._arrived: dict[str, float] = {}
        self._expected: dict[str, asyncio.Event] = {}

    async def receive(self, message: Msg) -> None:
        key = (message.headers or {}).get("ce-subject", "")
        if key in self._expected:
            self._arrived[key] = time.perf_counter()
            self._expected[key].set()

    async def write(self, order: Order) -> float:
        """Write an order. Return the milliseconds until its event has arrived."""
        arrived = self._expected[order.key] = asyncio.Event()
        began = time.perf_counter()
        await order.add()
        await arrived.wait()
        del self._expected[order.key]
        return (self._arrived.pop(order.key) - began) * 1000


async def _run(arrivals: Arrivals, seconds: float) -> list[float]:
    """The latencies of orders that are written at a constant rate."""
    writes = []
    for _ in range(round(seconds * RATE)):
        writes.append(asyncio.create_task(arrivals.write(_new_order())))
        await asyncio.sleep(1 / RATE)
    return await asyncio.gather(*writes)


async def _add_backlog(size: int) -> None:
    began = now() - AGE
    documents = (_unpublished(began + AGE * number / size) for number in range(size))
    while batch := list(islice(documents, ORDERS_AT_ONCE)):
        await Order.get_pymongo_collection().insert_many(batch, ordered=False)


@asynccontextmanager
async def _servers(folder: Path) -> AsyncIterator[tuple[Database, NatsBroker, JetStreamContext, Arrivals]]:
    arrivals = Arrivals()
    async with (
        mongo_server(folder / "mongo") as url,
        nats_server(folder / "nats") as nats_url,
        database(url, "orders", [Order]) as orders,
        NatsBroker(nats_url, logger=None) as broker,
    ):
        connection = await nats.connect(nats_url)
        await provision(connection.jetstream())
        await create_indexes(orders, [Order])
        await connection.subscribe("live.order.created", cb=arrivals.receive)
        try:
            yield orders, broker, connection.jetstream(), arrivals
        finally:
            await connection.close()


async def measure(suite: Suite) -> list[Figure]:
    size, seconds = suite.effort.backlog, LONGER * suite.effort.seconds
    async with _servers(suite.folder / "backlog") as (orders, broker, js, arrivals):
        relay = Relay(
            Publishers(broker, "orders", service.publishes),
            Outbox([Order]),
            sweep_seconds=SWEEP_SECONDS,
            lease=Lease(orders, "outbox", SWEEP_LEASE),
        )
        async with running(relay.run()):
            await _run(arrivals, 1)
            without = [await _run(arrivals, seconds) for _ in range(suite.effort.runs)]
        began = time.monotonic()
        await _add_backlog(size)
        suite.say(f"  {size:,} unpublished orders written in {time.monotonic() - began:.0f} s")
        before = await _published(js)
        began = time.monotonic()
        async with running(relay.run()):
            await until(lambda: _published(js), lambda published: published > before, 600)
            suite.say(f"  the sweep published the first of them after {time.monotonic() - began:.1f} s")
            behind = [await _run(arrivals, seconds) for _ in range(suite.effort.runs)]
            swept = await _published(js) - before - sum(map(len, behind))
            taken = time.monotonic() - began
        if not await Order.get_pymongo_collection().find_one(HAS_OUTBOX_MESSAGES):
            raise Failed("the backlog was published before the last run ended; use a larger one")
    suite.say(f"  the sweep published {swept:,} of them in {taken:.0f} s")
    return list(_figures(size, without, behind, swept / taken))


async def _published(js: JetStreamContext) -> int:
    return (await js.stream_info(EVENTS)).state.last_seq


def _figures(
    size: int, without: Sequence[Sequence[float]], behind: Sequence[Sequence[float]], rate: float
) -> Iterator[Figure]:
    workload = f"event of a new order behind {size:,} unpublished"
    for share in (0.5, 0.99):
        yield Figure(
            workload=workload,
            name=f"p{share * 100:.0f}",
            unit="ms",
            runs=[quantile(run, share) for run in behind],
            baseline="without a backlog",
            baseline_runs=[quantile(run, share) for run in without],
        )
    yield Figure(workload=workload, name="sweep", unit="/s", runs=[rate])


BACKLOG = {
    "backlog": Workload("a new order's event, without and behind a backlog", measure, needs_market=False)
}
