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
from sandbox.stripe.api import AnyRequest, Api, Bank, connected_account, request_id
from sandbox.stripe.browser import PAGES, api_of
from sandbox.stripe.checkout import operations as checkout
from sandbox.stripe.connect import accounts, payouts, transfers
from sandbox.stripe.connect import queries as connect
from sandbox.stripe.connect.state import PLATFORM
from sandbox.stripe.errors import StripeError, failure, unknown_path
from sandbox.stripe.events import queries as events
from sandbox.stripe.events.log import KEPT_SECONDS, EventLog
from sandbox.stripe.events.webhooks import CONNECT_TOPICS, Endpoint, Webhooks
from sandbox.stripe.fault_routes import FAULT_ROUTES
from sandbox.stripe.faults import Faults, FaultSettings
from sandbox.stripe.jobs import Job
from sandbox.stripe.store import Store

log = logging.getLogger(__name__)


def _get_route(path: str, operation: Callable[..., Job], *, of_account: bool = False) -> HTTPRouteHandler:
    @get(path)
    async def handle(request: AnyRequest) -> Response[str]:
        api_of(request).requests[f"GET {path}"] += 1
        return await api_of(request).get(request, _bound(operation, request, of_account=of_account))

    return handle


def _post_route(path: str, operation: Callable[..., Job], *, of_account: bool = False) -> HTTPRouteHandler:
    @post(path)
    async def handle(request: AnyRequest) -> Response[str]:
        api_of(request).requests[f"POST {path}"] += 1
        return await api_of(request).post(request, _bound(operation, request, of_account=of_account))

    return handle


def _bound(operation: Callable[..., Job], request: AnyRequest, *, of_account: bool) -> Callable[..., Job]:
    """The operation with what the path says, and if it is `of_account`, with the account of the request."""
    bound = partial(operation, *request.path_params.values())
    account = connected_account(request)
    if of_account:
        return partial(bound, account=account)
    if account != PLATFORM:
        raise StripeError("The sandbox doesn't support the header Stripe-Account for this request.")
    return bound


CONNECT = [
    _post_route("/accounts", accounts.create_account),
    _get_route("/accounts", connect.accounts),
    _get_route("/accounts/{account_id:str}", connect.account),
    _post_route("/accounts/{account_id:str}", accounts.update_account),
    _post_route("/accounts/{account_id:str}/reject", accounts.reject_account),
    _post_route("/accounts/{account_id:str}/login_links", accounts.create_login_link),
    _post_route("/account_links", accounts.create_link),
    _post_route("/transfers", transfers.create_transfer),
    _get_route("/transfers", connect.transfers),
    _get_route("/transfers/{transfer_id:str}", connect.transfer),
    _post_route("/transfers/{transfer_id:str}", transfers.update_transfer),
    _post_route("/transfers/{transfer_id:str}/reversals", transfers.create_reversal),
    _get_route("/transfers/{transfer_id:str}/reversals", connect.reversals),
    _get_route("/transfers/{transfer_id:str}/reversals/{reversal_id:str}", connect.reversal),
    _get_route("/balance", connect.balance, of_account=True),
    _get_route("/balance_transactions", connect.balance_transactions, of_account=True),
    _get_route("/balance_transactions/{transaction_id:str}", connect.balance_transaction, of_account=True),
    _post_route("/payouts", payouts.create_payout, of_account=True),
    _get_route("/payouts", connect.payouts, of_account=True),
    _get_route("/payouts/{payout_id:str}", connect.payout, of_account=True),
]
"""Connected accounts, and the money of the platform and of connected accounts."""

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
    _get_route("/events", events.events, of_account=True),
    _get_route("/events/{event_id:str}", events.event, of_account=True),
    *CONNECT,
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
    payouts_endpoint: Endpoint | None = None,
    faults: FaultSettings | None = None,
) -> Litestar:
    """The sandbox with the database file at `path`, which is created if it doesn't exist.

    Args:
        base_url: the URL of this server for browsers.
        bank: awaited before each authorization, capture, void and refund, to simulate a slow bank.
        endpoint: where webhooks about payments go. With None, there are none.
        payouts_endpoint: where webhooks about connected accounts, transfers and payouts go. With None, there
            are none.
        faults: the faults to inject from the start.
    """
    store = Store(path)
    faults_on_demand = Faults(faults or FaultSettings())
    endpoints = [each for each in (endpoint, payouts_endpoint) if each is not None]
    webhooks = [Webhooks(store, each, faults_on_demand) for each in endpoints]
    api = Api(
        store,
        base_url=base_url,
        bank=bank,
        faults=faults_on_demand,
        webhooks=webhooks,
    )

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        await store.open()
        await store.run(lambda ledger: EventLog(ledger.connection).forget(int(time.time()) - KEPT_SECONDS))
        app.state.api = api
        running = [asyncio.create_task(_watch_clock(api))]
        running += [asyncio.create_task(each.deliver()) for each in webhooks]
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
    """The sandbox as configured by the settings, with webhooks to payments and payouts."""
    conf = settings.load()
    secret = webhook_secret(conf)
    return create_app(
        conf.data_dir / "stripe.sqlite3",
        base_url=f"http://localhost:{conf.stripe_sandbox_port}",
        endpoint=Endpoint(f"{conf.url_of('payments')}/api/payments/webhook", secret) if secret else None,
        payouts_endpoint=_configured_payouts_endpoint(conf),
    )


def payouts_endpoint(address: str, secret: str) -> Endpoint:
    """The endpoint of the service payouts at this address, which follows connected accounts."""
    return Endpoint(f"{address}/api/payouts/webhook", secret, "payouts", CONNECT_TOPICS)


def _configured_payouts_endpoint(conf: settings.Settings) -> Endpoint | None:
    """Without a secret of its own, payouts has that of payments."""
    own = conf.stripe_payouts_webhook_secret
    secret = own.get_secret_value() if own else webhook_secret(conf)
    return payouts_endpoint(conf.url_of("payouts"), secret) if secret else None
