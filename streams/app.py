"""The ASGI app of a service process: HTTP API, bus, health checks and API documentation."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

from faststream import FastStream
from litestar import Litestar, Router
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.middleware import DefineMiddleware
from litestar.plugins.prometheus import PrometheusController
from litestar.types import ControllerRouterHandler
from nats.js.errors import NotFoundError

from contracts.events import Event
from contracts.examples import API_EXAMPLES
from kit.aggregates import Aggregate
from kit.background import running
from kit.client_address import Vouching
from kit.errors import Unavailable
from kit.http import outages, problems
from kit.http.authentication import SessionAuthentication
from kit.http.body_limits import BodyLimits
from kit.http.cross_site import RejectCrossSite
from kit.http.head import HeadForGet, WithoutBodyForHead, omit_body_for_head
from kit.http.metrics import request_metrics
from kit.http.openapi import document_plugins
from kit.http.options import AllMethodsAllowed
from kit.http.request import ApiRequest
from kit.http.request_body import ReadWholeBody
from kit.http.request_head import CheckRequestHead
from kit.http.responses import ModelResponse, forbid_storing
from kit.http.security_log import RememberClient, record_refusal
from kit.http.state import ProcessState, from_state
from kit.http.tracing import ContinueTrace, exporting_spans
from kit.indexes import IndexCheck
from kit.lease import Lease
from kit.logs import log_to_stdout
from kit.mongo import CONNECTION_ERRORS, Database, Documents, Unusable, database
from kit.nats import OUTAGE
from kit.outbox import Outbox
from kit.periodic import every
from kit.session_use import SessionUse, report_to
from kit.sessions import EndedSessions
from kit.tokens import Sessions, fetch_from
from settings import ServiceName, Settings
from streams import docs, health, missed_events
from streams.asyncapi import EventSpecification
from streams.bus import Bus
from streams.delivery import Listener
from streams.metrics import MEASURE_SECONDS, expose, measure_outbox, message_metrics
from streams.missed_events import MissedEvents
from streams.publishers import Publishers
from streams.relay import Relay

log = logging.getLogger(__name__)


class Metrics(PrometheusController):
    """Serves `/metrics` for operators. The path isn't part of the documented API."""

    include_in_schema = False


class ServiceState(ProcessState):
    """Objects that the parts of a service process share."""

    bus: Bus
    publishers: Publishers
    database: Database | None
    indexes: IndexCheck | None
    preparing: health.Preparing


SWEEP_LEASE = timedelta(seconds=15)
"""How long other processes wait before they go on with a sweep whose process died."""

Lifespan = Callable[[ServiceState], AbstractAsyncContextManager[None]]
"""A context manager that is entered when the process starts and left when it stops."""


@dataclass(frozen=True)
class Service:
    """The parts of a service process that differ from service to service."""

    name: ServiceName
    summary: str
    listener: Listener
    publishes: Sequence[type[Event]] = ()
    repairs_gaps: bool = False
    """Whether to publish documents again whose events were discarded before a consumer had handled them."""
    api: Sequence[ControllerRouterHandler] = ()
    documents: Documents = ()
    lifespan: Lifespan | None = None
    """A context manager that is entered after the database is opened and before events are delivered."""
    provides: Sequence[str] = ()
    """Names of the objects that `lifespan` adds to the state, for injection into HTTP handlers."""


def service_app(service: Service, settings: Settings) -> Litestar:
    """The ASGI app of a service process. It connects to nothing before its lifespan starts."""
    log_to_stdout(settings)
    ended = EndedSessions(timedelta(seconds=settings.session_lifetime_seconds))
    bus = Bus(settings, service.listener, ended)
    bus.broker.add_middleware(message_metrics(service.name))
    expose(service.listener.consumers)
    publishers = Publishers(bus.broker, service.name, service.publishes)

    vouching = Vouching(settings)
    keys = fetch_from(f"{settings.url_of('auth')}/.well-known/jwks.json")
    state = ServiceState(
        {
            "name": service.name,
            "settings": settings,
            "sessions": Sessions(keys, ended),
            "use": SessionUse(settings.session_use_seconds),
            "vouching": vouching,
            "bus": bus,
            "publishers": publishers,
            "database": None,
            "indexes": None,
            "preparing": {},
        }
    )
    return Litestar(
        route_handlers=[
            _api(service.api),
            health.live,
            health.ready,
            *docs.asyncapi_routes(_stream(service, bus)),
            Metrics,
        ],
        dependencies={
            name: from_state(name) for name in ("settings", "bus", "database", "preparing", *service.provides)
        },
        request_class=ApiRequest,
        response_class=ModelResponse,
        exception_handlers={**problems.EXCEPTION_HANDLERS, **outages.EXCEPTION_HANDLERS},
        after_exception=[record_refusal],
        request_max_body_size=settings.max_body_bytes or None,
        middleware=[
            WithoutBodyForHead(),
            CheckRequestHead(settings),
            ReadWholeBody(),
            ContinueTrace(),
            RememberClient(vouching.of),
            request_metrics(service.name),
            RejectCrossSite(settings),
        ],
        before_send=[forbid_storing, omit_body_for_head],
        plugins=[
            *document_plugins(API_EXAMPLES),
            *(BodyLimits(settings), HeadForGet(), AllMethodsAllowed()),
        ],
        openapi_config=docs.openapi(f"Stagedoor {service.name}", service.summary, settings.session_cookie),
        logging_config=None,
        state=state,
        lifespan=[lambda _: _lifespan(service, state)],
    )


