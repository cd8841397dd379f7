"""A shop that is told of events."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.people import PATIENCE


@dataclass(frozen=True)
class Post:
    body: bytes
    signature: str
    event: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.event["id"])


@dataclass
class Receiver:
    """Answers with the statuses of `answers` first, then with 204. Of an event in `held` it keeps quiet."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    posts: asyncio.Queue[Post] = field(default_factory=asyncio.Queue)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def next(self) -> Post:
        async with asyncio.timeout(PATIENCE):
            return await self.posts.get()

    async def next_of(self, type_: str) -> Post:
        while (post := await self.next()).event["type"] != type_:
            pass
        return post

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        post = Post(body, request.headers["Stripe-Signature"], json.loads(body))
        self.posts.put_nowait(post)
        if post.event["type"] in self.held:
            await self.over.wait()
        return web.Response(status=self.answers.pop(0) if self.answers else 204)


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/api/payments/webhook", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    host, port = runner.addresses[0]
    receiver.url = f"http://{host}:{port}"
    try:
        yield receiver
    finally:
        receiver.over.set()
        await runner.cleanup()
