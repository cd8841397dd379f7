"""Work that stops before each of its effects until it is told how that one ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from enum import Enum, auto
from typing import Any
from unittest.mock import patch

import httpx
from pymongo.asynchronous.collection import AsyncCollection

FAILURE = {"error": {"type": "api_error", "message": "An unknown error occurred"}}


class End(Enum):
    """How an effect ends: a write to the database, or a request to Stripe."""

    WELL = auto()
    CRASH_BEFORE = auto()
    """The process dies before it."""
    CRASH_AFTER = auto()
    """The process dies before it hears of it."""
    UNSENT = auto()
    """A request doesn't get through. Of a write: as WELL."""
    LOST = auto()
    """The answer to a request is lost. Of a write: as WELL."""
    BROKEN = auto()
    """Stripe does nothing, answers 500 and repeats that under the request's key. Of a write: as WELL."""
    LATE = auto()
    """The answer is lost, and Stripe gets to the request much later. Of a write: as WELL."""


class Crash(BaseException):
    """Nothing catches it, as nothing catches kill -9."""


class Actor:
    """One request, message or round of a process, on its own."""

    def __init__(self, name: str, work: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> None:
        self.name = name
        self.error: Exception | None = None
        self.crashed = False
        self._parked: list[asyncio.Future[End]] = []
        self._moved = asyncio.Event()
        self._task = loop.create_task(self._run(work))
        self._task.add_done_callback(lambda _: self._moved.set())

    @property
    def done(self) -> bool:
        return self._task.done()

    async def _run(self, work: Coroutine[Any, Any, Any]) -> None:
        _current.set(self)
        try:
            await work
        except Crash:
            self.crashed = True
        except Exception as error:
            self.error = error

    async def park(self) -> End:
        """Wait before an effect until somebody says how it ends."""
        waiting: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._parked.append(waiting)
        self._moved.set()
        return await waiting

    async def settled(self) -> None:
        """Until it stands before an effect, or is over."""
        while not self.done and not self._parked:
            self._moved.clear()
            await self._moved.wait()

    async def step(self, end: End) -> None:
        """Let the oldest of its effects end so, and wait for what comes next."""
        await self.settled()
        if self.done:
            return
        self._parked.pop(0).set_result(end)
        if end in (End.CRASH_BEFORE, End.CRASH_AFTER):
            await self._die()
        else:
            await self.settled()

    async def _die(self) -> None:
        """All that runs in the process goes with it."""
        while not self.done:
            for waiting in self._parked:
                waiting.set_exception(Crash())
            self._parked.clear()
            self._moved.clear()
            if not self.done and not self._parked:
                await self._moved.wait()


_current: ContextVar[Actor | None] = ContextVar("actor", default=None)


async def _end() -> End:
    """How an effect is to end; what no actor does ends well."""
    actor = _current.get()
    end = await actor.park() if actor else End.WELL
    if end is End.CRASH_BEFORE:
        raise Crash
    return end


@contextmanager
def writes_are_effects() -> Iterator[None]:
    """Every write of an actor to the database waits to be told how it ends."""

    def gated(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def write(self: Any, *args: Any, **options: Any) -> Any:
            end = await _end()
            result = await method(self, *args, **options)
            if end is End.CRASH_AFTER:
                raise Crash
            return result

        return write

    with (
        patch.object(AsyncCollection, "insert_one", gated(AsyncCollection.insert_one)),
        patch.object(AsyncCollection, "update_one", gated(AsyncCollection.update_one)),
    ):
        yield


class Wire(httpx.AsyncBaseTransport):
    """The way to Stripe. Requests of actors wait to be told how they end; some arrive late."""

    def __init__(self) -> None:
        self.late: list[httpx.Request] = []
        self.keeps_keys = True
        """False: idempotency keys get lost on the way."""
        self.answers: list[tuple[httpx.Request, httpx.Response]] = []
        self._broken: set[str] = set()
        """Keys under which Stripe repeats that it failed."""
        self._http = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        match await _end():
            case End.UNSENT:
                raise httpx.ConnectError("it didn't get through")
            case End.LATE:
                self.late.append(request)
                raise httpx.ReadTimeout("no answer in time")
            case End.LOST:
                await self._send(request)
                raise httpx.ReadError("the answer was lost")
            case End.CRASH_AFTER:
                await self._send(request)
                raise Crash
            case End.BROKEN:
                if key := request.headers.get("Idempotency-Key"):
                    self._broken.add(key)
                return httpx.Response(500, json=FAILURE, request=request)
        return await self._send(request)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        key = request.headers.get("Idempotency-Key")
        if key in self._broken:
            return httpx.Response(500, json=FAILURE, request=request)
        if not self.keeps_keys:
            request.headers.pop("Idempotency-Key", None)
        response = await self._http.handle_async_request(request)
        await response.aread()
        self.answers.append((request, response))
        return response

    async def arrive(self, index: int) -> None:
        """A request that was given up on gets to Stripe after all."""
        if self.late:
            await self._send(self.late.pop(index % len(self.late)))

    async def aclose(self) -> None:
        await self._http.aclose()


@asynccontextmanager
async def over(wire: Wire) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose requests go over the wire."""
    async with httpx.AsyncClient(transport=wire) as http:
        yield http
