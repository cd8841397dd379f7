"""The hub sends each browser the signals about its topics. No NATS is needed."""

import asyncio
from time import monotonic

import pytest

from contracts.events import OrderUpdated, PaymentUpdated, SessionEnded, TicketUpdated
from contracts.wire import now
from kit.networks import WIDE_FACTOR
from tests.support.polling import TIMEOUT
from web.live.buyers import Buyers
from web.live.changes import Change, Topic
from web.live.feed import change_of
from web.live.hub import MAX_WATCHERS_PER_NETWORK, Hub, Signal, Watcher

TICKET: Topic = ("ticket", "a" * 24)
ORDER: Topic = ("order", "b" * 24)
SESSION: Topic = ("session", "f" * 24)
OTHER_TICKET: Topic = ("ticket", "c" * 24)


async def pending_signals(watcher: Watcher) -> list[Signal]:
    """All pending signals of a watcher, without `here`, which carries the position. Ends the stream."""
    try:
        async with asyncio.timeout(0.001):  # pending signals are returned without waiting
            batch = await anext(watcher.batches(), ())
    except TimeoutError:
        return []
    return [signal for signal in batch if signal.name != "here"]


def hub_after(*changes: Change, limit: int = 100) -> Hub:
    hub = Hub(limit)
    for change in changes:
        hub.publish(change)
    return hub


async def test_several_pending_signals_about_one_ticket_are_merged() -> None:
    hub, watcher = Hub(), Watcher([TICKET], None)
    hub.add(watcher)
    for number in (1, 2, 3):
        hub.publish(Change(number, (TICKET,)))
    assert await pending_signals(watcher) == [Signal("ticket", "a" * 24, 3)]


async def test_a_slow_browser_has_one_pending_signal_per_topic_and_misses_none() -> None:
    topics: list[Topic] = [("ticket", str(number)) for number in range(300)]
    hub, watcher = Hub(), Watcher(topics, None)
    hub.add(watcher)
    for number in range(900):
        hub.publish(Change(number, (topics[number % 300],)))
    assert await pending_signals(watcher) == [
        Signal("ticket", str(number), 600 + number) for number in range(300)
    ]


async def test_an_order_event_reaches_only_its_buyer() -> None:
    hub, buyer, other = Hub(), Watcher([ORDER], "ann"), Watcher([ORDER], "bob")
    for watcher in (buyer, other):
        hub.add(watcher)
    hub.publish(Change(1, (ORDER,), buyer="ann"))
    assert len(await pending_signals(buyer)) == 1
    assert await pending_signals(other) == []


async def test_a_missed_order_event_is_repeated_only_to_its_buyer() -> None:
    hub = hub_after(Change(1), Change(2, (ORDER,), buyer="ann"))
    for viewer, signals in (("ann", [Signal("order", "b" * 24, 2)]), ("bob", []), (None, [])):
        watcher = Watcher([ORDER], viewer)
        hub.add(watcher, since=1)
        assert await pending_signals(watcher) == signals


async def test_a_reconnecting_browser_receives_the_missed_signals_of_its_topics_in_order() -> None:
    hub = hub_after(
        Change(7, (TICKET,)), Change(8, (OTHER_TICKET,)), Change(9, (ORDER,)), Change(10, (TICKET,))
    )
    watcher = Watcher([TICKET, OTHER_TICKET], None)
    hub.add(watcher, since=7)
    hub.publish(Change(11, (OTHER_TICKET,)))
    assert await pending_signals(watcher) == [Signal("ticket", "a" * 24, 10), Signal("ticket", "c" * 24, 11)]


@pytest.mark.parametrize("since", [9, 10])
async def test_a_reconnecting_browser_that_missed_nothing_receives_no_signal(since: int) -> None:
    watcher = Watcher([TICKET], None)
    hub_after(Change(9, (TICKET,)), Change(10)).add(watcher, since=since)
    assert await pending_signals(watcher) == []


@pytest.mark.parametrize("since", [-1, 0, 1, 3, 1000])
async def test_a_browser_whose_position_is_too_old_or_in_the_future_receives_a_resync(since: int) -> None:
    watcher = Watcher([TICKET], None)
    hub_after(*(Change(number, (TICKET,)) for number in range(5, 11)), limit=3).add(watcher, since=since)
    assert await pending_signals(watcher) == [Signal("resync", number=10)]


async def test_a_hub_without_events_sends_a_resync_to_a_reconnecting_browser() -> None:
    watcher = Watcher([TICKET], None)
    Hub().add(watcher, since=3)
    assert await pending_signals(watcher) == [Signal("resync")]


