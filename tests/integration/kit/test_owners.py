"""Asking the owner of an entity over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from contracts.wire import Wire
from kit import owners
from kit.errors import Forbidden, NotFound, NotSignedIn, ServiceError, Unavailable
from kit.owners import Owner
from sandbox.testing import free_port


class Seat(Wire):
    row: int


SEAT = '{"row": 4}'


@asynccontextmanager
async def asked(body: str, *, status: int = 200, hold: asyncio.Event | None = None) -> AsyncIterator[Owner]:
    """An owner whose service gives this answer, after the event `hold` if given."""

    async def handle(_: web.Request) -> web.Response:
        if hold is not None:
            await hold.wait()
        return web.Response(status=status, text=body)

    app = web.Application()
    app.router.add_get("/seats/1", handle)
    async with TestServer(app) as server:
        yield Owner(str(server.make_url("")).rstrip("/"))


async def test_the_answer_of_the_owner_is_returned() -> None:
    async with asked(SEAT) as owner:
        assert await owner.get("/seats/1", Seat) == Seat(row=4)


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, NotFound), (401, NotSignedIn), (403, Forbidden), (500, Unavailable), (302, Unavailable)],
)
async def test_a_refusal_of_the_owner_is_passed_on(status: int, error: type[ServiceError]) -> None:
    async with asked("{}", status=status) as owner:
        with pytest.raises(error):
            await owner.get("/seats/1", Seat)


async def test_an_invalid_answer_counts_as_an_outage() -> None:
    async with asked('{"row": "?"}') as owner:
        with pytest.raises(Unavailable):
            await owner.get("/seats/1", Seat)


async def test_an_owner_that_is_down_or_silent_counts_as_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "SECONDS", 0.05)
    with pytest.raises(Unavailable) as down:
        await Owner(f"http://127.0.0.1:{free_port()}").get("/seats/1", Seat)
    assert down.value.retry_after
    async with asked(SEAT, hold=asyncio.Event()) as owner:
        with pytest.raises(Unavailable):
            await owner.get("/seats/1", Seat)


async def test_only_a_few_requests_wait_for_a_slow_owner() -> None:
    hold = asyncio.Event()
    async with asked(SEAT, hold=hold) as owner:
        waiting = [asyncio.create_task(owner.get("/seats/1", Seat)) for _ in range(owners.MAX_CONCURRENT)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await owner.get("/seats/1", Seat)
        hold.set()
        assert await asyncio.gather(*waiting) == [Seat(row=4)] * owners.MAX_CONCURRENT
        assert await owner.get("/seats/1", Seat) == Seat(row=4)
