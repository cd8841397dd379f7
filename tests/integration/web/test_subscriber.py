"""The subscriber converts live messages into changes for the hub. No NATS or browser is needed."""

from collections.abc import AsyncIterator
from unittest.mock import Mock

import pytest
import pytest_asyncio
from faststream.nats import NatsBroker, TestNatsBroker

from contracts.events import ALL_EVENTS
from contracts.examples import BUYER, ORDER, SELLER, SESSION, SHOW, TICKET
from tests.support.feeds import feed_of
from tests.unit.contracts.examples import GOLDEN
from web.live.changes import Change, Topic
from web.live.hub import Hub
from web.live.subscriber import subscribe

TICKET_TOPICS: list[Topic] = [("ticket", TICKET), ("seller", SELLER)]
SHOW_TOPICS: list[Topic] = [*TICKET_TOPICS, ("show", SHOW)]
ORDER_TOPICS: list[Topic] = [("order", ORDER), ("buyer", BUYER)]

TOPICS: dict[str, list[Topic]] = {
    "ticket.created": TICKET_TOPICS,
    "ticket.updated": SHOW_TOPICS,
    "order.created": ORDER_TOPICS,
    "order.updated": ORDER_TOPICS,
    "order.cancelled": ORDER_TOPICS,
    "payment.created": [("order", ORDER)],
    "payment.updated": [("order", ORDER)],
    "payout.created": [("seller", SELLER)],
    "payout.updated": [("seller", SELLER)],
    "alert.matched": [("alerts", BUYER)],
    "expiration.complete": [],
    "user.created": [],
    "user.updated": [],
    "link.created": [],
    "link.updated": [],
    "session.started": [],
    "session.ended": [("session", SESSION)],
}


@pytest.fixture
def hub() -> Mock:
    return Mock(spec=Hub, misses_events_before=Mock(return_value=False))


@pytest_asyncio.fixture(loop_scope="session")
async def broker(hub: Mock) -> AsyncIterator[NatsBroker]:
    broker = NatsBroker(apply_types=False)
    subscribe(broker, feed_of(hub))
    async with TestNatsBroker(broker):
        yield broker


def test_the_table_of_topics_covers_every_event() -> None:
    assert TOPICS.keys() == {event.subject for event in ALL_EVENTS}


@pytest.mark.parametrize("subject", TOPICS)
async def test_an_event_becomes_one_change_with_its_topics(
    subject: str, broker: NatsBroker, hub: Mock
) -> None:
    golden = (GOLDEN / "events" / f"{subject}.json").read_bytes()
    await broker.publish(golden, f"live.{subject}", headers={"Nats-Sequence": "7"})
    buyer = BUYER if subject.startswith("order.") else None
    hub.publish.assert_called_once_with(Change(7, tuple(TOPICS[subject]), buyer))


@pytest.mark.parametrize(
    ("subject", "body"), [("live.other", b"{}"), ("live.ticket.updated", b"not an event")]
)
async def test_an_unknown_or_malformed_event_advances_the_position(
    subject: str, body: bytes, broker: NatsBroker, hub: Mock
) -> None:
    await broker.publish(body, subject, headers={"Nats-Sequence": "8"})
    hub.publish.assert_called_once_with(Change(8))


@pytest.mark.parametrize("headers", [{}, {"Nats-Sequence": "-1"}, {"Nats-Sequence": "seven"}])
async def test_a_message_without_a_position_is_dropped(
    headers: dict[str, str], broker: NatsBroker, hub: Mock
) -> None:
    await broker.publish(b"{}", "live.ticket.updated", headers=headers)
    hub.publish.assert_not_called()
