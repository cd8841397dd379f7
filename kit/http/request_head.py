"""Limits the address and the headers of requests."""

from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from settings import Settings


class LimitRequestHead(ASGIMiddleware):
    """Answers 414 if the path with the query is too long, and 431 if the headers are too large.

    The server itself accepts 64 KB of both together.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, settings: Settings) -> None:
        self._max_target = settings.max_target_bytes
        self._max_headers = settings.max_header_bytes

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        target = len(scope["raw_path"]) + len(scope["query_string"])
        if 0 < self._max_target < target:
            raise HTTPException("The address is too long", status_code=414)
        headers = sum(len(name) + len(value) for name, value in scope["headers"])
        if 0 < self._max_headers < headers:
            raise HTTPException("The headers are too large", status_code=431)
        await next_app(scope, receive, send)
