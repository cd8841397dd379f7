"""Rejects requests whose address can't be parsed."""

from litestar.datastructures import URL
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send


class RejectMalformedAddress(ASGIMiddleware):
    """Answers 400 if the Host header or the query is malformed, or if there are several Host headers.

    RFC 9112, section 3.2, requires the latter, because a proxy may have used another one of them.

    Without this check, `request.url` would raise an error wherever it is read first, such as in the metrics.
    """

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        malformed = HTTPException("The address is malformed", status_code=400)
        if sum(name == b"host" for name, _ in scope["headers"]) > 1:
            raise malformed
        try:
            URL.from_scope(scope)
        except ValueError:
            raise malformed from None
        await next_app(scope, receive, send)
