"""One service process: HTTP API, bus, health and docs in one ASGI app."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from faststream.nats.prometheus import NatsPrometheusMiddleware
from litestar import Litestar
from litestar.plugins.prometheus import PrometheusConfig, PrometheusController
from litestar.plugins.pydantic import PydanticPlugin
from litestar.types import ControllerRouterHandler
from prometheus_client import REGISTRY

from services.kit.aggregates import Aggregate
from services.kit.http import (
    EXCEPTION_HANDLERS,
    MAX_BODY_BYTES,
    AllMethodsAllowed,
    ApiRequest,
    DocumentedProblems,
    tracing_middleware,
)
from services.kit.logs import log_to_stdout
from services.kit.mongo import Documents, database
from services.kit.outbox import Outbox
from services.kit.tokens import EndedSessions, Sessions, fetch_from
from settings import ServiceName, Settings
from streams import docs, health
from streams.bus import Bus
from streams.delivery import Listener
from streams.relay import Relay

log = logging.getLogger(__name__)


class Metrics(PrometheusController):
    """/metrics; for operators, not part of the API."""

    include_in_schema = False


Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]
"""Something that starts with the process and stops with it. Finds the settings in `app.state`."""


@dataclass(frozen=True)
class Service:
    """What differs between the processes."""

    name: ServiceName
    summary: str
    listener: Listener
    api: Sequence[ControllerRouterHandler] = ()
    documents: Documents = ()
    lifespan: Lifespan | None = None
    """Entered once the database is open."""


def service_app(service: Service, settings: Settings) -> Litestar:
    """The process of a service. Nothing is connected before it starts."""
    log_to_stdout(settings.log_level)
    title = f"Stagedoor {service.name}"
    ended = EndedSessions(timedelta(seconds=settings.session_lifetime_seconds))
    bus = Bus(settings, service.name, ended)
    broker = bus.broker
    broker.add_middleware(NatsPrometheusMiddleware(registry=REGISTRY, app_name=service.name))
    docs.declare_publishers(broker, service.name)
    broker.include_router(service.listener)

    lifespan = [_storage(service, settings), service.lifespan, _delivery(service)]
    app = Litestar(
        route_handlers=[
            *service.api,
            health.live,
            health.ready,
            *docs.asyncapi_routes(broker, title, service.summary),
            Metrics,
        ],
        request_class=ApiRequest,
        exception_handlers=EXCEPTION_HANDLERS,
        request_max_body_size=MAX_BODY_BYTES,
        middleware=[tracing_middleware, PrometheusConfig(app_name=service.name, group_path=True).middleware],
        plugins=[PydanticPlugin(prefer_alias=True), DocumentedProblems(), AllMethodsAllowed()],
        openapi_config=docs.openapi(title, service.summary),
        logging_config=None,
        lifespan=[part for part in lifespan if part is not None],
    )
    app.state.settings = settings
    app.state.bus = bus
    app.state.database = None
    app.state.sessions = Sessions(fetch_from(f"{settings.url_of('auth')}/.well-known/jwks.json"), ended)
    return app


def _storage(service: Service, settings: Settings) -> Lifespan:
    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        if not service.documents:
            yield
            return
        async with database(settings.database, service.name, service.documents) as bound:
            app.state.database = bound
            yield

    return lifespan


def _delivery(service: Service) -> Lifespan:
    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        settings: Settings = app.state.settings
        bus: Bus = app.state.bus
        kinds = [kind for kind in service.documents if issubclass(kind, Aggregate)]
        relay = Relay(
            bus.broker, Outbox(kinds), source=service.name, sweep_seconds=settings.outbox_sweep_seconds
        )

        async def deliver() -> None:
            await bus.start()
            await asyncio.gather(relay.run(), bus.keep_up())

        async with running(deliver()):
            yield
        await bus.stop()

    return lifespan


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Have something run in the background until the block ends.

    Such work handles what it can expect. If it ends all the same, the process ends too: half a
    process that answers requests and delivers nothing would look healthy.
    """

    def end_process(task: asyncio.Task[None]) -> None:
        if task.cancelled() and task.cancelling():
            return  # somebody meant it; else it was a library that cancelled what the work waited for
        error = None if task.cancelled() else task.exception()
        log.critical("background work ended, so this process does", exc_info=error)
        signal.raise_signal(signal.SIGTERM)

    task = asyncio.create_task(work)
    task.add_done_callback(end_process)
    try:
        yield
    finally:
        task.remove_done_callback(end_process)
        # asyncio.wait_for of Python 3.11, which pymongo uses, loses a cancellation that comes together
        # with its result: ask until it's done.
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=1)
