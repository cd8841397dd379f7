"""Live updates: what the bus says about a ticket or an order reaches the browsers that show it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import jwt
from litestar import get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Response, Stream
from prometheus_client import Gauge

from contracts.problems import PROBLEM_JSON, Problem
from web.hub import MINE, Hub, Kind, Topic, Watcher
from web.page import WebRequest, caller_of
from web.services import Refused, ServiceDown, Services

HEARTBEAT = 15.0
"""Seconds; a proxy on the way may close a stream that is silent for a minute."""
RETRY = b"retry: 2000\n\n"
RETRY_AFTER = "5"
UNAVAILABLE = Problem.of(503, "Live updates are unavailable for a moment")
SIGN_IN = Problem.of(401, "Sign in to watch what is yours")
MAX_ORDERS = 20
MAX_TICKETS = 100
UNKNOWN = -1
"""Comes before every position, so who says to be there has missed more than is known."""

OPEN_STREAMS = Gauge("web_live_streams", "Browsers that listen")


@contextmanager
def closed_on_signals(hub: Hub) -> Iterator[None]:
    """End the streams when the process is told to end: the server waits for open answers first.

    The server's own handlers stay in force. Where signals can't be handled (another thread than the main
    one) nothing is changed.
    """
    loop = asyncio.get_running_loop()
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def close(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(hub.close)
        handler = previous[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)
        elif handler is signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    try:
        for number in previous:
            signal.signal(number, close)
    except ValueError:
        previous.clear()
    try:
        yield
    finally:
        hub.close()
        for number, handler in previous.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class Wanted:
    """What a browser asks for: some orders, some tickets, all that its user buys or sells."""

    orders: set[str]
    tickets: set[str]
    mine: tuple[Kind, ...]

    @property
    def is_fair(self) -> bool:
        is_something = bool(self.orders or self.tickets or self.mine)
        return is_something and len(self.orders) <= MAX_ORDERS and len(self.tickets) <= MAX_TICKETS


@get("/live", opt={"exclude_from_metrics": True, "exclude_from_csrf": True})
async def live(
    request: WebRequest,
    hub: NamedDependency[Hub],
    services: NamedDependency[Services],
    state: State,
    order: FromQuery[list[str] | None] = None,
    ticket: FromQuery[list[str] | None] = None,
    buyer: FromQuery[str | None] = None,
    seller: FromQuery[str | None] = None,
    since: FromQuery[str | None] = None,
) -> Response[bytes] | Stream:
    """A stream of signals about the orders and tickets that are asked for.

    One stream serves all tabs of a browser, so what its user may not watch is left out, and the stream is
    refused if that leaves nothing. Who was there before says where it stopped, and hears what it missed.
    """
    wishes: tuple[tuple[Kind, str | None], ...] = (("buyer", buyer), ("seller", seller))
    mine = tuple(kind for kind, whose in wishes if whose is not None)
    wanted = Wanted(set(order or ()), set(ticket or ()), mine)
    if not wanted.is_fair or not {buyer, seller} <= {None, MINE}:
        return _problem(
            Problem.of(400, f"Ask for 1 to {MAX_ORDERS} orders or {MAX_TICKETS} tickets, or mine")
        )
    address = state.settings.origin_of(caller_of(request, None).forwarded_for)
    try:
        watcher = await _watcher(wanted, services, address)
    except Refused as refused:
        return _problem(refused.problem)
    except ServiceDown:
        return _problem(UNAVAILABLE)
    if not hub.has_room_for(watcher):
        return _problem(UNAVAILABLE)
    position = _position(request.headers.get("last-event-id") or since)
    return Stream(
        _stream(hub, watcher, position),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _watcher(wanted: Wanted, services: Services, address: str) -> Watcher:
    """The orders service tells whose an order is, and refuses anybody else's; auth tells who "me" is.

    Raises:
        Refused: nothing of what is wanted may be watched. 401 comes before all else: it can be mended.
        ServiceDown
    """
    topics: set[Topic] = {("ticket", ticket_id) for ticket_id in wanted.tickets}
    viewer, refusals = None, []
    looks = (services.order(order_id) for order_id in wanted.orders)
    for found in await asyncio.gather(*looks, return_exceptions=True):
        if isinstance(found, Refused):
            refusals.append(found)
        elif isinstance(found, BaseException):
            raise found
        else:
            viewer = found.user_id
            topics.add(("order", found.id))
    if wanted.mine:
        user = await services.current_user()
        if user is None:
            refusals.append(Refused(SIGN_IN))
        else:
            viewer = user.id
            topics.update((kind, user.id) for kind in wanted.mine)
    if viewer is not None and (session := _session_in(services.caller.session or "")) is not None:
        topics.add(("session", session))
    if not topics:
        raise min(refusals, key=lambda refused: refused.status)
    return Watcher(topics, viewer, address)


def _session_in(token: str) -> str | None:
    """The id of the session, of a token that a service has just accepted: nothing is verified here."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return None
    return str(claims.get("sid"))


def _position(said: str | None) -> int | None:
    """Of a browser that was here before: the number of the last change that it knows."""
    if not said:
        return None
    return int(said) if said.isascii() and said.isdecimal() and len(said) < 20 else UNKNOWN


async def _stream(hub: Hub, watcher: Watcher, since: int | None) -> AsyncIterator[bytes]:
    if not hub.has_room_for(watcher):  # many came at once, and there was for each of them
        return
    hub.add(watcher, since)
    OPEN_STREAMS.inc()
    try:
        yield RETRY
        async for said in watcher.signals(HEARTBEAT):
            yield (hub.here() if said is None else said).encode()
    finally:
        hub.remove(watcher)
        OPEN_STREAMS.dec()


def _problem(problem: Problem) -> Response[bytes]:
    return Response(
        problem.to_json().encode(),
        status_code=problem.status,
        media_type=PROBLEM_JSON,
        headers={"Retry-After": RETRY_AFTER} if problem.status == 503 else {},
    )
