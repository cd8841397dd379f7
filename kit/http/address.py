"""Rejects requests whose address can't be parsed."""

from litestar.datastructures import URL
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send


class RejectMalformedAddress(ASGIMiddleware):
    """Answers 400 if the Host header or the query is malformed (RFC 9112, section 3.2).

    Without this check, `request.url` would raise an error wherever it is read first, such as in the metrics.
    """

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        try:
            URL.from_scope(scope)
        except ValueError:
            raise HTTPException("The address is malformed", status_code=400) from None
        await next_app(scope, receive, send)
