"""The history of one order, event by event."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

from nats.js import JetStreamContext

from kit.nats import EVENTS, read_stream
from ops import order_events
from ops.connection import jetstream
from ops.errors import CommandError
from ops.order_events import Incomplete, StoredEvent
from settings import Settings


async def trace(settings: Settings, order_id: str, warn: Callable[[str], None]) -> AsyncIterator[str]:
    """One line for each event of the order, of its payment, and of its ticket while the order holds it.

    Args:
        warn: is called with a sentence for the operator if all events since the order was made are searched.

    Raises:
        CommandError: the stream has no event of the order.
    """
    start: datetime | None = None
    async with jetstream(settings) as js:
        async for event in events(js, settings, order_id, warn):
            start = start or event.message.stored_at
            yield line(event, start)
    if start is None:
        raise CommandError(f"The event stream has no order {order_id}.")


async def events(
    js: JetStreamContext, settings: Settings, order_id: str, warn: Callable[[str], None]
) -> AsyncIterator[StoredEvent]:
    """The events about the order, oldest first."""
    try:
        found = await order_events.of_order(js, settings, order_id)
    except Incomplete as reason:
        warn(f"All events since the order was made are searched, because {reason}.")
    else:
        for event in found:
            yield event
        return
    # The first four bytes of an ObjectId are its time of creation in seconds.
    made = datetime.fromtimestamp(int(order_id[:8], 16), UTC)
    async for message in read_stream(js, EVENTS, ">", made - timedelta(seconds=1)):
        event = StoredEvent.of(message)
        if event.is_about(order_id):
            yield event


def line(event: StoredEvent, start: datetime) -> str:
    message, body = event.message, event.body
    milliseconds = (message.stored_at - start).total_seconds() * 1000
    trace_id = message.headers.get("traceparent", "").split("-")[1:2]
    return (
        f"{milliseconds:9.1f} ms  {message.subject:20} version {body.get('version', '-')!s:3}"
        f" {body.get('status') or body.get('state', ''):17} trace {''.join(trace_id)[:8]}"
    )