def stream_app(service: Service, settings: Settings) -> FastStream:
    """The service as a FastStream application, for FastStream's tools: `faststream docs gen`."""
    bus = Bus(settings, service.listener, EndedSessions(timedelta()))
    Publishers(bus.broker, service.name, service.publishes)
    return _stream(service, bus)


def _stream(service: Service, bus: Bus) -> FastStream:
    return FastStream(bus.broker, specification=EventSpecification(service))


def _api(handlers: Sequence[ControllerRouterHandler]) -> Router:
    # OPTIONS has the same guards as the other methods of its path, so it has to be authenticated too.
    authentication = DefineMiddleware(SessionAuthentication, exclude_http_methods=())
    return Router("/", route_handlers=handlers, middleware=[authentication], guards=[_require_indexes])


async def _require_indexes(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Refuse requests until the database has all indexes, because unique indexes decide races.

    Raises:
        Unavailable
    """
    indexes: IndexCheck | None = connection.app.state.indexes
    if indexes is not None and not indexes.passed.is_set():
        raise Unavailable(retry_after=2)


@asynccontextmanager
async def _lifespan(service: Service, state: ServiceState) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(exporting_spans(state.settings, service.name))
        if service.documents:
            storage = database(state.settings.database, service.name, service.documents)
            try:
                state.database = await stack.enter_async_context(storage)
                indexes = state.indexes = IndexCheck(state.database, service.documents)
                state.preparing[health.INDEXES] = lambda: not indexes.passed.is_set()
                await indexes.check()
            except (Unusable, *CONNECTION_ERRORS) as error:
                # pymongo appends the time-out and the state of every server, which are left out here.
                _exit(str(error).partition(" (configured timeouts")[0].partition(", Timeout:")[0])
        if service.lifespan is not None:
            await stack.enter_async_context(service.lifespan(state))
        report = report_to(state.settings.url_of("auth"))
        await stack.enter_async_context(running(state.use.report(report)))
        await stack.enter_async_context(_delivery(service, state))
        yield


def _exit(reason: str) -> NoReturn:
    """End the process with one line. An error would be logged with its traceback, twice."""
    log.critical("this process doesn't start: %s", reason)
    logging.shutdown()
    os._exit(1)


@asynccontextmanager
async def _delivery(service: Service, state: ServiceState) -> AsyncIterator[None]:
    kinds = [kind for kind in service.documents if issubclass(kind, Aggregate)]
    sweep_seconds = state.settings.outbox_sweep_seconds
    lease = Lease(state.database, "outbox", SWEEP_LEASE) if state.database is not None else None
    outbox = Outbox(kinds)
    relay = Relay(state.publishers, outbox, sweep_seconds=sweep_seconds, lease=lease)

    async def measure() -> None:
        await health.measure(state.bus, state.database, state.preparing)
        await measure_outbox(outbox)

    async def keep_measuring() -> None:
        with suppress(TimeoutError):  # first when everything is connected, or as long as it may take
            async with asyncio.timeout(MEASURE_SECONDS):
                await state.bus.started.wait()
        await every(MEASURE_SECONDS, measure)

    async def deliver() -> None:
        if state.indexes is not None:
            await state.indexes.run()
        await state.bus.run()

    async def publish() -> None:
        await state.bus.started.wait()
        await relay.run()

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(deliver()))
        await stack.enter_async_context(running(publish()))
        await stack.enter_async_context(running(keep_measuring()))
        if service.repairs_gaps:
            await stack.enter_async_context(running(_repair_gaps(service, state, kinds)))
        yield
    await state.bus.stop()


async def _repair_gaps(service: Service, state: ServiceState, kinds: Sequence[type[Aggregate]]) -> None:
    """Look for gaps now and then. Never ends."""
    assert state.database is not None
    lease = Lease(state.database, "missed events", missed_events.LEASE)
    missed = MissedEvents(state.database, kinds, [event.subject for event in service.publishes], lease)

    async def look_for_gaps() -> None:
        with suppress(NotFoundError, *OUTAGE):  # an outage is reported elsewhere
            await missed.look(state.bus.broker.connection.jetstream(timeout=10))

    await state.bus.started.wait()
    await every(missed_events.LOOK_SECONDS, look_for_gaps)
