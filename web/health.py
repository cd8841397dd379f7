"""The health checks and metrics of a web process."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from litestar import Response, get
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.handlers import BaseRouteHandler
from litestar.plugins.prometheus import PrometheusController

from kit.http.metrics import READY
from kit.networks import networks_of
from web.request import WebRequest

MEASURE_SECONDS = 15.0


async def measure(bus_is_reachable: Callable[[], Awaitable[bool]]) -> None:
    """Measure now and then whether NATS responds. Never ends."""
    while True:
        READY.labels("nats").set(await bus_is_reachable())
        await asyncio.sleep(MEASURE_SECONDS)


async def local_only(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Answer clients on the Internet as if the path didn't exist, because web's port is public."""
    if networks_of(cast("WebRequest", connection).client_address) is not None:
        raise NotFoundException


class Metrics(PrometheusController):
    path = "/metrics"
    include_in_schema = False
    guards = (local_only,)


@get("/health/live")
async def is_live() -> dict[str, str]:
    return {"status": "live"}


@get("/health/ready")
async def is_ready(state: State) -> Response[dict[str, object]]:
    """503 while NATS is unavailable. The services aren't checked, because pages work without some of them."""
    missing = [] if await state.bus_is_reachable() else ["nats"]
    status = "not ready" if missing else "ready"
    return Response({"status": status, "missing": missing}, status_code=503 if missing else 200)
