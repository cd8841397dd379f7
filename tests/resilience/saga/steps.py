"""Actors: work that stops before each effect until the test decides how the effect ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from enum import Enum, auto
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import httpx
from pymongo.asynchronous.collection import AsyncCollection

REPLAYED = {"Idempotent-Replayed": "true"}
FAILURE = {"error": {"type": "api_error", "message": "An unknown error occurred"}}


class End(Enum):
    """How an effect ends. An effect is a database write or a request to Stripe.

    UNSENT, LOST, BROKEN and LATE concern requests only: a database write with such an end succeeds, as with
    WELL.
    """

    WELL = auto()
    """The database write or the request succeeds, and the process gets the result."""
    CRASH_BEFORE = auto()
    """The process crashes before the database write or the request."""
    CRASH_AFTER = auto()
    """The process crashes after the database write or the request, before it gets the result."""
    UNSENT = auto()
    """The request doesn't reach Stripe."""
    LOST = auto()
    """Stripe handles the request, and its answer is lost."""
    BROKEN = auto()
    """Stripe answers 500 and does nothing, now and for every request with the same idempotency key."""
    LATE = auto()
    """The request times out, and Stripe handles it much later."""


class Crash(BaseException):
    """A crash of the process. No code catches it, as with kill -9."""


class Actor:
    """The handling of one request or message, or one run of background work."""

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
        """Wait before an effect until the test decides how it ends."""
        waiting: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._parked.append(waiting)
        self._moved.set()
        return await waiting

    async def settled(self) -> None:
        """Wait until the actor stops before an effect or finishes."""
        while not self.done and not self._parked:
            self._moved.clear()
            await self._moved.wait()

    async def step(self, end: End) -> None:
        """End the oldest pending effect as given by `end`.

        Then wait for the next effect, or until the actor is done.
        """
        await self.settled()
        if self.done:
            return
        self._parked.pop(0).set_result(end)
        if end in (End.CRASH_BEFORE, End.CRASH_AFTER):
            await self._die()
        else:
            await self.settled()

    async def _die(self) -> None:
        """Crash all concurrent tasks of the process."""
        while not self.done:
            for waiting in self._parked:
                waiting.set_exception(Crash())
            self._parked.clear()
            self._moved.clear()
            if not self.done and not self._parked:
                await self._moved.wait()


_current: ContextVar[Actor | None] = ContextVar("actor", default=None)


async def _end() -> End:
    """Wait for the test's decision on how an effect ends. Effects outside of actors end well."""
    actor = _current.get()
    end = await actor.park() if actor else End.WELL
    if end is End.CRASH_BEFORE:
        raise Crash
    return end


@contextmanager
def writes_are_effects() -> Iterator[None]:
    """Let every write of an actor wait until the test decides how it ends."""

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
        patch.object(AsyncCollection, "update_many", gated(AsyncCollection.update_many)),
    ):
        yield


class StripeTransport(httpx.AsyncBaseTransport):
    """Holds each request to Stripe until the test decides how it ends, and then sends or loses it.

    A request that ends as LATE is kept in `late` until the test calls `deliver_late`.
    """

    def __init__(self) -> None:
        self.late: list[httpx.Request] = []
        self.keeps_keys = True
        """Whether idempotency keys are sent."""
        self.answers: list[tuple[httpx.Request, httpx.Response]] = []
        self._broken: set[str] = set()
        """Idempotency keys under which Stripe repeats a 500."""
        self._http = httpx.AsyncHTTPTransport()
        self.ends: Mapping[str, End] = {}
        """How requests that create something end, by their path. All others end as the test decides."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        end = await _end()
        if request.method == "POST":
            end = self.ends.get(request.url.path, end)
        match end:
            case End.UNSENT:
                raise httpx.ConnectError("the request was not delivered")
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
                key = request.headers.get("Idempotency-Key")
                is_repeated = key in self._broken
                if key:
                    self._broken.add(key)
                headers = REPLAYED if is_repeated else {}
                return httpx.Response(500, json=FAILURE, headers=headers, request=request)
        return await self._send(request)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        key = request.headers.get("Idempotency-Key")
        if key in self._broken:
            return httpx.Response(500, json=FAILURE, headers=REPLAYED, request=request)
        if not self.keeps_keys:
            request.headers.pop("Idempotency-Key", None)
        response = await self._http.handle_async_request(request)
        await response.aread()
        self.answers.append((request, response))
        return response

    async def deliver_late(self, index: int) -> None:
        """Send one of the requests that timed out before."""
        if self.late:
            await self._send(self.late.pop(index % len(self.late)))

    async def deliver_late_to(self, path: str) -> None:
        """Send all requests to this path, or below it, that timed out before."""
        late, self.late = self.late, []
        for request in late:
            if request.url.path.startswith(path):
                await self._send(request)
            else:
                self.late.append(request)

    async def aclose(self) -> None:
        await self._http.aclose()


class ClientSession:
    """Replaces aiohttp's session in the stripe package, and sends requests through this transport."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def request(self, method: str, url: str, *, headers: Any, data: Any, **_: Any) -> SimpleNamespace:
        response = await self._http.request(method, url, headers=headers, content=data)

        async def read() -> bytes:
            return response.content

        return SimpleNamespace(
            content=SimpleNamespace(read=read), status=response.status_code, headers=response.headers
        )

    async def close(self) -> None:
        """Do nothing, because `client_over` closes the client."""


@asynccontextmanager
async def client_over(transport: StripeTransport) -> AsyncIterator[ClientSession]:
    """A session that uses this transport."""
    async with httpx.AsyncClient(transport=transport) as http:
        yield ClientSession(http)
