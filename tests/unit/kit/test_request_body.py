"""A client that is still sending its body receives the response and keeps its connection."""

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import pytest
from litestar.types import (
    HTTPDisconnectEvent,
    HTTPReceiveMessage,
    HTTPRequestEvent,
    HTTPScope,
    Message,
    Receive,
    Scope,
    Send,
)

from kit.http import request_body
from kit.http.request_body import ReadWholeBody

PART: HTTPRequestEvent = {"type": "http.request", "body": b"x" * 10, "more_body": True}
LAST: HTTPRequestEvent = {"type": "http.request", "body": b"x", "more_body": False}
DISCONNECT: HTTPDisconnectEvent = {"type": "http.disconnect"}


async def answer_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def read_then_answer(scope: Scope, receive: Receive, send: Send) -> None:
    more = True
    while more:
        more = bool((await receive()).get("more_body"))
    await answer_at_once(scope, receive, send)


async def events(app: Any, messages: Iterable[HTTPReceiveMessage], headers: dict[bytes, bytes]) -> list[str]:
    """The events of a request, in order. After the last message, `receive` waits forever."""
    happened: list[str] = []
    arriving = iter(messages)

    async def receive() -> HTTPReceiveMessage:
        message = next(arriving, None)
        if message is None:
            await asyncio.Event().wait()
        assert message is not None
        happened.append("received")
        return message

    async def send(message: Message) -> None:
        happened.append(message["type"].removeprefix("http.response."))

    scope = cast("HTTPScope", {"type": "http", "headers": list(headers.items())})
    await ReadWholeBody().handle(scope, cast("Receive", receive), send, app)
    return happened


@pytest.mark.parametrize("headers", [{b"content-length": b"21"}, {b"transfer-encoding": b"chunked"}])
async def test_a_response_waits_for_the_rest_of_the_body(headers: dict[bytes, bytes]) -> None:
    happened = await events(answer_at_once, [PART, PART, LAST], headers)
    assert happened == ["received", "received", "received", "start", "body"]


async def test_a_response_does_not_wait_for_a_body_that_was_read() -> None:
    happened = await events(read_then_answer, [PART, LAST], {b"content-length": b"11"})
    assert happened == ["received", "received", "start", "body"]


async def test_a_request_without_a_body_gets_its_response_at_once() -> None:
    assert await events(answer_at_once, [], {}) == ["start", "body"]


async def test_a_client_that_disconnects_ends_the_wait() -> None:
    happened = await events(answer_at_once, [PART, DISCONNECT], {b"content-length": b"99"})
    assert happened == ["received", "received", "start", "body"]


async def test_a_body_that_stalls_or_is_too_large_delays_the_response_for_a_limited_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request_body, "REST_SECONDS", 0.01)
    assert await events(answer_at_once, [PART], {b"content-length": b"99"}) == ["received", "start", "body"]
    monkeypatch.setattr(request_body, "MAX_REST_BYTES", 15)
    happened = await events(answer_at_once, [PART] * 5, {b"content-length": b"99"})
    assert happened == ["received", "received", "start", "body"]
