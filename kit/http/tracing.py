"""Continuing the caller's trace in each HTTP request."""

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from kit.tracing import continue_trace


class ContinueTrace(ASGIMiddleware):
    """Continues the caller's trace for everything that a request causes, or starts a new trace."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        headers = dict(scope["headers"])
        continue_trace(headers.get(b"traceparent", b"").decode("latin-1"))
        await next_app(scope, receive, send)
