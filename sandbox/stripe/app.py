"""The server: Stripe's paths, the 3-D Secure page, and how they are wired.

One process serves a file: which idempotency keys are in use is known to that process alone.

    granian --interface asgi --factory sandbox.stripe.app:app --port 12111
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from litestar import Litestar, MediaType, Response, Router, get, post
from litestar.datastructures import MutableScopeHeaders
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect
from litestar.types import Message, Scope

import settings
from sandbox.stripe import operations, pages, queries
from sandbox.stripe.api import AnyRequest, Api, request_id
from sandbox.stripe.errors import StripeError, failure, unknown_path
from sandbox.stripe.forms import parse
from sandbox.stripe.jobs import Job, find_intent
from sandbox.stripe.state import Challenge, Intent
from sandbox.stripe.store import Ledger, Store

log = logging.getLogger(__name__)


def _api(request: AnyRequest) -> Api:
    api: Api = request.app.state.api
    return api


def _reads(path: str, operation: Callable[..., Job]) -> HTTPRouteHandler:
    @get(path)
    async def handle(request: AnyRequest) -> Response[str]:
        return await _api(request).get(request, partial(operation, *request.path_params.values()))

    return handle


def _does(path: str, operation: Callable[..., Job]) -> HTTPRouteHandler:
    @post(path)
    async def handle(request: AnyRequest) -> Response[str]:
        return await _api(request).post(request, partial(operation, *request.path_params.values()))

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
]


@get("/", media_type=MediaType.HTML)
async def front() -> str:
    return pages.front()


@get("/health", media_type=MediaType.TEXT)
async def health(request: AnyRequest) -> str:
    """Answers while the database does."""
    return await _api(request).store.run(lambda _: "ok")


@get("/3d_secure/{challenge_id:str}")
async def show_challenge(request: AnyRequest, challenge_id: FromPath[str]) -> Response[str]:
    found = await _api(request).store.run(lambda ledger: _challenge(ledger, challenge_id))
    if found is None:
        return _html(pages.unknown(), 404)
    challenge, intent = found
    if intent.challenge != challenge.id:
        return _html(pages.answered(challenge.return_url and pages.way_back(intent, challenge.return_url)))
    return _html(pages.challenge(intent))


@post("/3d_secure/{challenge_id:str}")
async def answer_challenge(request: AnyRequest, challenge_id: FromPath[str]) -> Response[str] | Redirect:
    """The first answer counts. Every answer leads back to the shop."""
    answer = parse(await request.body()).get("answer")
    if answer not in ("approve", "refuse"):
        return Redirect(request.url.path, status_code=303)
    api = _api(request)
    found = await api.store.run(lambda ledger: _challenge(ledger, challenge_id))
    if found is None:
        return _html(pages.unknown(), 404)
    challenge, intent = found
    await api.settle(challenge, approved=answer == "approve")
    if challenge.return_url is None:
        return Redirect(request.url.path, status_code=303)
    return Redirect(pages.way_back(intent, challenge.return_url), status_code=303)


def _challenge(ledger: Ledger, challenge_id: str) -> tuple[Challenge, Intent] | None:
    challenge = ledger.find(Challenge, challenge_id)
    return (challenge, find_intent(ledger, challenge.intent)) if challenge else None


def _html(page: str, status: int = 200) -> Response[str]:
    # Not kept: a page that is gone back to shows how the payment now stands.
    return Response(
        page, status_code=status, media_type=MediaType.HTML, headers={"Cache-Control": "no-store"}
    )


def refuse(request: AnyRequest, error: StripeError) -> Response[str]:
    return _api(request).refused(request, error)


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


def create_app(path: Path, *, base_url: str, bank_seconds: float = 0.0) -> Litestar:
    """The sandbox over the file at `path`, made if it isn't there.

    Args:
        base_url: where browsers reach this server.
        bank_seconds: how long the bank takes to authorize, capture, void or refund.
    """
    store = Store(path)
    api = Api(store, base_url=base_url, bank_seconds=bank_seconds)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        await store.open()
        app.state.api = api
        try:
            yield
        finally:
            await store.close()

    return Litestar(
        [Router("/v1", route_handlers=V1), front, health, show_challenge, answer_challenge],
        lifespan=[lifespan],
        before_send=[name_request],
        exception_handlers={StripeError: refuse, HTTPException: refuse_http, Exception: fail},
        openapi_config=None,
        logging_config=None,
    )


def app() -> Litestar:
    """The sandbox that the settings ask for."""
    conf = settings.load()
    return create_app(
        conf.data_dir / "stripe.sqlite3", base_url=f"http://localhost:{conf.stripe_sandbox_port}"
    )
