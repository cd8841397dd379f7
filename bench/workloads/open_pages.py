"""How many requests the reconcilers of several replicas send to Stripe within an hour.

The claims are real: the reconcilers of all replicas share a database of their own. The time is simulated: in
each interval, all reconcilers run at the same moment. The requests are counted instead of sent, and nobody
pays.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import services.payments.reconciler
import services.payments.settlement
from bench.figures import Figure
from bench.suite import Suite, Workload
from contracts.wire import now
from kit.mongo import database
from sandbox.testing import mongo_server
from services.payments import attempts
from services.payments.documents import OrderReplica, Payment
from services.payments.reconciler import Reconciler
from services.payments.rules import Outcome, PaymentState
from services.payments.schedule import Schedule
from services.payments.settlement import Settlement
from services.payments.stripe_gateway.client import Gateway
from settings import Settings

REPLICAS = (1, 3, 10)
HOUR = timedelta(hours=1)
INTERVAL = timedelta(seconds=30)
"""The default of RECONCILE_SECONDS."""

WINDOWS = {
    "pages that stay open": timedelta(hours=4),
    "pages of orders with 15 minutes to pay": timedelta(minutes=15),
}
"""The time to pay, by name. A page whose order has ended is replaced by a new one."""


class CountingGateway(Gateway):
    """Counts reads instead of sending them. Every page is still open."""

    requests = 0

    async def retrieve(self, payment: PaymentState) -> Outcome:
        self.requests += 1
        return Outcome(
            "pending",
            None,
            payment.amount,
            payment.currency,
            session_id=payment.session_id,
            page_url=payment.page_url,
        )


class Clock:
    def __init__(self) -> None:
        self.time = now()

    def now(self) -> datetime:
        return self.time


@asynccontextmanager
async def gateways(number: int, folder: Path) -> AsyncIterator[list[CountingGateway]]:
    made = [CountingGateway(Settings(_env_file=None, data_dir=folder)) for _ in range(number)]
    try:
        yield made
    finally:
        for gateway in made:
            await gateway.close()


async def open_page(number: int, window: timedelta, clock: Clock, schedule: Schedule) -> None:
    """Store a page that has just been opened, and its order."""
    order = OrderReplica(
        version=0,
        status="awaiting:payment",
        user_id="buyer",
        price_minor=1999,
        ticket_title="Hamlet",
        expires_at=clock.time + window,
    )
    payment = Payment(
        order_id=order.key,
        user_id="buyer",
        amount=1999,
        currency="usd",
        token=None,
        session_id=f"cs_{number}",
        page_url="https://checkout.example",
        page_expires_at=attempts.page_expires_at(order, clock.time),
        attempt_began_at=clock.time,
    )
    look_at = schedule.next_look(order, payment, clock.time, began_at=clock.time)
    await OrderReplica.get_pymongo_collection().insert_one(order.model_dump(by_alias=True))
    await payment.model_copy(update={"next_look_at": look_at}).add(private=True)


async def requests_within(
    duration: timedelta, *, pages: int, replicas: int, window: timedelta, folder: Path
) -> int:
    """The requests of all replicas within this time, while there are always this many open pages."""
    clock, schedule = Clock(), Schedule(INTERVAL)
    orders, payments = OrderReplica.get_pymongo_collection(), Payment.get_pymongo_collection()
    await orders.delete_many({})
    await payments.delete_many({})
    for number in range(pages):
        await open_page(number, window, clock, schedule)
    async with gateways(replicas, folder) as made:
        reconcilers = [Reconciler(Settlement(gateway, schedule)) for gateway in made]
        with (
            patch.object(services.payments.reconciler, "now", clock.now),
            patch.object(services.payments.settlement, "now", clock.now),
        ):
            for _ in range(int(duration / INTERVAL)):
                clock.time += INTERVAL
                ended = await orders.find({"expires_at": {"$lte": clock.time}}, {"_id": 1}).to_list()
                for order in ended:  # the event of the cancelled order has closed its page
                    await orders.delete_one(order)
                    await payments.delete_one({"order_id": str(order["_id"])})
                    await open_page(0, window, clock, schedule)
                await asyncio.gather(*(reconciler.reconcile() for reconciler in reconcilers))
        return sum(gateway.requests for gateway in made)


async def measure(suite: Suite) -> list[Figure]:
    figures = []
    pages = suite.effort.pages
    async with (
        mongo_server(suite.folder / "pages") as url,
        database(url, "payments", [Payment, OrderReplica]),
    ):
        for name, window in WINDOWS.items():
            for replicas in REPLICAS:
                simulated = min(window, HOUR)
                sent = await requests_within(
                    simulated, pages=pages, replicas=replicas, window=window, folder=suite.folder
                )
                suite.say(f"  {name}, {replicas} replicas: {sent:,} requests in {simulated}")
                figures.append(
                    Figure(
                        workload=f"requests to Stripe for {pages:,} {name}",
                        name=f"{replicas} replicas" if replicas > 1 else "1 replica",
                        unit="per hour",
                        runs=[sent * (HOUR / simulated)],
                        baseline="one replica that reads every page every 30 s",
                        baseline_runs=[pages * (HOUR / INTERVAL)],
                    )
                )
    return figures


OPEN_PAGES = {
    "open-pages": Workload(
        "requests of 1, 3 and 10 replicas to Stripe for open Checkout pages", measure, needs_market=False
    )
}
