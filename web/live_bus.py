"""What the bus says, told to the hub: about which topics each message is."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import nats.errors
from faststream.nats import NatsBroker, NatsMessage
from nats.aio.client import Client
from pydantic import ValidationError

from contracts.events import ALL_EVENTS, Event, OrderEvent, PaymentEvent, SessionEnded, TicketEvent
from settings import Settings
from web.hub import Change, Hub

log = logging.getLogger(__name__)

MAX_BUYERS = 10_000
"""Orders whose buyer is remembered: about a megabyte."""

PING_SECONDS = 3
"""A server that answers none of three pings is left for another."""

INBOX = "_INBOX.web"
"""Where web is answered. It may hear nobody else's answers."""

LOOK_SECONDS = 2.0
MOST_UNLED = 4
"""A node is left when nobody leads JetStream there in so many looks on end: more than most elections take."""

IsHeard = Callable[[], Awaitable[bool]]
"""Tells whether the bus is connected now."""

_EVENTS = {event.subject: event for event in ALL_EVENTS}


class Interpreter:
    """Finds who is concerned. An event of a payment doesn't name the buyer, but its order's came before."""

    def __init__(self, max_buyers: int = MAX_BUYERS) -> None:
        self._buyers: dict[str, str] = {}
        self._max_buyers = max_buyers

    def change(self, event: Event | None, number: int) -> Change:
        """Tickets are public. Orders and payments are signalled to nobody but the buyer."""
        match event:
            case TicketEvent():
                return Change(number, (("ticket", event.id), ("seller", event.user_id)))
            case OrderEvent():
                self._remember(event)
                return Change(number, (("order", event.id), ("buyer", event.user_id)), event.user_id)
            case PaymentEvent():
                buyer = self._buyers.get(event.order_id)
                mine = (("buyer", buyer),) if buyer is not None else ()
                return Change(number, (("order", event.order_id), *mine), buyer)
            case SessionEnded():
                return Change(number, (("session", event.session_id),))
        return Change(number)

    def _remember(self, order: OrderEvent) -> None:
        self._buyers.pop(order.id, None)
        self._buyers[order.id] = order.user_id
        if len(self._buyers) > self._max_buyers:
            self._buyers.pop(next(iter(self._buyers)))


@asynccontextmanager
async def listening(settings: Settings, hub: Hub) -> AsyncIterator[IsHeard]:
    """The bus in the background: it may be down at start, for a while, or for good."""

    async def lose_track() -> None:
        hub.lose_track()

    broker = NatsBroker(
        # As services do: begin with any node, and go on to the next.
        random.sample(settings.bus, len(settings.bus)),
        dont_randomize=True,
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        ping_interval=PING_SECONDS,
        inbox_prefix=INBOX,
        reconnected_cb=lose_track,
        logger=None,
    )
    interpreter = Interpreter()

    @broker.subscriber("live.>", no_reply=True)
    async def hear(message: NatsMessage) -> None:
        """Core NATS: a web process that wasn't there has no screen to refresh."""
        number = message.headers.get("Nats-Sequence", "")
        if number.isascii() and number.isdecimal():  # what a stream republishes has one
            hub.tell(interpreter.change(_event_in(message), int(number)))

    async def start() -> None:
        await broker.start()
        _outlive_errors(broker.connection)
        hub.lose_track()
        if len(settings.bus) > 1:
            await _stay_in_reach(broker)

    starting = asyncio.create_task(start())
    try:
        yield partial(broker.ping, 0.2)
    finally:
        await _ended(starting)
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await broker.stop()


def _outlive_errors(connection: Client) -> None:
    """Connect anew when the server reports an error that it ends the connection for. nats-py 2.16 would close
    it for good, and browsers would hear of nothing any more."""
    usual = connection._process_err

    async def process(err_msg: str) -> None:
        if "permissions violation" in err_msg.lower():  # of one subject: the connection goes on
            await usual(err_msg)
        else:
            log.warning("NATS ends the connection: %s", err_msg)
            await connection._process_op_err(nats.errors.Error(f"nats: {err_msg}"))

    connection._process_err = process  # type: ignore[method-assign] # there is no option for it


async def _stay_in_reach(broker: NatsBroker) -> None:
    """Leave a node of a cluster that is cut off from the others, where nothing is heard. Never ends."""
    unled = 0
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        unled = 0 if await _is_led(broker) else unled + 1
        if unled >= MOST_UNLED:
            log.warning("nobody leads JetStream here: another server may know better")
            await broker.connection.force_reconnect()
            unled = 0


async def _is_led(broker: NatsBroker) -> bool:
    if not broker.connection.is_connected:
        return True  # on the way already
    try:
        await broker.connection.jetstream(timeout=2).account_info()
    except (nats.errors.Error, TimeoutError):
        return False
    return True


def _event_in(message: NatsMessage) -> Event | None:
    subject = message.raw_message.subject.removeprefix("live.")
    if (kind := _EVENTS.get(subject)) is None:
        return None
    try:
        return kind.model_validate_json(message.body)
    except ValidationError as error:
        log.warning("%s isn't as its contract says: %s", subject, error)
        return None


async def _ended(task: asyncio.Task[None]) -> None:
    """asyncio.wait_for of Python 3.11, which nats-py uses, loses a cancellation that comes together with its
    result: ask until it's done."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1)
