"""Reading the rest of a request's body before its response is sent."""

import asyncio

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPReceiveMessage, Message, Receive, Scope, Send

MAX_REST_BYTES = 10_000_000
REST_SECONDS = 5.0


class ReadWholeBody(ASGIMiddleware):
    """Sends a response only after the whole body of the request has arrived, even if the handler ignores it.

    The server closes the connection if the response is complete before the body. A client that is still
    sending then loses the response, or its next request on that connection fails. The rest of a body that is
    too large or too slow is left unread.
    """

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        headers = dict(scope["headers"])
        if b"transfer-encoding" not in headers and headers.get(b"content-length", b"0") == b"0":
            await next_app(scope, receive, send)
            return
        body = _Body(receive)

        async def send_after_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                await body.read_rest()
            await send(message)

        await next_app(scope, body.receive, send_after_body)


class _Body:
    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_complete = False

    async def receive(self) -> HTTPReceiveMessage:
        message: HTTPReceiveMessage = await self._receive()  # type: ignore[assignment] # the scope is HTTP
        self._is_complete = message["type"] == "http.disconnect" or not message.get("more_body")
        return message

    async def read_rest(self) -> None:
        length = 0
        try:
            async with asyncio.timeout(REST_SECONDS):
                while not self._is_complete and length <= MAX_REST_BYTES:
                    message = await self.receive()
                    length += len(message["body"]) if message["type"] == "http.request" else 0
        except TimeoutError:
            return
