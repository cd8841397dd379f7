"""Live updates: what the bus says about a ticket or an order reaches the browsers that show it."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from types import FrameType

from faststream.nats import NatsBroker, NatsMessage
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Response, Stream
from prometheus_client import Gauge
from pydantic import ValidationError

from contracts.events import ALL_EVENTS, Event, OrderEvent, PaymentEvent, TicketEvent
from contracts.problems import PROBLEM_JSON, Problem
from settings import Settings
from web.hub import RESYNC, Hub, Topic, Watcher
from web.services import Refused, ServiceDown, Services

log = logging.getLogger(__name__)

HEARTBEAT = 15.0
"""Seconds; a proxy on the way may close a stream that is silent for a minute."""
RETRY = b"retry: 2000\n\n"
UNAVAILABLE = Problem.of(503, "Live updates are unavailable for a moment")
MAX_ORDERS = 20
MAX_TICKETS = 100

IsHeard = Callable[[], Awaitable[bool]]
"""Tells whether the bus is connected now."""

OPEN_STREAMS = Gauge("web_live_streams", "Browsers that listen")

_EVENTS = {event.subject: event for event in ALL_EVENTS}


def deliver(hub: Hub, event: Event, sequence: str) -> None:
    """Tickets are public. Orders and payments are signalled to nobody but the buyer."""
    match event:
        case TicketEvent():
            hub.tell(("ticket", event.id), sequence)
        case OrderEvent():
            hub.tell(("order", event.id), sequence, buyer=event.user_id)
        case PaymentEvent():  # a watcher of an order has been found to be its buyer
            hub.tell(("order", event.order_id), sequence)


@asynccontextmanager
async def listening(settings: Settings, hub: Hub) -> AsyncIterator[IsHeard]:
    """The bus in the background: it may be down at start, for a while, or for good."""

    async def resync() -> None:
        hub.tell_all(RESYNC)

    broker = NatsBroker(
        settings.bus, max_reconnect_attempts=-1, reconnect_time_wait=1, reconnected_cb=resync, logger=None
    )

    @broker.subscriber("live.>", no_reply=True)
    async def hear(message: NatsMessage) -> None:
        """Core NATS: a web process that wasn't there has no screen to refresh."""
        subject = message.raw_message.subject.removeprefix("live.")
        if (kind := _EVENTS.get(subject)) is None:
            return
        try:
            event = kind.model_validate_json(message.body)
        except ValidationError as error:
            log.warning("%s isn't as its contract says: %s", subject, error)
            return
        deliver(hub, event, message.headers.get("Nats-Sequence", ""))

    async def start() -> None:
        await broker.start()
        hub.tell_all(RESYNC)

    starting = asyncio.create_task(start())
    try:
        yield partial(broker.ping, 0.2)
    finally:
        await _ended(starting)
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await broker.stop()


async def _ended(task: asyncio.Task[None]) -> None:
    """asyncio.wait_for of Python 3.11, which nats-py uses, loses a cancellation that comes together with its
    result: ask until it's done."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1)


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


@get("/live", opt={"exclude_from_metrics": True, "exclude_from_csrf": True})
async def live(
    hub: NamedDependency[Hub],
    services: NamedDependency[Services],
    order: FromQuery[list[str] | None] = None,
    ticket: FromQuery[list[str] | None] = None,
) -> Response[bytes] | Stream:
    """A stream of signals about the orders and tickets that are asked for."""
    orders, tickets = set(order or ()), set(ticket or ())
    if len(orders) > MAX_ORDERS or len(tickets) > MAX_TICKETS or not (orders or tickets):
        return _problem(Problem.of(400, f"Ask for 1 to {MAX_ORDERS} orders or {MAX_TICKETS} tickets"))
    try:
        buyer = await _buyer_of(orders, services)
    except Refused as refused:
        return _problem(refused.problem)
    except ServiceDown:
        return _problem(UNAVAILABLE)
    if hub.full:
        return _problem(UNAVAILABLE)
    return Stream(
        _stream(hub, Watcher(_topics(orders, tickets), buyer)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _buyer_of(orders: set[str], services: Services) -> str | None:
    """Who may watch these orders: the orders service tells, and refuses anybody else's."""
    owned = await asyncio.gather(*(services.order(order_id) for order_id in orders))
    return next((order.user_id for order in owned), None)


def _topics(orders: set[str], tickets: set[str]) -> set[Topic]:
    return {*(("order", order_id) for order_id in orders), *(("ticket", ticket_id) for ticket_id in tickets)}


async def _stream(hub: Hub, watcher: Watcher) -> AsyncIterator[bytes]:
    hub.add(watcher)
    OPEN_STREAMS.inc()
    try:
        yield RETRY
        async for said in watcher.signals(HEARTBEAT):
            yield b": still here\n\n" if said is None else said.encode()
    finally:
        hub.remove(watcher)
        OPEN_STREAMS.dec()


def _problem(problem: Problem) -> Response[bytes]:
    return Response(problem.to_json().encode(), status_code=problem.status, media_type=PROBLEM_JSON)
