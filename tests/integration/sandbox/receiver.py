"""An HTTP server that receives webhooks as a shop does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.polling import TIMEOUT


@dataclass(frozen=True)
class Delivery:
    body: bytes
    signature: str
    event: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.event["id"])


@dataclass
class Receiver:
    """Responds with each of `statuses`, then with 204, but never to events whose type is in `unanswered`."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    unanswered: set[str] = field(default_factory=set)
    deliveries: asyncio.Queue[Delivery] = field(default_factory=asyncio.Queue)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    async def next(self) -> Delivery:
        async with asyncio.timeout(TIMEOUT):
            return await self.deliveries.get()

    async def next_of(self, type_: str) -> Delivery:
        while (delivery := await self.next()).event["type"] != type_:
            pass
        return delivery

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        delivery = Delivery(body, request.headers["Stripe-Signature"], json.loads(body))
        self.deliveries.put_nowait(delivery)
        if delivery.event["type"] in self.unanswered:
            await self.closing.wait()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204)


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    for service in ("payments", "payouts"):
        app.router.add_post(f"/api/{service}/webhook", receiver.receive)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    host, port = runner.addresses[0]
    receiver.url = f"http://{host}:{port}"
    try:
        yield receiver
    finally:
        receiver.closing.set()
        await runner.cleanup()
