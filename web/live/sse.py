"""Live updates: server-sent events tell a browser that a ticket or an order on its page has changed."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Response, Stream
from prometheus_client import Gauge

from contracts.problems import Problem
from kit.http.problems import problem_response
from web.api_client import ApiClient, Refused, ServiceDown
from web.live.changes import Kind, Topic
from web.live.hub import MINE, Hub, Watcher
from web.page_context import Viewer
from web.request import WebRequest

RETRY = b"retry: 2000\n\n"
RETRY_AFTER = 5
"""Seconds after which a client may retry while live updates are unavailable."""
UNAVAILABLE = Problem.of(503, "Live updates are unavailable for a moment")
SIGN_IN = Problem.of(401, "Sign in to watch what is yours")
MAX_ORDERS = 20
MAX_TICKETS = 100
MAX_SHOWS = 20
UNKNOWN = -1
"""The position of a browser that sent an invalid position. All changes follow it, so that the browser fetches
everything."""

OPEN_STREAMS = Gauge("stagedoor_web_live_streams", "Open streams of live updates")


@contextmanager
def closed_on_signals(hub: Hub) -> Iterator[None]:
    """End the streams on SIGTERM and SIGINT, because the server waits for open responses before it stops.

    The server's own signal handlers still run. Outside the main thread, where Python can't handle signals,
    nothing is changed.
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
class RequestedTopics:
    """The topics that a browser requests: orders, tickets, events, and all orders, sales or matches of its
    user."""

    orders: set[str]
    tickets: set[str]
    shows: set[str]
    mine: tuple[Kind, ...]

    @property
    def is_acceptable(self) -> bool:
        is_nonempty = bool(self.orders or self.tickets or self.shows or self.mine)
        limits = ((self.orders, MAX_ORDERS), (self.tickets, MAX_TICKETS), (self.shows, MAX_SHOWS))
        return is_nonempty and all(len(ids) <= limit for ids, limit in limits)


@get("/live", opt={"exclude_from_metrics": True})
async def live(
    request: WebRequest,
    hub: NamedDependency[Hub],
    api: NamedDependency[ApiClient],
    viewer: NamedDependency[Viewer],
    order: FromQuery[list[str] | None] = None,
    ticket: FromQuery[list[str] | None] = None,
    show: FromQuery[list[str] | None] = None,
    buyer: FromQuery[str | None] = None,
    seller: FromQuery[str | None] = None,
    alerts: FromQuery[str | None] = None,
    since: FromQuery[str | None] = None,
) -> Response[bytes] | Stream:
    """A stream of signals about the requested orders, tickets and events.

    One stream serves all tabs of a browser. Topics that the user may not watch are left out. If no topic is
    left, the stream is refused. It ends when the user's token expires or the session ends. A browser that
    reconnects sends the last sequence number that it received, and then receives the signals that it missed.
    """
    user_topics: tuple[tuple[Kind, str | None], ...] = (
        ("buyer", buyer),
        ("seller", seller),
        ("alerts", alerts),
    )
    mine = tuple(kind for kind, user in user_topics if user is not None)
    requested = RequestedTopics(set(order or ()), set(ticket or ()), set(show or ()), mine)
    if not requested.is_acceptable or not {buyer, seller, alerts} <= {None, MINE}:
        return problem_response(
            Problem.of(
                400, f"Ask for 1 to {MAX_ORDERS} orders, {MAX_TICKETS} tickets or {MAX_SHOWS} shows, or mine"
            )
        )
    try:
        watcher = await _watcher(requested, api, viewer, request.client_address)
    except Refused as refused:
        return problem_response(refused.problem)
    except ServiceDown:
        return problem_response(UNAVAILABLE, retry_after=RETRY_AFTER)
    if not hub.admits(watcher):
        return problem_response(UNAVAILABLE, retry_after=RETRY_AFTER)
    position = _position(request.headers.get("last-event-id") or since)
    return Stream(
        _stream(hub, watcher, position),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _watcher(requested: RequestedTopics, api: ApiClient, viewer: Viewer, address: str) -> Watcher:
    """The stream of a user for the requested topics, without those that the user may not watch.

    The orders service refuses orders of other users.

    Raises:
        Refused: the user may watch none of the topics. A 401 takes precedence, because signing in may help.
        ServiceDown: a service can't be reached, or it isn't known yet who is signed in.
    """
    if not viewer.known and (requested.orders or requested.mine):
        raise ServiceDown("auth")
    topics: set[Topic] = {("ticket", ticket_id) for ticket_id in requested.tickets}
    topics |= {("show", show_id) for show_id in requested.shows}
    refusals = []
    lookups = (api.order(order_id) for order_id in requested.orders)
    for found in await asyncio.gather(*lookups, return_exceptions=True):
        if isinstance(found, Refused):
            refusals.append(found)
        elif isinstance(found, BaseException):
            raise found
        else:
            topics.add(("order", found.id))
    if viewer.user is not None:
        topics.update((kind, viewer.user.id) for kind in requested.mine)
    elif requested.mine:
        refusals.append(Refused(SIGN_IN))
    if not topics:
        raise min(refusals, key=lambda refused: refused.status)
    if viewer.session_id is not None:
        topics.add(("session", viewer.session_id))
    return Watcher(topics, viewer.user.id if viewer.user else None, address, viewer.is_valid)


def _position(text: str | None) -> int | None:
    """The last sequence number that a reconnecting browser has received. None if it sent no number."""
    if not text:
        return None
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else UNKNOWN


async def _stream(hub: Hub, watcher: Watcher, since: int | None) -> AsyncIterator[bytes]:
    if not hub.admits(watcher):  # other streams may have opened since `live` checked
        return
    hub.add(watcher, since)
    OPEN_STREAMS.inc()
    try:
        yield RETRY
        async for signals in watcher.batches():
            yield b"".join([each.encoded for each in signals])
    finally:
        hub.remove(watcher)
        OPEN_STREAMS.dec()
