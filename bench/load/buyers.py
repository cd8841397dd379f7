"""Buyers who reserve, pay, and wait for the event that their order is complete, which costs no request."""

import asyncio
import json
import time
from collections import defaultdict

import nats
from nats.aio.msg import Msg

from bench.load.http import Client, Response, Server
from bench.load.plans import Bought, Buyers

RETRY_SECONDS = 0.25
"""After a refusal. Buyers are less patient than Retry-After asks."""
TIMEOUT = 30.0
REFUSED = 503


class PurchaseFailed(Exception):
    pass


class Market:
    def __init__(self, plan: Buyers) -> None:
        self._plan = plan
        self._client = Client(Server.of(plan.url))
        self._events: defaultdict[tuple[str, str], asyncio.Event] = defaultdict(asyncio.Event)
        """Set when an order has a status, or the payment of an order has."""
        self._left = list(reversed(plan.tickets))
        self._found = Bought(seconds=0, reserve=[], pay=[], complete=[], refused=0, failed=[])

    async def prepare(self) -> None:
        """Subscribe to the events of orders and payments."""
        self._bus = await nats.connect(self._plan.nats)
        await self._bus.subscribe("live.order.*", cb=self._learn)
        await self._bus.subscribe("live.payment.*", cb=self._learn)
        await self._bus.flush()

    async def _learn(self, message: Msg) -> None:
        event = json.loads(message.data)
        self._events[event.get("orderId", event["id"]), event["status"]].set()

    async def run(self) -> Bought:
        """Buy all tickets, or until the time is over."""
        began = time.monotonic()
        await asyncio.gather(
            *(self._buy_all(cookie, began + self._plan.seconds) for cookie in self._plan.cookies)
        )
        self._found.seconds = time.monotonic() - began
        return self._found

    async def _buy_all(self, cookie: str, deadline: float) -> None:
        while self._left and time.monotonic() < deadline:
            try:
                await self._buy(self._left.pop(), cookie)
            except (PurchaseFailed, TimeoutError) as reason:
                self._found.failed.append(str(reason) or "a purchase took too long")

    async def _buy(self, ticket: str, cookie: str) -> None:
        began = time.monotonic()
        order = json.loads((await self._post("/api/orders", {"ticketId": ticket}, cookie)).body)["id"]
        reserved = time.monotonic()
        await self._post("/api/payments", {"orderId": order, "token": "tok_visa"}, cookie)
        paid = time.monotonic()
        await self._until(order, "complete")
        complete = time.monotonic()
        self._found.reserve.append((reserved - began) * 1000)
        self._found.pay.append((paid - reserved) * 1000)
        self._found.complete.append((complete - began) * 1000)
        if self._plan.pause:
            await self._until(order, "captured")
            await asyncio.sleep(self._plan.pause)

    async def _post(self, path: str, body: dict[str, str], cookie: str) -> Response:
        request = self._client.server.post("POST", path, json.dumps(body).encode(), Cookie=cookie)
        while (response := await self._client.request(request)).status == REFUSED:
            self._found.refused += 1
            await asyncio.sleep(RETRY_SECONDS)
        if response.status != 201:
            raise PurchaseFailed(f"{path} answered {response.status}: {response.body.decode()[:200]}")
        return response

    async def _until(self, order: str, status: str) -> None:
        async with asyncio.timeout(TIMEOUT):
            await self._events[order, status].wait()

    async def close(self) -> None:
        self._client.close()
        await self._bus.close()