async def test_a_gap_in_the_sequence_numbers_sends_a_resync_to_every_browser() -> None:
    hub, watcher, late = hub_after(Change(5, (TICKET,))), Watcher([TICKET], None), Watcher([TICKET], None)
    hub.add(watcher)
    hub.publish(Change(7, (OTHER_TICKET,)))
    assert await pending_signals(watcher) == [Signal("resync", number=7)]
    hub.add(late, since=5)
    assert await pending_signals(late) == [Signal("resync", number=7)], (
        "changes from before the gap are discarded"
    )


async def test_a_new_stream_begins_with_the_position_of_the_hub() -> None:
    for hub, position in ((Hub(), None), (hub_after(Change(4)), 4)):
        watcher = Watcher([TICKET], None)
        hub.add(watcher)
        assert await anext(watcher.batches()) == (Signal("here", number=position),)
        assert hub.here() == Signal("here", number=position)


async def test_the_position_of_pages_is_before_changes_of_the_last_second() -> None:
    """A page may be up to a second old, so its position must be that of an older change."""
    now = monotonic()
    changes = [Change(number, received_at=now - ago) for number, ago in ((4, 9), (5, 2), (6, 0.1), (7, 0))]
    assert Hub().position_of_pages is None
    assert hub_after(*changes).position_of_pages == 5
    assert hub_after(*changes[2:]).position_of_pages == 5, "the position just before the oldest known change"


async def test_silent_streams_get_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, watcher = hub_after(Change(4)), Watcher([TICKET], None)
    hub.add(watcher)
    batches = watcher.batches()
    await anext(batches)
    hub.beat()
    assert watcher.is_silent_since(monotonic()), "the stream hasn't been silent for long enough"
    monkeypatch.setattr("web.live.hub.HEARTBEAT_SECONDS", 0.0)
    hub.beat()
    assert await anext(batches) == (hub.here(),)


