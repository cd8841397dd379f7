"""A real web process under overload, and with slow clients.

`just overload` does the same with a whole marketplace, and measures it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from contracts.identity import SESSION_COOKIE
from sandbox.processes import Process
from sandbox.testing import FAST_STOP, nats_server, running
from tests.resilience.overload.slow import BEHAVIORS, slow_clients
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services, services_running, web_of
from web.rendering.assets import ASSETS

MAX_REQUESTS = 2
FLOOD = 40
SLOW = 200
LARGE = ASSETS["htmx.js"].address


@dataclass
class Site:
    """A web process with fake services."""

    http: httpx.AsyncClient
    market: Market
    services: Services

    @property
    def web(self) -> str:
        return str(self.http.base_url)

    async def buys(self) -> None:
        """Reserve a ticket and pay for it."""
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
async def site(
    folder: Path, max_requests: int = MAX_REQUESTS, connections: int | None = None
) -> AsyncIterator[Site]:
    market = Market()
    async with nats_server(folder / "nats") as bus, services_running(market) as services:
        process = web_of(services, bus, folder)
        process = replace(
            process,
            environment={**process.environment, "WEB_MAX_REQUESTS": str(max_requests)},
            ready_within=60,
        )
        if connections is not None:
            process = _with_fewer_connections(process, connections)
        address = f"http://127.0.0.1:{process.port}"
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with (
            running(process, folder / "web.log", FAST_STOP),
            httpx.AsyncClient(base_url=address, timeout=60, limits=limits) as http,
        ):
            yield Site(http, market, services)


def _with_fewer_connections(process: Process, connections: int) -> Process:
    return replace(process, environment={**process.environment, "GRANIAN_BACKPRESSURE": str(connections)})


@dataclass
class Stuck:
    """A tickets service that receives requests and doesn't answer until it is released."""

    received: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def respond(self, _: web.Request) -> web.Response:
        self.received += 1
        await self.released.wait()
        return web.json_response([])

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/tickets", self.respond)]


async def test_a_flood_of_requests_is_refused_early_and_the_site_recovers(tmp_path: Path) -> None:
    async with site(tmp_path) as web_site:
        stuck = Stuck()
        await web_site.services.replace("tickets", stuck.routes())
        # Different searches, because requests for the same response wait for one rendering.
        searches = [f"/api/tickets?q={number}" for number in range(FLOOD)]
        flood = [asyncio.create_task(web_site.http.get(search)) for search in searches]
        answered = asyncio.as_completed(flood)
        refused = [await next(answered) for _ in range(FLOOD - MAX_REQUESTS)]
        assert {answer.status_code for answer in refused} == {503}
        assert all(answer.headers["retry-after"] for answer in refused)
        assert stuck.received == MAX_REQUESTS
        for path in ("/health/live", "/health/ready", "/metrics", LARGE):
            assert (await web_site.http.get(path)).status_code == 200
        await web_site.buys()  # purchases have their own limiter
        stuck.released.set()
        assert [(await answer).status_code for answer in answered] == [200] * MAX_REQUESTS
        again = await asyncio.gather(*(web_site.http.get("/api/tickets") for _ in range(MAX_REQUESTS)))
        assert [answer.status_code for answer in again] == [200] * MAX_REQUESTS


async def test_slow_clients_do_not_prevent_others_from_buying(tmp_path: Path) -> None:
    async with site(tmp_path) as web_site, slow_clients(web_site.web, SLOW, LARGE) as slow:
        for _ in range(3):
            await web_site.buys()
        assert (await web_site.http.get("/health/ready")).status_code == 200
        assert slow.most > SLOW * 0.9


async def test_with_fewer_connections_than_slow_clients_a_purchase_times_out(tmp_path: Path) -> None:
    """The control, in which slow clients occupy all connections."""
    few = SLOW // len(BEHAVIORS)
    async with site(tmp_path, connections=few) as web_site, slow_clients(web_site.web, SLOW, LARGE):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await web_site.buys()
