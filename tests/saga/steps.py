"""Work that stops before each of its effects until it is told how that one ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from enum import Enum, auto
from typing import Any, TypeVar
from unittest.mock import patch

import httpx
from pymongo.asynchronous.collection import AsyncCollection

T = TypeVar("T")


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


async def _effect(do: Callable[[], Awaitable[T]], *, is_write: bool, later: Callable[[], None]) -> T:
    """Do it as its actor is told to; what no actor does is simply done."""
    actor = _current.get()
    end = await actor.park() if actor else End.WELL
    if end is End.CRASH_BEFORE:
        raise Crash
    if not is_write and end is End.UNSENT:
        raise httpx.ConnectError("it didn't get through")
    if not is_write and end is End.LATE:
        later()
        raise httpx.ReadTimeout("no answer in time")
    result = await do()
    if end is End.CRASH_AFTER:
        raise Crash
    if not is_write and end is End.LOST:
        raise httpx.ReadError("the answer was lost")
    return result


@contextmanager
def writes_are_effects() -> Iterator[None]:
    """Every write of an actor to the database waits to be told how it ends."""

    def gated(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def write(self: Any, *args: Any, **options: Any) -> Any:
            return await _effect(lambda: method(self, *args, **options), is_write=True, later=lambda: None)

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
        self._http = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await _effect(
            lambda: self._send(request), is_write=False, later=lambda: self.late.append(request)
        )

    async def _send(self, request: httpx.Request) -> httpx.Response:
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
