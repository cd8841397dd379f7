"""Continuing the caller's trace in each HTTP request, and naming the request in its log lines."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from kit.logs import bind_contextvars
from kit.tracing import (
    Attributes,
    add_attributes,
    are_spans_recorded,
    continue_trace,
    fail_span,
    record_span,
    rename_span,
    span,
)
from settings import Settings

UNRECORDED = frozenset(["/health/live", "/health/ready", "/metrics", "/live", "/static/{name}"])
"""Paths without spans: monitoring, assets, and a stream that lasts as long as a page is open."""


class ContinueTrace(ASGIMiddleware):
    """Continues the caller's trace for everything that a request causes, or starts a new trace."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        assert scope["type"] == ScopeType.HTTP
        parent = _parent(scope)
        path = str(scope.get("path_template") or "")
        bind_contextvars(method=scope["method"], path=path)
        if not are_spans_recorded() or path in UNRECORDED:
            continue_trace(parent)
            await next_app(scope, receive, send)
            return
        with span("server", f"{scope['method']} {path}".strip(), parent, _attributes(scope, path)):
            await next_app(scope, receive, partial(_record_status, send))


def record_answered(scope: HTTPScope, path: str, status: int, began: int, attributes: Attributes) -> None:
    """Record the span of a request that was answered in front of the framework.

    Args:
        path: the pattern of the request's path.
        began: in nanoseconds since 1970.
    """
    method = scope["method"]
    about: Attributes = {
        "http.request.method": method,
        "http.route": path,
        "http.response.status_code": status,
    }
    record_span("server", f"{method} {path}", _parent(scope), {**about, **attributes}, began=began)


def _parent(scope: HTTPScope) -> str:
    return dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1")


def name_request(method: str, path: str) -> None:
    """Name the pattern of a request's path in its log lines and span, if the framework doesn't know it."""
    bind_contextvars(path=path)
    rename_span(f"{method} {path}", {"http.route": path})


def _attributes(scope: HTTPScope, path: str) -> Attributes:
    ids = {
        f"stagedoor.{name.removesuffix('_id')}.id": str(value)
        for name, value in scope["path_params"].items()
        if name.endswith("_id")
    }
    return {"http.request.method": scope["method"], "http.route": path, **ids}


async def _record_status(send: Send, message: Message) -> None:
    if message["type"] == "http.response.start":
        add_attributes({"http.response.status_code": message["status"]})
        if message["status"] >= 500:
            fail_span(str(message["status"]))
    await send(message)


@asynccontextmanager
async def exporting_spans(settings: Settings, process: str) -> AsyncIterator[None]:
    """Export the spans of a process in the block, if that is configured."""
    if settings.otel_exporter_otlp_endpoint is None:
        yield
        return
    # OpenTelemetry takes 0.2 s to import.
    from kit.telemetry import exporting

    async with exporting(settings.otel_exporter_otlp_endpoint, process):
        yield
