"""A real web process that is asked for more than it can do, and one among clients that never finish.

`just overload` does the same to a whole marketplace, and measures it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import SIGKILL

import httpx
import pytest
from aiohttp import web

from contracts.identity import SESSION_COOKIE
from sandbox.processes import Process
from sandbox.testing import nats_server, running
from tests.overload.slow import MANNERS, slow_clients
from tests.web.conftest import web_of
from tests.web.market import Market
from tests.web.served import Services, services_running
from web.assets import ASSETS

PLACES = 2
FLOOD = 40
SLOW = 200
LARGE = ASSETS["app.js"].address


@dataclass
class House:
    """A web process, and the services behind it."""

    http: httpx.AsyncClient
    market: Market
    services: Services

    @property
    def web(self) -> str:
        return str(self.http.base_url)

    async def buys(self) -> None:
        """Somebody reserves a ticket and pays for it."""
        seller, _ = self.market.user("seller@example.com")
        ticket = self.market.ticket(seller)
        _, token = self.market.user("buyer@example.com")
        cookie = {"Cookie": f"{SESSION_COOKIE}={token}"}
        order = await self.http.post("/api/orders", json={"ticketId": ticket.id}, headers=cookie)
        assert order.status_code == 201, order.text
        body = {"orderId": order.json()["id"], "token": "tok_visa"}
        paid = await self.http.post("/api/payments", json=body, headers=cookie)
        assert paid.status_code == 201, paid.text


@asynccontextmanager
async def house(folder: Path, places: int = PLACES, connections: int | None = None) -> AsyncIterator[House]:
    market = Market()
    async with nats_server(folder / "nats") as bus, services_running(market) as services:
        process = web_of(services, bus, folder)
        process = replace(
            process, environment={**process.environment, "WEB_PLACES": str(places)}, ready_within=60
        )
        if connections is not None:
            process = _with_fewer_connections(process, connections)
        address = f"http://127.0.0.1:{process.port}"
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with (
            running(process, folder / "web.log", SIGKILL),
            httpx.AsyncClient(base_url=address, timeout=60, limits=limits) as http,
        ):
            yield House(http, market, services)


def _with_fewer_connections(process: Process, connections: int) -> Process:
    command = list(process.command)
    command[command.index("--backpressure") + 1] = str(connections)
    return replace(process, command=tuple(command))


@dataclass
class Stuck:
    """Tickets, while it answers nobody."""

    asked: int = 0
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def respond(self, _: web.Request) -> web.Response:
        self.asked += 1
        await self.goes_on.wait()
        return web.json_response([])

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/tickets", self.respond)]


async def test_a_flood_is_refused_early_and_once_it_is_over_all_is_as_before(tmp_path: Path) -> None:
    async with house(tmp_path) as crowded:
        stuck = Stuck()
        await crowded.services.replace("tickets", stuck.routes())
        flood = [asyncio.create_task(crowded.http.get("/api/tickets")) for _ in range(FLOOD)]
        answered = asyncio.as_completed(flood)
        refused = [await next(answered) for _ in range(FLOOD - PLACES)]
        assert {answer.status_code for answer in refused} == {503}
        assert all(answer.headers["retry-after"] for answer in refused)
        assert stuck.asked == PLACES
        for path in ("/health/live", "/health/ready", "/metrics", LARGE):
            assert (await crowded.http.get(path)).status_code == 200
        await crowded.buys()  # which has a room of its own
        stuck.goes_on.set()
        assert [(await answer).status_code for answer in answered] == [200] * PLACES
        again = await asyncio.gather(*(crowded.http.get("/api/tickets") for _ in range(PLACES)))
        assert [answer.status_code for answer in again] == [200] * PLACES


async def test_slow_clients_do_not_keep_others_from_buying(tmp_path: Path) -> None:
    async with house(tmp_path) as besieged, slow_clients(besieged.web, SLOW, LARGE) as slow:
        for _ in range(3):
            await besieged.buys()
        assert (await besieged.http.get("/health/ready")).status_code == 200
        assert slow.most > SLOW * 0.9


async def test_with_fewer_connections_than_slow_clients_nobody_buys(tmp_path: Path) -> None:
    """The control: they do hold on to their connections."""
    few = SLOW // len(MANNERS)
    async with house(tmp_path, connections=few) as besieged, slow_clients(besieged.web, SLOW, LARGE):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await besieged.buys()
