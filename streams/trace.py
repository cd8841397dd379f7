"""What happened to an order, event by event: `just trace ORDER`."""

import argparse
import asyncio
import re
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy
from pydantic_core import from_json

from streams.operator import jetstream
from streams.topology import EVENTS

MESSAGE_SECONDS = 5.0


async def since(js: JetStreamContext, moment: datetime) -> AsyncIterator[Msg]:
    """The events from a time on, oldest first, up to now."""
    subscription = await js.subscribe(
        ">",
        stream=EVENTS,
        ordered_consumer=True,
        config=ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=moment),
    )
    try:
        info = await subscription.consumer_info()
        left = (info.num_pending or 0) + (info.delivered.consumer_seq if info.delivered else 0)
        for _ in range(left):
            yield await subscription.next_msg(timeout=MESSAGE_SECONDS)
    finally:
        await subscription.unsubscribe()


def is_about(order_id: str, subject: str, body: dict[str, Any]) -> bool:
    """Whether an event is of the order, of its payment, or of its ticket while it holds it."""
    return order_id in (body.get("orderId"), body.get("id") if subject.startswith("order.") else None)


def line(message: Msg, body: dict[str, Any], start: datetime) -> str:
    stored = message.metadata.timestamp
    milliseconds = (stored - start).total_seconds() * 1000
    trace = (message.headers or {}).get("traceparent", "").split("-")[1:2]
    return (
        f"{milliseconds:9.1f} ms  {message.subject:20} version {body.get('version', '-')!s:3}"
        f" {body.get('status', ''):17} trace {''.join(trace)[:8]}"
    )


async def main() -> None:
    parser = argparse.ArgumentParser(prog="just trace", description=__doc__)
    parser.add_argument("order", help="its id: the 24 digits at the end of the address of its page")
    order_id = parser.parse_args().order.rpartition("/")[2]
    if not re.fullmatch("[0-9a-f]{24}", order_id):
        parser.error("an order's id is the 24 digits at the end of the address of its page")
    # The first four bytes of an ObjectId are the second in which it was made.
    made = datetime.fromtimestamp(int(order_id[:8], 16), UTC)
    start: datetime | None = None
    async with jetstream() as js:
        async for message in since(js, made - timedelta(seconds=1)):
            body = from_json(message.data)
            if is_about(order_id, message.subject, body):
                start = start or message.metadata.timestamp
                sys.stdout.write(line(message, body, start) + "\n")
    if start is None:
        sys.exit(f"The bus knows of no order {order_id}.")


if __name__ == "__main__":
    asyncio.run(main())
