"""The server: Stripe's paths, the pages, and how they are wired.

One process serves a file: which idempotency keys are in use is known to that process alone.

    granian --interface asgi --factory sandbox.stripe.app:app --port 12111
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from litestar import Litestar, MediaType, Response, Router, get, post
from litestar.datastructures import MutableScopeHeaders
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import Message, Scope

import settings
from sandbox.stripe import operations, queries
from sandbox.stripe.api import AnyRequest, Api, Bank, request_id
from sandbox.stripe.browser import PAGES, api_of
from sandbox.stripe.checkout import operations as checkout
from sandbox.stripe.errors import StripeError, failure, unknown_path
from sandbox.stripe.events import queries as events
from sandbox.stripe.events.log import KEPT_SECONDS, EventLog
from sandbox.stripe.events.webhooks import Endpoint, Webhooks
from sandbox.stripe.faults import Faults, Switch
from sandbox.stripe.jobs import Job
from sandbox.stripe.store import Store
from sandbox.stripe.switch import SWITCH

log = logging.getLogger(__name__)


def _reads(path: str, operation: Callable[..., Job]) -> HTTPRouteHandler:
    @get(path)
    async def handle(request: AnyRequest) -> Response[str]:
        return await api_of(request).get(request, partial(operation, *request.path_params.values()))

    return handle


def _does(path: str, operation: Callable[..., Job]) -> HTTPRouteHandler:
    @post(path)
    async def handle(request: AnyRequest) -> Response[str]:
        return await api_of(request).post(request, partial(operation, *request.path_params.values()))

    return handle


V1 = [
    _does("/payment_intents", operations.create_intent),
    _reads("/payment_intents", queries.intents),
    _reads("/payment_intents/{intent_id:str}", queries.intent),
    _does("/payment_intents/{intent_id:str}", operations.update_intent),
    _does("/payment_intents/{intent_id:str}/confirm", operations.confirm_intent),
    _does("/payment_intents/{intent_id:str}/capture", operations.capture_intent),
    _does("/payment_intents/{intent_id:str}/cancel", operations.cancel_intent),
    _reads("/charges/{charge_id:str}", queries.charge),
    _reads("/payment_methods/{method_id:str}", queries.payment_method),
    _does("/refunds", operations.create_refund),
    _reads("/refunds", queries.refunds),
    _reads("/refunds/{refund_id:str}", queries.refund),
    _does("/checkout/sessions", checkout.create_session),
    _reads("/checkout/sessions", queries.sessions),
    _reads("/checkout/sessions/{session_id:str}", queries.session),
    _does("/checkout/sessions/{session_id:str}/expire", checkout.expire_session),
    _reads("/events", events.events),
    _reads("/events/{event_id:str}", events.event),
]


@get("/health", media_type=MediaType.TEXT)
async def health(request: AnyRequest) -> str:
    """Answers while the database does."""
    return await api_of(request).store.run(lambda _: "ok")


def refuse(request: AnyRequest, error: StripeError) -> Response[str]:
    return api_of(request).refused(request, error)


def refuse_http(request: AnyRequest, error: HTTPException) -> Response[str]:
    """No such path, or not with this method, or more than a body may hold."""
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
    """Sessions that nobody looks at expire too."""
    while True:
        try:
            await api.run_out()
        except Exception:
            log.exception("sessions couldn't be expired")
        await asyncio.sleep(1)


def create_app(
    path: Path,
    *,
    base_url: str,
    bank: Bank | None = None,
    endpoint: Endpoint | None = None,
    faults: Switch | None = None,
) -> Litestar:
    """The sandbox over the file at `path`, made if it isn't there.

    Args:
        base_url: where browsers reach this server.
        bank: what takes its time whenever it has to authorize, capture, void or refund; None: at once.
        endpoint: who is told of events; None: nobody.
        faults: what goes wrong on the way from the start; None: nothing.
    """
    store = Store(path)
    webhooks = Webhooks(store, endpoint) if endpoint else None
    api = Api(
        store,
        base_url=base_url,
        bank=bank,
        faults=Faults(faults or Switch()),
        tell=webhooks.wake if webhooks else None,
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
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await store.close()

    return Litestar(
        [Router("/v1", route_handlers=V1), health, *SWITCH, *PAGES],
        lifespan=[lifespan],
        before_send=[name_request],
        exception_handlers={StripeError: refuse, HTTPException: refuse_http, Exception: fail},
        openapi_config=None,
        logging_config=None,
    )


def app() -> Litestar:
    """The sandbox that the settings ask for. Webhooks go to the payments service."""
    conf = settings.load()
    secret = conf.webhook_secret
    return create_app(
        conf.data_dir / "stripe.sqlite3",
        base_url=f"http://localhost:{conf.stripe_sandbox_port}",
        endpoint=Endpoint(f"{conf.url_of('payments')}/api/payments/webhook", secret) if secret else None,
    )
