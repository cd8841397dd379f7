"""The history of one order, event by event."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import from_json

from kit.nats import EVENTS, StoredMessage, read_stream
from ops.connection import jetstream
from ops.errors import CommandError
from settings import Settings


async def trace(settings: Settings, order_id: str) -> AsyncIterator[str]:
    """One line for each event of the order, of its payment, and of its ticket while the order holds it.

    Raises:
        CommandError: the stream has no event of the order.
    """
    # The first four bytes of an ObjectId are its time of creation in seconds.
    made = datetime.fromtimestamp(int(order_id[:8], 16), UTC)
    start: datetime | None = None
    async with jetstream(settings) as js:
        async for message in read_stream(js, EVENTS, ">", made - timedelta(seconds=1)):
            body = decoded(message)
            if is_about(order_id, message.subject, body):
                start = start or message.stored_at
                yield line(message, body, start)
    if start is None:
        raise CommandError(f"The event stream has no order {order_id}.")


def decoded(message: StoredMessage) -> dict[str, Any]:
    """The body of a message, or an empty dict if the body isn't a JSON object and therefore not an event."""
    try:
        body = from_json(message.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def is_about(order_id: str, subject: str, body: dict[str, Any]) -> bool:
    """Whether an event is about the order, its payment, or its ticket while the order holds the ticket."""
    return order_id in (body.get("orderId"), body.get("id") if subject.startswith("order.") else None)


def line(message: StoredMessage, body: dict[str, Any], start: datetime) -> str:
    milliseconds = (message.stored_at - start).total_seconds() * 1000
    trace_id = message.headers.get("traceparent", "").split("-")[1:2]
    return (
        f"{milliseconds:9.1f} ms  {message.subject:20} version {body.get('version', '-')!s:3}"
        f" {body.get('status', ''):17} trace {''.join(trace_id)[:8]}"
    )
