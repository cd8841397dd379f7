"""Rejects requests whose address or headers are too large or malformed."""

import re
from functools import lru_cache
from typing import Any

from litestar.datastructures import URL
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from kit.http import parser_caches
from settings import Settings

HOST_CHARACTERS = re.compile(rb"[\w.~!$&'()*+,;=:%\[\]-]{,300}", re.ASCII)
"""The characters of a host and its port (RFC 3986, section 3.2). A name in the DNS has at most 253."""


class HeadRules:
    """What must be true of the address and the headers of every request.

    Caches in front of the framework answer only requests that follow these rules. The app refuses the others.
    """

    def __init__(self, settings: Settings) -> None:
        self._max_target = settings.max_target_bytes
        self._max_headers = settings.max_header_bytes

    def check(self, scope: HTTPScope) -> None:
        """Check the length of the address, the size of the headers, and the Host header.

        The server itself accepts 64 KB of address and headers together, and replaces a missing Host by an
        empty one. RFC 9112, section 3.2, requires exactly one in HTTP/1.1: of several, a proxy may have used
        another one.

        Raises:
            HTTPException: 414, 431 or 400
        """
        if 0 < self._max_target < len(scope["raw_path"]) + len(scope["query_string"]):
            raise HTTPException("The address is too long", status_code=414)
        size = hosts = 0
        host = b""
        for name, value in scope["headers"]:
            size += len(name) + len(value)
            if name == b"host":
                hosts += 1
                host = value
        if 0 < self._max_headers < size:
            raise HTTPException("The headers are too large", status_code=431)
        is_missing = not host and scope.get("http_version") == "1.1"
        if is_missing or hosts > 1 or not (HOST_CHARACTERS.fullmatch(host) and _is_well_formed(host)):
            raise _malformed()

    def are_followed(self, scope: HTTPScope) -> bool:
        """Whether `check` accepts the request."""
        try:
            self.check(scope)
        except HTTPException:
            return False
        return True


class CheckRequestHead(ASGIMiddleware):
    """Answers 414, 431 or 400 if a request doesn't follow `HeadRules`, or if its query is malformed.

    Otherwise `request.url` would raise an error wherever it is read first, such as in the metrics. After the
    request, large inputs and forms are forgotten.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, settings: Settings) -> None:
        self._rules = HeadRules(settings)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        http: HTTPScope = scope  # type: ignore[assignment] # see `scopes`
        self._rules.check(http)
        try:
            URL.from_scope(scope)
        except ValueError:
            raise _malformed() from None
        try:
            await next_app(scope, receive, send)
        finally:
            parser_caches.forget(http)


def _malformed() -> HTTPException:
    return HTTPException("The address is malformed", status_code=400)


@lru_cache(1000)
def _is_well_formed(host: bytes) -> bool:
    """Whether a Host header can be part of an address."""
    scope: Any = {"path": "/", "server": ("localhost", 80), "headers": [(b"host", host)]}
    try:
        URL.from_scope(scope)
    except ValueError:
        return False
    return True
