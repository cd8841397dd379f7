"""An ASGI client that controls the parts of a request body, and an app that waits before it responds."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send


@dataclass
class Answer:
    """The part of a response that has been received."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = json.loads(self.body)
        assert problem["status"] == self.status
        return problem


async def ask(
    app: ASGIApp,
    method: str = "GET",
    address: str = "/",
    body: Iterable[bytes | None] = (),
    *,
    http_version: str = "1.0",
    **headers: str,
) -> Answer:
    """Send a request and return the response.

    Args:
        body: the pieces in which the body arrives. The app waits forever for a piece that is None.
        http_version: from "1.1" on, a request needs a Host header.
        headers: their names with underscores instead of hyphens.
    """
    path, _, query = address.partition("?")
    scope: Any = {
        "type": "http",
        "http_version": http_version,
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 50_000),
        "state": {},
    }
    pieces, answer = [*body], Answer()

    async def receive() -> Any:
        if not pieces:
            return {"type": "http.disconnect"}
        if (piece := pieces.pop(0)) is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.body += message["body"]

    await app(scope, receive, send)
    return answer


class SlowApp:
    """An app that records its requests and responds to them as soon as `may_respond` is set."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes]] = []
        """The path and the body of each request."""
        self.may_respond = asyncio.Event()
        self.streams = False
        """Whether a response starts at once, before `may_respond` is set."""
        self._arrival = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == ScopeType.HTTP
        self.requests.append((scope["path"], await _read(receive) if scope["method"] == "POST" else b""))
        self._arrival.set()
        if self.streams:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"begun, ", "more_body": True})
        await self.may_respond.wait()
        if scope["path"] == "/fails":
            raise RuntimeError("the request fails")
        if not self.streams:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"served", "more_body": False})

    async def wait_for_requests(self, count: int) -> None:
        """Wait until this many requests have arrived."""
        async with asyncio.timeout(30):
            while len(self.requests) < count:
                self._arrival.clear()
                await self._arrival.wait()


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message: Any = await receive()
        assert message["type"] == "http.request"
        body, more = body + message["body"], message["more_body"]
    return body
