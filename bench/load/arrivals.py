"""Open-loop load: a slow response doesn't delay the requests after it, and counts with its whole delay."""

import asyncio
import time
from itertools import cycle

from bench.load.http import Client, Server
from bench.load.plans import Arrivals, Arrived


class Visitors:
    def __init__(self, plan: Arrivals) -> None:
        self._plan = plan
        self._client = Client(Server.of(plan.url))
        headers = {"Cookie": plan.cookie} if plan.cookie else {}
        self._requests = [self._client.server.head("GET", path, **headers) for path in plan.paths]
        self._found = Arrived(milliseconds=[], refused=0, broken=0)

    async def prepare(self) -> None:
        """Open a connection."""
        await self._client.request(self._requests[0])

    async def run(self) -> Arrived:
        """Send the requests."""
        began = time.monotonic()
        requests = cycle(self._requests)
        async with asyncio.TaskGroup() as visits:
            for number in range(round(self._plan.rate * self._plan.seconds)):
                due = began + number / self._plan.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                visits.create_task(self._visit(next(requests), due))
        return self._found

    async def _visit(self, request: bytes, due: float) -> None:
        due = min(due, time.monotonic())  # timers may be up to a millisecond early
        response = await self._client.request(request)
        if response.status == 0:
            self._found.broken += 1
        elif response.status >= 400:
            self._found.refused += 1
        else:
            self._found.milliseconds.append((time.monotonic() - due) * 1000)

    async def close(self) -> None:
        self._client.close()
