"""The application: the paths of Stripe's API, the pages, and their dependencies.

Only one process may serve a database file, because the process keeps the idempotency keys in use in memory.

    granian --interface asgi --factory --workers 1 sandbox.stripe.app:app --port 12111
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from litestar import Litestar, MediaType, Response, Router, get, post
from litestar.datastructures import MutableScopeHeaders
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import Message, Scope

import settings
from kit.background import cancel
from kit.secrets import webhook_secret
from sandbox.stripe import disputes, operations, queries
from sandbox.stripe.api import AnyRequest, Api, Bank, request_id
from sandbox.stripe.browser import PAGES, api_of
from sandbox.stripe.checkout import operations as checkout
from sandbox.stripe.errors import StripeError, failure, unknown_path
from sandbox.stripe.events import queries as events
from sandbox.stripe.events.log import KEPT_SECONDS, EventLog
from sandbox.stripe.events.webhooks import Endpoint, Webhooks
from sandbox.stripe.fault_routes import FAULT_ROUTES
from sandbox.stripe.faults import Faults, FaultSettings
from sandbox.stripe.jobs import Job
from sandbox.stripe.store import Store

log = logging.getLogger(__name__)


def _get_route(path: str, operation: Callable[..., Job]) -> HTTPRouteHandler:
    @get(path)
    async def handle(request: AnyRequest) -> Response[str]:
        api_of(request).requests[f"GET {path}"] += 1
        return await api_of(request).get(request, partial(operation, *request.path_params.values()))

    return handle


def _post_route(path: str, operation: Callable[..., Job]) -> HTTPRouteHandler:
    @post(path)
    async def handle(request: AnyRequest) -> Response[str]:
        api_of(request).requests[f"POST {path}"] += 1
        return await api_of(request).post(request, partial(operation, *request.path_params.values()))

    return handle


V1 = [
    _post_route("/payment_intents", operations.create_intent),
    _get_route("/payment_intents", queries.intents),
    _get_route("/payment_intents/{intent_id:str}", queries.intent),
    _post_route("/payment_intents/{intent_id:str}", operations.update_intent),
    _post_route("/payment_intents/{intent_id:str}/confirm", operations.confirm_intent),
    _post_route("/payment_intents/{intent_id:str}/capture", operations.capture_intent),
    _post_route("/payment_intents/{intent_id:str}/cancel", operations.cancel_intent),
    _get_route("/charges/{charge_id:str}", queries.charge),
    _get_route("/payment_methods/{method_id:str}", queries.payment_method),
    _post_route("/refunds", operations.create_refund),
    _get_route("/refunds", queries.refunds),
    _get_route("/refunds/{refund_id:str}", queries.refund),
    _get_route("/disputes", queries.disputes),
    _get_route("/disputes/{dispute_id:str}", queries.dispute),
    _post_route("/disputes/{dispute_id:str}", disputes.update_dispute),
    _post_route("/disputes/{dispute_id:str}/close", disputes.close_dispute),
    _post_route("/checkout/sessions", checkout.create_session),
    _get_route("/checkout/sessions", queries.sessions),
    _get_route("/checkout/sessions/{session_id:str}", queries.session),
    _post_route("/checkout/sessions/{session_id:str}/expire", checkout.expire_session),
    _get_route("/events", events.events),
    _get_route("/events/{event_id:str}", events.event),
]


@get("/health", media_type=MediaType.TEXT)
async def health(request: AnyRequest) -> str:
    """Answer 200 if the database answers."""
    return await api_of(request).store.run(lambda _: "ok")


@get("/requests")
async def requests(request: AnyRequest) -> dict[str, int]:
    """The number of requests below /v1 since the start, by method and path."""
    return dict(api_of(request).requests)


def refuse(request: AnyRequest, error: StripeError) -> Response[str]:
    return api_of(request).refused(request, error)


def refuse_http(request: AnyRequest, error: HTTPException) -> Response[str]:
    """Answer 404, 405 and 413 as Stripe does."""
    if error.status_code in (404, 405):
        return refuse(request, unknown_path(request.method, request.url.path))
    return refuse(request, StripeError(error.detail, status=error.status_code))


def fail(request: AnyRequest, error: Exception) -> Response[str]:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return refuse(request, failure())


async def name_request(message: Message, scope: Scope) -> None:
    if message["type"] == "http.response.start":
        MutableScopeHeaders.from_message(message)["Request-Id"] = request_id(scope)


async def _watch_clock(api: Api) -> None:
    """Let time change what it changes, even if there is no request."""
    while True:
        try:
            await api.catch_up()
        except Exception:
            log.exception("expiring Checkout sessions or settling refunds failed")
        await asyncio.sleep(1)


def create_app(
    path: Path,
    *,
    base_url: str,
    bank: Bank | None = None,
    endpoint: Endpoint | None = None,
    faults: FaultSettings | None = None,
) -> Litestar:
    """The sandbox with the database file at `path`, which is created if it doesn't exist.

    Args:
        base_url: the URL of this server for browsers.
        bank: awaited before each authorization, capture, void and refund, to simulate a slow bank.
        endpoint: where webhooks go. With None, there are no webhooks.
        faults: the faults to inject from the start.
    """
    store = Store(path)
    faults_on_demand = Faults(faults or FaultSettings())
    webhooks = Webhooks(store, endpoint, faults_on_demand) if endpoint else None
    api = Api(
        store,
        base_url=base_url,
        bank=bank,
        faults=faults_on_demand,
        on_change=webhooks.wake if webhooks else None,
    )

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        await store.open()
        await store.run(lambda ledger: EventLog(ledger.connection).forget(int(time.time()) - KEPT_SECONDS))
        app.state.api = api
        running = [asyncio.create_task(_watch_clock(api))]
        if webhooks:
            running.append(asyncio.create_task(webhooks.deliver()))
        try:
            yield
        finally:
            for task in running:
                await cancel(task)
            await store.close()

    return Litestar(
        [Router("/v1", route_handlers=V1), health, requests, *FAULT_ROUTES, *PAGES],
        lifespan=[lifespan],
        before_send=[name_request],
        exception_handlers={StripeError: refuse, HTTPException: refuse_http, Exception: fail},
        openapi_config=None,
        logging_config=None,
    )


def app() -> Litestar:
    """The sandbox as configured by the settings, with webhooks to the payments service."""
    conf = settings.load()
    secret = webhook_secret(conf)
    return create_app(
        conf.data_dir / "stripe.sqlite3",
        base_url=f"http://localhost:{conf.stripe_sandbox_port}",
        endpoint=Endpoint(f"{conf.url_of('payments')}/api/payments/webhook", secret) if secret else None,
    )
