"""Run an ASGI app in this process, with its lifespan, and send requests to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
from litestar.types import ASGIApp

ADDRESS = "203.0.113.7"
"""The client address of requests. It isn't the address of a trusted proxy."""


@asynccontextmanager
async def alive(app: ASGIApp) -> AsyncIterator[None]:
    """Start the app before the block and shut it down after it, both in one task, as a server does."""
    scope: Any = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    events: asyncio.Queue[Any] = asyncio.Queue()
    reports: asyncio.Queue[Any] = asyncio.Queue()

    async def run() -> None:
        await app(scope, events.get, reports.put)

    task = asyncio.create_task(run())
    await events.put({"type": "lifespan.startup"})
    started = await reports.get()
    if started["type"] != "lifespan.startup.complete":
        await task  # raises the app's error
        raise RuntimeError(f"the app didn't start: {started}")
    try:
        yield
    finally:
        await events.put({"type": "lifespan.shutdown"})
        await task
    assert await reports.get() == {"type": "lifespan.shutdown.complete"}


@asynccontextmanager
async def client_of(
    app: ASGIApp, address: str = ADDRESS, *, check: Callable[[httpx.Response], Awaitable[None]] | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client whose requests go to the app; an unhandled error becomes a 500 as on a real server.

    Args:
        check: is called with each response.
    """
    transport = httpx.ASGITransport(cast("Any", app), raise_app_exceptions=False, client=(address, 40000))
    hooks = {"response": [check] if check else []}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://stagedoor.test", event_hooks=hooks
    ) as http:
        yield http
