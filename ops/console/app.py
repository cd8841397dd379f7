"""The app of the console process."""

import logging
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Litestar, MediaType, Request
from litestar.datastructures import MutableScopeHeaders, State
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.middleware import ASGIMiddleware
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Redirect, Template
from litestar.template.config import TemplateConfig
from litestar.types import ASGIApp, Message, Receive, Scope, Send

import settings as configuration
from contracts.api import MAX_REASON
from kit.errors import CrossSite
from kit.http.cross_site import RejectCrossSite
from kit.http.request_head import CheckRequestHead
from kit.logs import log_to_stdout
from ops.console import listings, orders, pages, people, problems, shows
from ops.console.page import NotSignedIn
from ops.console.sessions import COOKIE, Sessions
from ops.errors import CommandError
from settings import Settings

log = logging.getLogger(__name__)

TEMPLATES = Path(__file__).parent / "templates"

HOSTS = {b"localhost", b"127.0.0.1"}
"""Names by which the console is reached, also through a tunnel.

A page of another site could make its own name lead to this machine (DNS rebinding), and would then count as
the console itself."""

MAX_BODY = 65_536


class RejectOtherHosts(ASGIMiddleware):
    """Refuses requests for a host that isn't one of `HOSTS`, whatever the port of a tunnel is."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        host = dict(scope["headers"]).get(b"host", b"")
        if host.partition(b":")[0].lower() not in HOSTS:
            raise HTTPException("The console has the names localhost and 127.0.0.1 only.", status_code=400)
        await next_app(scope, receive, send)


SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}


def app() -> Litestar:
    """For `granian --factory`."""
    settings = configuration.load()
    log_to_stdout(settings)
    return console_app(settings)


def console_app(settings: Settings) -> Litestar:
    # Pages of the marketplace count as another site.
    own_site = settings.model_copy(update={"web_url": f"http://localhost:{settings.console_port}"})
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["max_reason"] = MAX_REASON
    return Litestar(
        route_handlers=[
            *(*pages.ROUTES, *orders.ROUTES, *people.ROUTES),
            *(*problems.ROUTES, *listings.ROUTES, *shows.ROUTES),
        ],
        template_config=TemplateConfig(instance=JinjaTemplateEngine.from_environment(environment)),
        middleware=[CheckRequestHead(settings), RejectOtherHosts(), RejectCrossSite(own_site)],
        exception_handlers={
            NotSignedIn: _to_sign_in,
            CommandError: _failed,
            CrossSite: _cross_site,
            HTTPException: _refused,
        },
        before_send=[add_security_headers],
        request_max_body_size=MAX_BODY,
        openapi_config=None,
        logging_config=None,
        state=State({"settings": settings, "sessions": Sessions(settings)}),
    )


async def add_security_headers(message: Message, _: Scope) -> None:
    if message["type"] == "http.response.start":
        MutableScopeHeaders.from_message(message).update(SECURITY_HEADERS)


def _to_sign_in(_: Request[Any, Any, Any], __: Exception) -> Any:
    return Redirect("/ops/sign-in", status_code=303)


def _failed(request: Request[Any, Any, Any], error: CommandError) -> Any:
    """A page with the sentence of an error that a command would print."""
    return _page(request, str(error), 404 if error.exit_code == 1 else 503)


def _cross_site(request: Request[Any, Any, Any], _: Exception) -> Any:
    return _page(request, "Another site sent this request, so nothing was done.", 403)


def _refused(request: Request[Any, Any, Any], error: HTTPException) -> Any:
    return _page(request, error.detail or "That can't be done here.", error.status_code)


def _page(request: Request[Any, Any, Any], sentence: str, status: int) -> Any:
    session = request.app.state.sessions.find(request.cookies.get(COOKIE))
    shown: dict[str, Any] = {
        "operator": session.operator if session else None,
        "notes": session.take_notes() if session else [],
    }
    context = {"title": "Not done", "sentence": sentence, **shown}
    return Template("error.html", context=context, status_code=status, media_type=MediaType.HTML)
