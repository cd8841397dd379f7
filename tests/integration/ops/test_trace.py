"""The trace of an order: events of the order and its payment, and of the ticket while the order holds it."""

import pytest
from nats.js import JetStreamContext

from ops.errors import CommandError
from ops.trace import trace
from settings import Settings
from tests.integration.streams.conftest import Nats, bus, js, server  # noqa: F401 - fixtures

ORDER = "65f0c0ffee0000000000000b"
OTHER = "65f0c0ffee0000000000000c"

EVENTS = [
    ("order.created", f'{{"id": "{ORDER}", "version": 0, "status": "created"}}'),
    ("order.created", f'{{"id": "{OTHER}", "version": 0, "status": "created"}}'),
    ("ticket.updated", f'{{"id": "{OTHER}", "version": 1, "status": "reserved", "orderId": "{ORDER}"}}'),
    ("ticket.updated", f'{{"id": "{ORDER}", "version": 1, "status": "reserved", "orderId": "{OTHER}"}}'),
    ("payment.created", "{]"),
    ("payment.created", "[]"),
    ("payment.created", f'{{"id": "{OTHER}", "version": 0, "status": "captured", "orderId": "{ORDER}"}}'),
]


async def trace_lines(server: Nats, order_id: str) -> list[str]:  # noqa: F811
    settings = Settings.model_validate({"nats_url": server.url})
    return [line async for line in trace(settings, order_id)]


async def test_each_event_of_an_order_is_a_line_with_the_time_since_the_first_event(
    server: Nats,  # noqa: F811
    js: JetStreamContext,  # noqa: F811
) -> None:
    headers = {"traceparent": "00-3f0c9a1b000000000000000000000000-1111111111111111-01"}
    for subject, body in EVENTS:
        await js.publish(subject, body.encode(), headers=headers)
    lines = await trace_lines(server, ORDER)
    assert [line.split()[2:] for line in lines] == [
        ["order.created", "version", "0", "created", "trace", "3f0c9a1b"],
        ["ticket.updated", "version", "1", "reserved", "trace", "3f0c9a1b"],
        ["payment.created", "version", "0", "captured", "trace", "3f0c9a1b"],
    ]
    assert lines[0].split()[:2] == ["0.0", "ms"]


async def test_tracing_an_order_without_events_is_an_error(
    server: Nats,  # noqa: F811
    js: JetStreamContext,  # noqa: F811
) -> None:
    await js.publish("order.created", EVENTS[0][1].encode())
    with pytest.raises(CommandError, match=f"The event stream has no order {OTHER}"):
        await trace_lines(server, OTHER)
