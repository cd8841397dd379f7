"""Who is told what, without a bus."""

import asyncio

from web.hub import MAX_WAITING, Hub, Signal, Topic, Watcher

TICKET: Topic = ("ticket", "a" * 24)


async def told(watcher: Watcher) -> list[Signal]:
    """All signals that wait; closes the watcher's stream."""
    signals = []
    async for signal in watcher.signals(heartbeat=0.001):
        if signal is None:
            break
        signals.append(signal)
    return signals


async def test_signals_about_one_thing_become_one() -> None:
    hub, watcher = Hub(), Watcher([TICKET], None)
    hub.add(watcher)
    for sequence in ("1", "2", "3"):
        hub.tell(TICKET, sequence)
    assert await told(watcher) == [Signal("ticket", "a" * 24, "3")]


async def test_a_slow_browser_costs_bounded_memory_and_loses_the_oldest() -> None:
    topics: list[Topic] = [("ticket", str(number)) for number in range(MAX_WAITING + 10)]
    hub, watcher = Hub(), Watcher(topics, None)
    hub.add(watcher)
    for topic in topics:
        hub.tell(topic, "1")
    signals = await told(watcher)
    assert len(signals) == MAX_WAITING
    assert signals[-1] == Signal("ticket", topics[-1][1], "1")


async def test_an_order_event_reaches_its_buyer_alone() -> None:
    order: Topic = ("order", "b" * 24)
    hub, buyer, other = Hub(), Watcher([order], "ann"), Watcher([order], "bob")
    for watcher in (buyer, other):
        hub.add(watcher)
    hub.tell(order, "1", buyer="ann")
    assert len(await told(buyer)) == 1
    assert await told(other) == []


async def test_silence_is_filled_with_heartbeats() -> None:
    watcher = Watcher([TICKET], None)
    assert [await anext(watcher.signals(heartbeat=0.001)) for _ in range(2)] == [None, None]


async def test_closing_ends_open_streams_and_those_that_come_later() -> None:
    hub, open_one, late = Hub(), Watcher([TICKET], None), Watcher([TICKET], None)
    hub.add(open_one)
    reading = asyncio.create_task(anext(open_one.signals(heartbeat=60), None))
    await asyncio.sleep(0)
    hub.close()
    hub.add(late)
    async with asyncio.timeout(1):
        assert await reading is None
        assert [signal async for signal in late.signals(heartbeat=60)] == []


async def test_who_has_left_is_forgotten() -> None:
    hub, watcher = Hub(), Watcher([TICKET], None)
    hub.add(watcher)
    hub.remove(watcher)
    hub.tell(TICKET, "1")
    assert len(hub) == 0
    assert await told(watcher) == []
