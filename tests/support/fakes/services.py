"""The fake services that web needs, on real sockets."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from contracts.api import POSITION, VALID_UNTIL
from sandbox.processes import Process
from sandbox.processes import web as web_process
from sandbox.testing import free_port
from settings import ServiceName, Settings
from tests.support.fakes.auth import Auth
from tests.support.fakes.http import answer
from tests.support.fakes.market import Market, Refusal
from tests.support.fakes.orders import Orders
from tests.support.fakes.payments import Payments
from tests.support.fakes.payouts import Payouts
from tests.support.fakes.tickets import Tickets

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Services:
    """Each service on its own port. Tests stop and start services by name."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.ports = {name: free_port() for name in _SERVICES}
        self._runners: dict[ServiceName, web.AppRunner] = {}
        self._changed: set[ServiceName] = set()
        """The services that a test has stopped, or given other routes."""

    def settings(self, **others: Any) -> Settings:
        urls = {f"{name}_url": f"http://localhost:{port}" for name, port in self.ports.items()}
        return Settings.model_validate({**urls, **others})

    async def start(self, name: ServiceName, routes: list[web.RouteDef] | None = None) -> None:
        """Start a service, with only these routes if they are given."""
        app = web.Application(middlewares=[self._problems], client_max_size=20_000_000)
        app.add_routes(routes or _SERVICES[name](self.market).routes())
        runner = self._runners[name] = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.ports[name]).start()

    async def stop(self, name: ServiceName) -> None:
        self._changed.add(name)
        await self._runners.pop(name).cleanup()

    async def replace(self, name: ServiceName, routes: list[web.RouteDef]) -> None:
        await self.stop(name)
        await self.start(name, routes)

    async def restore(self) -> None:
        """Let every service run with its usual routes again."""
        for name in list(self._changed):
            if name in self._runners:
                await self.stop(name)
            await self.start(name)
        self._changed.clear()

    async def stop_all(self) -> None:
        for name in list(self._runners):
            await self.stop(name)

    @web.middleware
    async def _problems(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.market.seen.append(request)
        try:
            response = await handler(request)
            if self.market.position is not None:
                response.headers[POSITION] = str(self.market.position)
            if self.market.valid_until is not None:
                response.headers[VALID_UNTIL] = self.market.valid_until.isoformat()
            return response
        except Refusal as refusal:
            refused = answer(refusal.problem, refusal.problem.status)
            if refusal.retry_after is not None:
                refused.headers["Retry-After"] = str(refusal.retry_after)
            return refused


_SERVICES: dict[ServiceName, type[Auth] | type[Tickets] | type[Orders] | type[Payments] | type[Payouts]] = {
    "auth": Auth,
    "tickets": Tickets,
    "orders": Orders,
    "payments": Payments,
    "payouts": Payouts,
}


@asynccontextmanager
async def services_running(market: Market) -> AsyncIterator[Services]:
    services = Services(market)
    for name in _SERVICES:
        await services.start(name)
    try:
        yield services
    finally:
        await services.stop_all()


def web_of(services: Services, bus: str, folder: Path) -> Process:
    """The web process as in production, with the fake services."""
    settings = services.settings(data_dir=folder, web_port=free_port())
    process = web_process(settings)
    urls = {f"{name.upper()}_URL": f"http://127.0.0.1:{port}" for name, port in services.ports.items()}
    environment = {**process.environment, **urls, "NATS_URL": bus, "DATA_DIR": str(folder)}
    return Process(process.name, process.command, process.ready, process.port, environment=environment)
