"""The trace of an order: events of the order and its payment, and of the ticket while the order holds it."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from faststream.nats import NatsBroker
from nats.js import JetStreamContext

from contracts.events import ALL_EVENTS, ExpirationComplete
from contracts.wire import now
from kit.aggregates import Aggregate
from kit.mongo import database
from kit.nats import StoredMessage, read_message, read_stream
from kit.outbox import MAX_SEQUENCES, Outbox
from ops import order_events
from ops import trace as tracing
from ops.errors import CommandError
from ops.trace import trace
from sandbox.testing import free_port
from services.orders.documents import Order
from services.payments.documents import Payment
from services.tickets.documents import Ticket
from settings import Settings
from streams.publishers import Publishers
from streams.relay import Relay
from tests.integration.streams.conftest import Nats, bus, js, server  # noqa: F401 - fixtures

ORDER = "65f0c0ffee0000000000000b"
OTHER = "65f0c0ffee0000000000000c"
BUYER, SELLER = "b" * 24, "c" * 24

EVENTS = [
    ("order.created", f'{{"id": "{ORDER}", "version": 0, "status": "created"}}'),
    ("order.created", f'{{"id": "{OTHER}", "version": 0, "status": "created"}}'),
    ("ticket.updated", f'{{"id": "{OTHER}", "version": 1, "status": "reserved", "orderId": "{ORDER}"}}'),
    ("ticket.updated", f'{{"id": "{ORDER}", "version": 1, "status": "reserved", "orderId": "{OTHER}"}}'),
    ("payment.created", "{]"),
    ("payment.created", "[]"),
    ("payment.created", f'{{"id": "{OTHER}", "version": 0, "status": "captured", "orderId": "{ORDER}"}}'),
]
DATABASES: list[tuple[str, type[Aggregate]]] = [("orders", Order), ("payments", Payment), ("tickets", Ticket)]


class Marketplace:
    """Documents of three services, and the relay that publishes their events."""

    def __init__(self, jetstream: JetStreamContext, broker: NatsBroker, settings: Settings) -> None:
        self.js = jetstream
        self.settings = settings
        self.relay = Relay(
            Publishers(broker, "orders", ALL_EVENTS), Outbox([Order, Payment, Ticket]), sweep_seconds=1
        )
        self.warnings: list[str] = []

    async def add(self, document: Any) -> Any:
        await document.add()
        await self.relay.relay_all()
        return document

    async def change(self, document: Any, **changes: Any) -> Any:
        changed = await document.save_and_publish(changes)
        assert changed is not None
        await self.relay.relay_all()
        return changed

    async def list_ticket(self) -> Ticket:
        ticket: Ticket = await self.add(Ticket(user_id=SELLER, title="Low Roar", price_minor=1999))
        return ticket

    async def reserve(self, ticket: Ticket, deadline: datetime) -> tuple[Order, Ticket]:
        order: Order = await self.add(
            Order(
                user_id=BUYER,
                ticket_id=ticket.key,
                ticket_version=0,
                ticket_title="Low Roar",
                price_minor=1999,
                hold=1,
                slot=1,
                expires_at=deadline,
            )
        )
        return order, await self.change(ticket, status="reserved", order_id=order.key)

    async def buy(self) -> tuple[Order, Ticket]:
        """A complete purchase."""
        order, ticket = await self.reserve(await self.list_ticket(), now() + timedelta(minutes=15))
        payment = Payment(order_id=order.key, user_id=BUYER, amount=1999, currency="usd", token="tok_visa")
        payment = await self.add(payment)
        payment = await self.change(payment, status="authorized")
        order = await self.change(order, status="complete", active=False, live=False)
        ticket = await self.change(ticket, status="sold")
        await self.change(payment, status="captured")
        return order, ticket

    async def publish_other_events(self, count: int) -> None:
        for number in range(count):
            body = {"id": f"{number:024}", "version": 1, "status": "reserved", "orderId": OTHER}
            await self.js.publish("ticket.updated", json.dumps(body).encode())

    async def trace(self, order_id: str) -> list[list[str]]:
        """Subject, version and status of each line."""
        lines = [line async for line in trace(self.settings, order_id, self.warnings.append)]
        return [line.partition("trace")[0].split()[2:] for line in lines]


@pytest_asyncio.fixture
async def marketplace(
    server: Nats,  # noqa: F811
    js: JetStreamContext,  # noqa: F811
    mongo: str,
) -> AsyncIterator[Marketplace]:
    async with AsyncExitStack() as stack:
        for name, kind in DATABASES:
            await stack.enter_async_context(database(mongo, name, [kind]))
            await kind.get_pymongo_collection().delete_many({})
        broker = await stack.enter_async_context(NatsBroker(server.url, logger=None))
        settings = Settings.model_validate({"nats_url": server.url, "mongo_url": mongo})
        yield Marketplace(js, broker, settings)


@pytest.fixture
def events_read(monkeypatch: pytest.MonkeyPatch) -> list[StoredMessage]:
    """The messages that the command reads from the stream."""
    found: list[StoredMessage] = []

    async def read_one(*arguments: Any) -> StoredMessage | None:
        message = await read_message(*arguments)
        found.extend([message] if message else [])
        return message

    async def read_many(*arguments: Any) -> AsyncIterator[StoredMessage]:
        async for message in read_stream(*arguments):
            found.append(message)
            yield message

    monkeypatch.setattr(order_events, "read_message", read_one)
    monkeypatch.setattr(order_events, "read_stream", read_many)
    monkeypatch.setattr(tracing, "read_stream", read_many)
    return found


PURCHASE = [
    ["order.created", "version", "0", "created"],
    ["ticket.updated", "version", "1", "reserved"],
    ["payment.created", "version", "0", "pending"],
    ["payment.updated", "version", "1", "authorized"],
    ["order.updated", "version", "1", "complete"],
    ["ticket.updated", "version", "2", "sold"],
    ["payment.updated", "version", "2", "captured"],
]


async def test_a_trace_reads_only_the_events_that_the_documents_remember(
    marketplace: Marketplace, events_read: list[StoredMessage]
) -> None:
    order, _ = await marketplace.buy()
    await marketplace.publish_other_events(300)
    assert await marketplace.trace(order.key) == PURCHASE
    assert marketplace.warnings == []
    assert len(events_read) == len(PURCHASE) + 1  # one more: ticket.created


@pytest.mark.parametrize(("forgetful", "what"), [(Order, "order"), (Payment, "payment"), (Ticket, "ticket")])
async def test_if_a_document_does_not_remember_its_events_the_trace_says_so_and_searches_all_events(
    marketplace: Marketplace, events_read: list[StoredMessage], forgetful: type[Aggregate], what: str
) -> None:
    order, _ = await marketplace.buy()
    await marketplace.publish_other_events(300)
    await forgetful.get_pymongo_collection().update_many({}, {"$pop": {"sequences": -1}})
    assert await marketplace.trace(order.key) == PURCHASE
    assert marketplace.warnings == [
        "All events since the order was made are searched, because"
        f" the {what} doesn't remember all its events."
    ]
    assert len(events_read) > 300


async def test_a_sequence_number_of_another_message_is_not_trusted(marketplace: Marketplace) -> None:
    order, _ = await marketplace.buy()
    await marketplace.publish_other_events(1)
    last = (await marketplace.js.stream_info("EVENTS")).state.last_seq
    await Order.get_pymongo_collection().update_one({}, {"$set": {"sequences": [1, last]}})
    assert await marketplace.trace(order.key) == PURCHASE
    assert len(marketplace.warnings) == 1


async def test_a_ticket_that_has_forgotten_events_from_before_the_order_needs_no_search(
    marketplace: Marketplace,
) -> None:
    ticket = await marketplace.list_ticket()
    for price in range(MAX_SEQUENCES - 5):
        ticket = await marketplace.change(ticket, price_minor=2000 + price)
    order, ticket = await marketplace.reserve(ticket, now() + timedelta(minutes=15))
    ticket = await marketplace.change(ticket, status="available", order_id=None)
    for price in range(20):
        ticket = await marketplace.change(ticket, price_minor=3000 + price)
    version = str(MAX_SEQUENCES - 4)
    shown = [["order.created", "version", "0", "created"], ["ticket.updated", "version", version, "reserved"]]
    assert (await marketplace.trace(order.key), marketplace.warnings) == (shown, [])
    for price in range(MAX_SEQUENCES):
        ticket = await marketplace.change(ticket, price_minor=4000 + price)
    assert await marketplace.trace(order.key) == shown
    assert len(marketplace.warnings) == 1  # by now, the ticket has forgotten its events about the order
    stored = await Ticket.get_pymongo_collection().find_one({})
    assert stored is not None
    assert len(stored["sequences"]) == MAX_SEQUENCES


async def test_the_trace_of_an_expired_order_contains_the_events_of_its_timers(
    marketplace: Marketplace, events_read: list[StoredMessage]
) -> None:
    early, late = now() - timedelta(seconds=2), now() - timedelta(seconds=1)
    order, ticket = await marketplace.reserve(await marketplace.list_ticket(), early)
    await marketplace.publish_other_events(300)
    for deadline, key in ((early, OTHER), (early, order.key)):
        await announce(marketplace, key, deadline)
    order = await marketplace.change(order, expires_at=late)
    await announce(marketplace, order.key, late)
    changes = {"status": "cancelled", "cancel_reason": "expired", "active": False, "live": False}
    await marketplace.change(order, **changes)
    await marketplace.change(ticket, status="available", order_id=None)
    assert [line[0] for line in await marketplace.trace(order.key)] == [
        *("order.created", "ticket.updated", "expiration.complete"),
        *("order.updated", "expiration.complete", "order.cancelled"),
    ]
    assert marketplace.warnings == []
    assert len(events_read) < 20


async def announce(marketplace: Marketplace, order_id: str, deadline: datetime) -> None:
    """Publish that the time to pay is over."""
    event = ExpirationComplete(order_id=order_id, expires_at=deadline)
    await marketplace.js.publish(event.subject, event.to_json().encode())


async def test_the_trace_of_an_order_whose_events_were_deleted_searches_nothing(
    marketplace: Marketplace, events_read: list[StoredMessage]
) -> None:
    order, _ = await marketplace.buy()
    await marketplace.js.purge_stream("EVENTS")
    await marketplace.publish_other_events(300)
    with pytest.raises(CommandError, match=f"The event stream has no order {order.key}"):
        await marketplace.trace(order.key)
    assert (events_read, marketplace.warnings) == ([], [])


async def test_without_the_databases_each_event_of_an_order_is_a_line_with_the_time_since_the_first_event(
    server: Nats,  # noqa: F811
    js: JetStreamContext,  # noqa: F811
) -> None:
    headers = {"traceparent": "00-3f0c9a1b000000000000000000000000-1111111111111111-01"}
    for subject, body in EVENTS:
        await js.publish(subject, body.encode(), headers=headers)
    warnings: list[str] = []
    nowhere = f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=300"
    settings = Settings.model_validate({"nats_url": server.url, "mongo_url": nowhere})
    lines = [line async for line in trace(settings, ORDER, warnings.append)]
    assert [line.split()[2:] for line in lines] == [
        ["order.created", "version", "0", "created", "trace", "3f0c9a1b"],
        ["ticket.updated", "version", "1", "reserved", "trace", "3f0c9a1b"],
        ["payment.created", "version", "0", "captured", "trace", "3f0c9a1b"],
    ]
    assert lines[0].split()[:2] == ["0.0", "ms"]
    assert ["the databases can't be read" in warning for warning in warnings] == [True]


async def test_tracing_an_order_without_events_is_an_error(marketplace: Marketplace) -> None:
    await marketplace.js.publish("order.created", EVENTS[0][1].encode())
    with pytest.raises(CommandError, match=f"The event stream has no order {OTHER}"):
        await marketplace.trace(OTHER)
