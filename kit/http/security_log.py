"""Recording refused requests in the security log."""

from collections.abc import Callable, Mapping
from typing import Any

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from contracts.identity import Identity
from kit.errors import CrossSite, Forbidden, NotAnOperator, NotAService, ServiceError, TooManyRequests
from kit.security_log import record, remember_client

_EVENTS: Mapping[type[ServiceError], str] = {
    TooManyRequests: "rate-limit",
    Forbidden: "access",
    NotAnOperator: "operator",
    NotAService: "service",
}


class RememberClient(ASGIMiddleware):
    """Names the client's network in the security events of a request."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, address_of: Callable[[Mapping[str, Any]], str]) -> None:
        self._address_of = address_of

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        remember_client(self._address_of(scope))
        await next_app(scope, receive, send)


async def record_refusal(error: Exception, scope: Scope) -> None:
    """Record that a request was above a limit, or that the caller wasn't allowed to make it."""
    if isinstance(error, CrossSite):
        return  # recorded by `RejectCrossSite`, which knows the whole path
    event = next((name for kind, name in _EVENTS.items() if isinstance(error, kind)), None)
    if event is None:
        return
    user = scope.get("user")
    actor = user.id if isinstance(user, Identity) else None
    route = f"{scope['method']} {scope.get('path_template') or scope['path'][:200]}"  # type: ignore[typeddict-item]
    record(event, "refused", actor=actor, route=route, reason=type(error).__name__)
