"""HEAD requests (RFC 9110, section 9.3.2), which Litestar 2.25 doesn't support by itself."""

import asyncio
from copy import copy

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.plugins import ReceiveRoutePlugin
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send


class HeadForGet(ReceiveRoutePlugin):
    """Lets every handler of GET handle HEAD too, even where Litestar's own handler of HEAD omits headers.

    List it before plugins that read the methods of a route.
    """

    def receive_route(self, route: BaseRoute) -> None:
        if isinstance(route, HTTPRoute) and (get := route.route_handler_map.get("GET")):
            handler, parameters = get
            head = copy(handler)
            # OpenAPI documents describe GET only. Litestar has resolved the public attribute by now.
            head._resolved_include_in_schema = False
            route.route_handler_map["HEAD"] = head, parameters
            route.methods.add("HEAD")


class WithoutBodyForHead(ASGIMiddleware):
    """Sends the same headers in response to HEAD as in response to GET, and ends the response there.

    Middleware is called for known routes only. `omit_body_for_head` covers the errors for all others.
    """

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        http: HTTPScope = scope  # type: ignore[assignment] # see `scopes`
        if http["method"] == "HEAD":
            response = _Response(receive, send)
            await next_app(scope, response.receive, response.send)
        else:
            await next_app(scope, receive, send)


async def omit_body_for_head(message: Message, scope: Scope) -> None:
    """Send no body in response to HEAD. A hook `before_send` of Litestar."""
    if message["type"] == "http.response.body" and scope.get("method") == "HEAD":
        message["body"] = b""


class _Response:
    """The response to HEAD. To the app, the client seems to leave after the headers, which ends a stream."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._is_complete = asyncio.Event()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._send(message)
        elif not self._is_complete.is_set():
            self._is_complete.set()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def receive(self) -> HTTPReceiveMessage:
        received = asyncio.ensure_future(self._receive())
        complete = asyncio.ensure_future(self._is_complete.wait())
        try:
            await asyncio.wait({received, complete}, return_when=asyncio.FIRST_COMPLETED)
            if received.done():
                return received.result()  # type: ignore[return-value] # of HTTP, as the scope is
            return {"type": "http.disconnect"}
        finally:
            received.cancel()
            complete.cancel()