async def test_a_heartbeat_does_not_overtake_a_queued_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat contains the position, so a browser that reconnects after it would miss the signal."""
    monkeypatch.setattr("web.live.hub.HEARTBEAT_SECONDS", 0.0)
    hub, watcher = Hub(), Watcher([TICKET], None)
    hub.add(watcher)
    batches = watcher.batches()
    await anext(batches)
    hub.publish(Change(1, (TICKET,)))
    hub.beat()
    assert await anext(batches) == (Signal("ticket", "a" * 24, 1),)


async def test_the_first_signal_is_sent_at_once_and_those_soon_after_it_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("web.live.hub.BATCH_SECONDS", 0.0)
    hub, watcher = Hub(), Watcher([TICKET, OTHER_TICKET], None)
    hub.add(watcher)
    batches = watcher.batches()
    await anext(batches)
    hub.publish(Change(1, (TICKET,)))
    assert await anext(batches) == (Signal("ticket", "a" * 24, 1),)
    hub.publish(Change(2, (TICKET,)))
    following = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0)
    hub.publish(Change(3, (OTHER_TICKET,)))
    assert await following == (Signal("ticket", "a" * 24, 2), Signal("ticket", "c" * 24, 3))


async def test_closing_the_hub_ends_open_streams_and_streams_opened_later() -> None:
    hub, watcher, late = Hub(), Watcher([TICKET], None), Watcher([TICKET], None)
    hub.add(watcher)
    batches = watcher.batches()
    assert await anext(batches) == (hub.here(),)
    reading = asyncio.create_task(anext(batches, None))
    await asyncio.sleep(0)
    hub.close()
    hub.add(late)
    async with asyncio.timeout(TIMEOUT):
        assert await reading is None
        assert [batch async for batch in late.batches()] == []


async def test_the_end_of_a_session_ends_only_the_streams_of_that_session() -> None:
    hub, ended, other = Hub(), Watcher([TICKET, SESSION], "ann"), Watcher([TICKET], "ann")
    for watcher in (ended, other):
        hub.add(watcher)
    event = SessionEnded(session_id="f" * 24, ended_at=now())
    hub.publish(change_of(event, 1, Buyers()))
    hub.publish(Change(2, (TICKET,)))
    async with asyncio.timeout(TIMEOUT):
        assert [batch async for batch in ended.batches()] == []
    assert await pending_signals(other) == [Signal("ticket", "a" * 24, 2)]


async def test_a_stream_ends_when_its_token_has_expired() -> None:
    is_valid = True
    hub, watcher = Hub(), Watcher([TICKET], "ann", is_allowed=lambda: is_valid)
    hub.add(watcher)
    hub.beat()
    hub.publish(Change(1, (TICKET,)))
    assert await pending_signals(watcher) == [Signal("ticket", "a" * 24, 1)]
    is_valid = False
    hub.beat()
    async with asyncio.timeout(TIMEOUT):
        assert [batch async for batch in watcher.batches()] == []


def test_the_time_of_a_heartbeat_is_that_of_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    signal = Hub().here()
    for seconds in (100, 200):
        monkeypatch.setattr("web.live.hub.time", lambda seconds=seconds: seconds)
        assert f"data: {seconds}000".encode() in signal.encoded


async def test_a_removed_watcher_receives_no_signals() -> None:
    hub, watcher = Hub(), Watcher([TICKET], None, "203.0.113.7")
    hub.add(watcher)
    hub.remove(watcher)
    hub.publish(Change(1, (TICKET,)))
    assert len(hub) == 0
    assert await pending_signals(watcher) == []


def ticket_event() -> TicketUpdated:
    return TicketUpdated.model_validate(
        {"id": "a" * 24, "version": 2, "title": "x", "price": 20, "userId": "5" * 24, "status": "sold"}
    )


def order_event(order_id: str = "b" * 24, buyer: str = "9" * 24) -> OrderUpdated:
    ticket = {"id": "a" * 24, "title": "x", "price": 20}
    values = {
        "id": order_id,
        "version": 1,
        "status": "complete",
        "userId": buyer,
        "hold": 1,
        "ticket": ticket,
    }
    return OrderUpdated.model_validate({**values, "expiresAt": "2027-01-01T00:00:00Z"})


def payment_event() -> PaymentUpdated:
    return PaymentUpdated(
        id="e" * 24, version=1, order_id="b" * 24, status="captured", amount=2000, currency="usd"
    )


def test_an_event_has_the_topics_of_its_entity_and_of_the_owner() -> None:
    buyers = Buyers()
    assert change_of(ticket_event(), 1, buyers).topics == (TICKET, ("seller", "5" * 24))
    assert change_of(order_event(), 2, buyers).topics == (ORDER, ("buyer", "9" * 24))
    assert change_of(None, 3, buyers) == Change(3)


def test_a_payment_event_has_the_topic_of_the_buyer_if_the_hub_knows_the_buyer() -> None:
    buyers = Buyers(max_orders=1)
    assert change_of(payment_event(), 1, buyers) == Change(1, (ORDER,))
    buyers.add(order_event())
    assert change_of(payment_event(), 3, buyers) == Change(3, (ORDER, ("buyer", "9" * 24)), "9" * 24)
    buyers.add(order_event("d" * 24))
    assert change_of(payment_event(), 5, buyers) == Change(5, (ORDER,)), "the oldest buyer is forgotten"


def test_a_late_event_about_an_earlier_order_does_not_change_the_buyer_of_a_ticket() -> None:
    buyers, ticket = Buyers(), order_event().ticket.id
    later = order_event("d" * 24).model_copy(update={"hold": 2, "user_id": "8" * 24})
    buyers.add(later)
    buyers.add(order_event())
    assert buyers.of_ticket(ticket) == "8" * 24
    assert buyers.of_order("b" * 24) == "9" * 24
    buyers.forget()
    assert buyers.of_ticket(ticket) is None


@pytest.mark.parametrize(
    ("address", "limit"),
    [
        ("9.9.9.9", MAX_WATCHERS_PER_NETWORK),
        ("2600:1f00:9:9::{:x}", MAX_WATCHERS_PER_NETWORK),
        ("9.9.9.{}", MAX_WATCHERS_PER_NETWORK * WIDE_FACTOR),
        ("2600:1f00:9:{:x}::1", MAX_WATCHERS_PER_NETWORK * WIDE_FACTOR),
        ("127.0.0.1", MAX_WATCHERS_PER_NETWORK),
    ],
    ids=["IPv4 address", "IPv6 /64", "IPv4 /24", "IPv6 /48", "loopback"],
)
def test_the_streams_of_a_network_and_of_its_wide_network_are_limited(address: str, limit: int) -> None:
    hub, opened = Hub(), []
    for number in range(MAX_WATCHERS_PER_NETWORK * WIDE_FACTOR + 1):
        watcher = Watcher([], None, address.format(number))
        if hub.admits(watcher):
            hub.add(watcher)
            opened.append(watcher)
    assert len(opened) == limit
    assert hub.admits(Watcher([], None, "8.8.8.8"))
    hub.remove(opened[0])
    assert hub.admits(Watcher([], None, address.format(0)))
