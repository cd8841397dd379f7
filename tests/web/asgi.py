"""One request to an ASGI app, message by message, with an app behind it that waits until it may answer."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send


@dataclass
class Answer:
    """What was said so far."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        told: dict[str, Any] = json.loads(self.body)
        assert told["status"] == self.status
        return told


async def ask(
    app: ASGIApp,
    method: str = "GET",
    address: str = "/",
    body: Iterable[bytes | None] = (),
    **headers: str,
) -> Answer:
    """Pieces of a body come at once; None is one that never does. Underscores of headers are hyphens."""
    path, _, query = address.partition("?")
    scope: Any = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
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


class Inside:
    """What is behind the door: it tells who came in, and answers when it is let."""

    def __init__(self) -> None:
        self.came: list[tuple[str, bytes]] = []
        """Paths, and bodies."""
        self.may_answer = asyncio.Event()
        self.streams = False
        """Begins to answer at once."""
        self._arrival = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == ScopeType.HTTP
        self.came.append((scope["path"], await _read(receive) if scope["method"] == "POST" else b""))
        self._arrival.set()
        if self.streams:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"it is ", "more_body": True})
        await self.may_answer.wait()
        if scope["path"] == "/broken":
            raise RuntimeError("as planned")
        if not self.streams:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"served", "more_body": False})

    async def has(self, how_many: int) -> None:
        """Wait until so many have come in."""
        async with asyncio.timeout(30):
            while len(self.came) < how_many:
                self._arrival.clear()
                await self._arrival.wait()


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message: Any = await receive()
        assert message["type"] == "http.request"
        body, more = body + message["body"], message["more_body"]
    return body
